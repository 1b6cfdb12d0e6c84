// Faults of processes: killed, stopped, kept from coming back. Each by its unit or by the tenant's own user, so that no neighbour's
// process is ever meant.

import { z } from 'zod';
import { readTemplate } from '../../src/host/template.js';
import type { Host } from '../../src/inventory/inventory.js';
import { patroniUnit } from '../../src/patroni/desired.js';
import { poolerUnit } from '../../src/pgbouncer/desired.js';
import { etcdUnit } from '../../src/etcd/desired.js';
import { haproxyUnit } from '../../haproxy/desired.js';
import { defineFault, onHost, seen, type Act, type Effect, type Fault, type Ground } from './fault.js';

const none = z.strictObject({});

/** Signals of a unit's main process, or of all its processes. */
function signal(host: Host, unit: string, name: 'KILL' | 'STOP' | 'CONT', whom: 'main' | 'all' = 'main'): Act {
  // A unit that is not running cannot be signalled, which heals as well as anything.
  const fine = name === 'CONT' ? { fine: [0, 1] } : {};
  return onHost(host, ['systemctl', 'kill', `--signal=${name}`, `--kill-whom=${whom}`, unit], fine);
}

/** A drop-in under /run, which is gone after a boot: the unit stays down when its process ends. */
function keepDown(host: Host, unit: string): Act {
  return onHost(host, ['sh', '-c', readTemplate('chaos/keep-down.sh'), 'sh', 'on', unit]);
}

function letUp(host: Host, unit: string): Act {
  return onHost(host, ['sh', '-c', readTemplate('chaos/keep-down.sh'), 'sh', 'off', unit]);
}

/** Which run of the unit it is, and its process. */
function mainProcess(host: Host, unit: string): Effect {
  const argv = ['systemctl', 'show', '--property=MainPID,InvocationID,NRestarts', unit];
  return seen(host, `the process of ${unit} is another one`, argv, 'changed');
}

function stopped(host: Host, unit: string): Effect {
  const argv = ['sh', '-c', readTemplate('chaos/state.sh'), 'sh', unit];
  return seen(host, `the process of ${unit} is stopped`, argv, { matches: '^T' });
}

function inactive(host: Host, unit: string): Effect {
  const argv = ['systemctl', 'show', '--property=ActiveState', '--value', unit];
  return seen(host, `${unit} is down`, argv, { matches: '^(inactive|failed)' });
}

/** Kills a unit's process; with `restart: false` it stays down until it is healed. */
function killUnit(name: string, what: string, scope: Fault['scope'], unitOf: (ground: Ground) => string): Fault {
  return defineFault({
    name,
    what,
    scope,
    lasting: false,
    arguments: z.strictObject({ restart: z.boolean().default(true) }),
    plan: (ground, { restart }) => {
      const unit = unitOf(ground);
      return {
        inject: ground.hosts.flatMap((h) => [...(restart ? [] : [keepDown(h, unit)]), signal(h, unit, 'KILL', 'all')]),
        heal: ground.hosts.map((h) => letUp(h, unit)),
        effects: ground.hosts.map((h) => (restart ? mainProcess(h, unit) : inactive(h, unit))),
      };
    },
  });
}

function stopUnit(name: string, what: string, scope: Fault['scope'], unitOf: (ground: Ground) => string): Fault {
  return defineFault({
    name,
    what,
    scope,
    lasting: true,
    arguments: none,
    plan: (ground) => ({
      inject: ground.hosts.map((h) => signal(h, unitOf(ground), 'STOP', 'all')),
      heal: ground.hosts.map((h) => signal(h, unitOf(ground), 'CONT', 'all')),
      effects: ground.hosts.map((h) => stopped(h, unitOf(ground))),
    }),
  });
}

const patroni = ({ cluster }: Ground) => patroniUnit(cluster.tenant);

/** KillMode=process: only Patroni's own process, PostgreSQL lives on. */
const killPatroni = defineFault({
  name: 'kill-patroni',
  what: "kills Patroni's process (SIGKILL); PostgreSQL goes on",
  scope: 'member',
  lasting: false,
  arguments: z.strictObject({ restart: z.boolean().default(true) }),
  plan: (ground, { restart }) => {
    const unit = patroni(ground);
    return {
      inject: ground.hosts.flatMap((h) => [...(restart ? [] : [keepDown(h, unit)]), signal(h, unit, 'KILL')]),
      heal: ground.hosts.map((h) => letUp(h, unit)),
      effects: ground.hosts.map((h) => (restart ? mainProcess(h, unit) : inactive(h, unit))),
    };
  },
});

const stopPatroni = defineFault({
  name: 'stop-patroni',
  what: 'stops Patroni as a hang would (SIGSTOP)',
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => ({
    inject: ground.hosts.map((h) => signal(h, patroni(ground), 'STOP')),
    heal: ground.hosts.map((h) => signal(h, patroni(ground), 'CONT')),
    effects: ground.hosts.map((h) => stopped(h, patroni(ground))),
  }),
});

/** Everything of the member dies at once and stays dead: what the loss of its host is to the others. */
const loseMember = defineFault({
  name: 'lose-member',
  what: 'kills every process of the member at once, and keeps it down',
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => ({
    inject: ground.hosts.flatMap((h) => [
      keepDown(h, patroni(ground)),
      onHost(h, ['pkill', '--signal', 'KILL', '--uid', ground.cluster.osUser]),
    ]),
    heal: ground.hosts.map((h) => letUp(h, patroni(ground))),
    effects: ground.hosts.map((h) => inactive(h, patroni(ground))),
  }),
});

export const processFaults: Fault[] = [
  killPatroni,
  stopPatroni,
  loseMember,
  killUnit('kill-etcd', "kills etcd's member on the host (SIGKILL)", 'dcs', () => etcdUnit),
  killUnit('kill-haproxy', 'kills the HAProxy of the host, with all its workers (SIGKILL)', 'host', () => haproxyUnit),
  stopUnit('stop-haproxy', 'stops the HAProxy of the host as a hang would (SIGSTOP)', 'host', () => haproxyUnit),
  killUnit('kill-pgbouncer', "kills the tenant's pooler on the host (SIGKILL)", 'member', ({ cluster }) =>
    poolerUnit(cluster.tenant, 'primary'),
  ),
];
