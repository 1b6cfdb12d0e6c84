// What an operator does on purpose, and what only the controller can do.

import { z } from 'zod';
import { defineFault, type Fault } from './fault.js';

const none = z.strictObject({});

const switchover = defineFault({
  name: 'switchover',
  what: 'a planned switchover, as `pgs switchover` does it',
  scope: 'member',
  lasting: false,
  arguments: none,
  plan: () => ({ inject: [{ kind: 'switchover' }], heal: [], effects: [] }),
});

const restartMember = defineFault({
  name: 'restart-postgres',
  what: "restarts the members' PostgreSQL through Patroni, one after the other",
  scope: 'member',
  lasting: false,
  arguments: none,
  plan: ({ cluster, hosts }) => ({
    inject: hosts.flatMap((h) => {
      const member = cluster.members.find((m) => m.host.name === h.name);
      return member ? [{ kind: 'restart' as const, member: member.name }] : [];
    }),
    heal: [],
    effects: [],
  }),
});

const noSpaceAlarm = defineFault({
  name: 'etcd-no-space',
  what: "raises etcd's alarm NOSPACE: it takes no writes",
  scope: 'dcs',
  lasting: true,
  arguments: none,
  plan: () => ({
    inject: [{ kind: 'etcd-alarm', alarm: 'raise' }],
    heal: [{ kind: 'etcd-alarm', alarm: 'clear' }],
    effects: [],
  }),
});

const moveEtcdLeader = defineFault({
  name: 'move-etcd-leader',
  what: "lets the host's etcd lead",
  scope: 'dcs',
  lasting: false,
  arguments: none,
  plan: ({ hosts }) => ({
    inject: hosts.slice(0, 1).map((h) => ({ kind: 'etcd-leader', host: h.name })),
    heal: [],
    effects: [],
  }),
});

/** What pgs sets comes back with the heal; `pgs plan` shows the difference if nobody was left to heal. */
const failsafeOff = defineFault({
  name: 'failsafe-off',
  what: "switches Patroni's failsafe mode off: a leader that loses the DCS steps down",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: () => ({
    inject: [{ kind: 'settings', change: { failsafe_mode: false } }],
    heal: [{ kind: 'settings', change: { failsafe_mode: true } }],
    effects: [],
  }),
});

export const lifeCycleFaults: Fault[] = [switchover, restartMember, noSpaceAlarm, moveEtcdLeader, failsafeOff];
