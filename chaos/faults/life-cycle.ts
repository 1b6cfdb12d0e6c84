// What an operator does on purpose, and what only the controller can do.

import { z } from 'zod';
import { endpointUrl } from '../../src/etcd/access.js';
import { etcdLogin, etcdTls } from '../../src/etcd/desired.js';
import { readTemplate } from '../../src/host/template.js';
import { defineFault, onHost, seen, type Fault } from './fault.js';

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

/** Undone by every host of etcd: one that has a quorum to ask is enough. An etcd that is not the fleet's has no host to arm. */
const noSpaceAlarm = defineFault({
  name: 'etcd-no-space',
  what: "raises etcd's alarm NOSPACE: it takes no writes",
  scope: 'dcs',
  lasting: true,
  arguments: none,
  plan: ({ fleet, etcd }) => {
    const hosts = fleet.filter((h) => etcd.hosts.includes(h.name));
    const endpoints = hosts.map((h) => endpointUrl(h.address, etcd.clientPort)).join(',');
    const script = (mode: 'list' | 'clear') => [
      ...['sh', '-c', readTemplate('chaos/etcd-alarm.sh'), 'sh', mode],
      ...[endpoints, etcdLogin, etcdTls],
    ];
    return {
      inject: hosts.length === 0 ? [] : [{ kind: 'etcd-no-space' }],
      heal: hosts.map((h) => onHost(h, script('clear'))),
      effects: hosts
        .slice(0, 1)
        .map((h) => seen(h, 'etcd has the alarm NOSPACE', script('list'), { matches: 'NOSPACE' })),
    };
  },
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

/** Undone by every member's host, with the member's own login to etcd. */
const failsafeOff = defineFault({
  name: 'failsafe-off',
  what: "switches Patroni's failsafe mode off: a leader that loses the DCS steps down",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: ({ cluster }) => {
    const hosts = cluster.members.map((m) => m.host);
    const script = (mode: 'show' | 'true' | 'false') => [
      ...['sh', '-c', readTemplate('chaos/failsafe.sh'), 'sh', mode],
      ...[cluster.osUser, cluster.paths.patroniConfig, cluster.tenant],
    ];
    return {
      inject: [{ kind: 'settings', change: { failsafe_mode: false } }],
      heal: hosts.map((h) => onHost(h, script('true'))),
      effects: hosts
        .slice(0, 1)
        .map((h) => seen(h, 'failsafe mode is off', script('show'), { matches: 'failsafe_mode: false' })),
    };
  },
});

export const lifeCycleFaults: Fault[] = [switchover, restartMember, noSpaceAlarm, moveEtcdLeader, failsafeOff];
