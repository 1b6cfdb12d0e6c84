// Faults of PostgreSQL itself: its postmaster, one backend, its sessions.

import { z } from 'zod';
import type { Host } from '../../src/inventory/inventory.js';
import { readTemplate } from '../../src/host/template.js';
import { patroniUnit } from '../../src/patroni/desired.js';
import { cgroupOf, tenantSlice } from '../../src/topology/cluster.js';
import { defineFault, onHost, seen, type Act, type Effect, type Fault, type Ground } from './fault.js';

const none = z.strictObject({});
const pidFile = ({ cluster }: Ground) => `${cluster.paths.data}/postmaster.pid`;

/** The process whose id is in the first line of postmaster.pid, if it is the tenant's. */
function signalPostmaster(ground: Ground, host: Host, signal: 'KILL' | 'STOP' | 'CONT'): Act {
  const argv = ['pkill', '--signal', signal, '--uid', ground.cluster.osUser, '--pidfile', pidFile(ground)];
  return onHost(host, argv, signal === 'CONT' ? { fine: [0, 1, 3] } : {});
}

function anotherPostmaster(ground: Ground, host: Host): Effect {
  return seen(host, 'the postmaster is gone or another one', ['head', '-n', '3', pidFile(ground)], 'changed');
}

/** Patroni starts what it finds dead; a unit that a run left down is not this fault's. */
function nothingLeft(): Act[] {
  return [];
}

const killPostmaster = defineFault({
  name: 'kill-postmaster',
  what: 'kills the postmaster (SIGKILL)',
  scope: 'member',
  lasting: false,
  arguments: none,
  plan: (ground) => ({
    inject: ground.hosts.map((h) => signalPostmaster(ground, h, 'KILL')),
    heal: nothingLeft(),
    effects: ground.hosts.map((h) => anotherPostmaster(ground, h)),
  }),
});

const stopPostmaster = defineFault({
  name: 'stop-postmaster',
  what: 'stops the postmaster (SIGSTOP): sessions go on, nobody new gets in',
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => ({
    inject: ground.hosts.map((h) => signalPostmaster(ground, h, 'STOP')),
    heal: ground.hosts.map((h) => signalPostmaster(ground, h, 'CONT')),
    effects: ground.hosts.map((h) =>
      seen(
        h,
        'the postmaster is stopped',
        ['pgrep', '--list-name', '--runstates', 'T', '--uid', ground.cluster.osUser, '--pidfile', pidFile(ground)],
        { matches: 'postgres' },
      ),
    ),
  }),
});

const killBackend = defineFault({
  name: 'kill-backend',
  what: 'kills one session of the application (SIGKILL), as the kernel does when memory runs out: PostgreSQL restarts all',
  scope: 'member',
  lasting: false,
  arguments: none,
  plan: (ground) => ({
    inject: ground.hosts.map((h) =>
      onHost(h, [
        'pkill',
        '--signal',
        'KILL',
        '--newest',
        '--uid',
        ground.cluster.osUser,
        '--full',
        '^postgres: .*app app ',
      ]),
    ),
    heal: nothingLeft(),
    effects: ground.hosts.map((h) =>
      seen(
        h,
        'the checkpointer is another process',
        ['pgrep', '--uid', ground.cluster.osUser, '--full', '^postgres: .*checkpointer'],
        'changed',
      ),
    ),
  }),
});

/** The kernel's own killer is not asked for: who it takes would be the machine's affair. It kills the same way. */
const crashLoop = defineFault({
  name: 'crash-loop',
  what: 'kills the postmaster every two seconds, whenever it comes back',
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground, _given, forMs) => {
    const unit = `pgs-chaos-loop-${ground.id}`;
    const limit = `--property=RuntimeMaxSec=${Math.ceil(forMs / 1000) + 30}`;
    const loop = ['sh', '-c', readTemplate('chaos/crash-loop.sh'), 'sh', ground.cluster.osUser, pidFile(ground)];
    return {
      inject: ground.hosts.map((h) =>
        onHost(h, ['systemd-run', '--quiet', '--collect', `--unit=${unit}`, limit, ...loop]),
      ),
      heal: ground.hosts.map((h) => onHost(h, ['systemctl', 'stop', `${unit}.service`], { fine: [0, 5] })),
      effects: ground.hosts.map((h) => anotherPostmaster(ground, h)),
    };
  },
});

const exhaustConnections = defineFault({
  name: 'exhaust-connections',
  what: 'opens sessions through `direct` until the leader takes no more',
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => ({
    inject: [{ kind: 'sessions', hold: 'all-connections' }],
    heal: [],
    effects: ground.hosts.map((h) =>
      seen(
        h,
        'the server log says that there are too many clients',
        [
          'journalctl',
          '--unit',
          patroniUnit(ground.cluster.tenant),
          '--since',
          '-20s',
          '--grep',
          'too many clients|remaining connection slots',
          '--lines',
          '1',
        ],
        { matches: 'too many clients|remaining connection slots' },
        20_000,
      ),
    ),
  }),
});

const longTransaction = defineFault({
  name: 'long-transaction',
  what: 'holds a transaction open on the leader, which has written',
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => ({
    inject: [{ kind: 'sessions', hold: 'transaction' }],
    heal: [],
    effects: ground.hosts.map((h) =>
      seen(
        h,
        'a session is idle in transaction',
        ['pgrep', '--list-full', '--uid', ground.cluster.osUser, '--full', '^postgres: .*idle in transaction'],
        { matches: 'idle in transaction' },
      ),
    ),
  }),
});

const outOfMemory = defineFault({
  name: 'out-of-memory',
  what: "lets the kernel run out of memory in the tenant's cgroup: it kills a backend",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => {
    const slice = tenantSlice(ground.cluster.tenant);
    return {
      inject: ground.hosts.map((h) =>
        onHost(h, ['sh', '-c', readTemplate('chaos/out-of-memory.sh'), 'sh', 'on', slice]),
      ),
      heal: ground.hosts.map((h) =>
        onHost(h, ['sh', '-c', readTemplate('chaos/out-of-memory.sh'), 'sh', 'off', slice]),
      ),
      effects: ground.hosts.map((h) =>
        seen(
          h,
          'the kernel killed in this cgroup',
          // Counted since the slice was made, so an earlier drill is in it.
          ['grep', '^oom_kill ', `/sys/fs/cgroup/${cgroupOf(slice)}/memory.events`],
          'changed',
          30_000,
        ),
      ),
    };
  },
});

export const postgresFaults: Fault[] = [
  killPostmaster,
  stopPostmaster,
  killBackend,
  crashLoop,
  exhaustConnections,
  longTransaction,
  outOfMemory,
];
