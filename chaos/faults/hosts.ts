// Faults of whole machines and of what they share: power, processor, disk, clock.

import { z } from 'zod';
import { readTemplate } from '../../src/host/template.js';
import { patroniUnit } from '../../src/patroni/desired.js';
import { cgroupOf, tenantSlice } from '../../src/topology/cluster.js';
import { defineFault, onHost, seen, type Fault } from './fault.js';

const none = z.strictObject({});

const powerOff = defineFault({
  name: 'power-off',
  what: 'takes the power from the host; its heal gives it back and waits for ssh',
  scope: 'host',
  lasting: true,
  arguments: none,
  plan: (ground) => ({
    inject: ground.hosts.map((h) => ({ kind: 'power', host: h.name, power: 'off' })),
    heal: ground.hosts.map((h) => ({ kind: 'power', host: h.name, power: 'on' })),
    effects: ground.hosts.map((h) => seen(h, 'the host answers nothing', ['true'], 'gone', 30_000)),
  }),
});

/** A unit whose time is limited by systemd: it ends by itself, whatever becomes of pgs. */
function burn(name: string, what: string, script: string, evidence: string): Fault {
  return defineFault({
    name,
    what,
    scope: 'host',
    lasting: true,
    arguments: z.strictObject({ processes: z.int().min(1).max(64).default(4) }),
    plan: (ground, { processes }, forMs) => {
      const unit = `pgs-chaos-${name}-${ground.id}`;
      const limit = `--property=RuntimeMaxSec=${Math.ceil(forMs / 1000) + 30}`;
      const argv = ['sh', '-c', readTemplate(`chaos/${script}`), 'sh', String(processes)];
      return {
        inject: ground.hosts.map((h) =>
          onHost(h, [
            'systemd-run',
            '--quiet',
            '--collect',
            `--unit=${unit}`,
            limit,
            '--property=KillMode=control-group',
            ...argv,
          ]),
        ),
        heal: ground.hosts.map((h) => onHost(h, ['systemctl', 'stop', `${unit}.service`], { fine: [0, 5] })),
        effects: ground.hosts.map((h) =>
          seen(h, evidence, ['systemctl', 'show', '--property=ActiveState,TasksCurrent', `${unit}.service`], {
            matches: 'ActiveState=active',
          }),
        ),
      };
    },
  });
}

const fillDisk = defineFault({
  name: 'fill-disk',
  what: "fills the file system under the member's pg_wal",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => {
    const { cluster } = ground;
    const script = (mode: string) => [
      ...['sh', '-c', readTemplate('chaos/fill-disk.sh'), 'sh', mode, cluster.paths.home],
      ...[patroniUnit(cluster.tenant), cluster.osUser],
    ];
    return {
      inject: ground.hosts.map((h) => onHost(h, script('fill'))),
      heal: ground.hosts.map((h) => onHost(h, script('free'))),
      effects: ground.hosts.map((h) =>
        seen(h, 'no space is left', ['df', '--output=avail', cluster.paths.home], {
          matches: '^\\s*Avail\\s+\\d{1,3}\\s*$',
        }),
      ),
    };
  },
});

/** A bound for the tenant's slice on the device of its data, which the machine's own cgroup tree has to know. */
const slowDisk = defineFault({
  name: 'slow-disk',
  what: "limits the tenant's reads and writes on the device of its data",
  scope: 'member',
  lasting: true,
  arguments: z.strictObject({ kibPerS: z.int().min(4).default(256) }),
  plan: (ground, { kibPerS }) => {
    const { cluster } = ground;
    const slice = tenantSlice(cluster.tenant);
    const set = (limit: string) => [
      ...['systemctl', 'set-property', '--runtime', slice],
      ...['IOReadBandwidthMax', 'IOWriteBandwidthMax'].map(
        (p) => `${p}=${limit === '' ? '' : `${cluster.paths.home} ${limit}`}`,
      ),
    ];
    return {
      inject: ground.hosts.map((h) => onHost(h, set(`${kibPerS}K`))),
      heal: ground.hosts.map((h) => onHost(h, set(''))),
      effects: ground.hosts.map((h) =>
        seen(h, 'the limit is in force', ['cat', `/sys/fs/cgroup/${cgroupOf(slice)}/io.max`], { matches: 'wbps=\\d' }),
      ),
    };
  },
});

/** The clock is set back by the time that passed meanwhile too: the script notes both clocks. */
const jumpClock = defineFault({
  name: 'jump-clock',
  what: "sets the host's clock off by some seconds, and right again",
  scope: 'host',
  lasting: true,
  arguments: z.strictObject({ seconds: z.int().min(-86_400).max(86_400).default(120) }),
  plan: (ground, { seconds }) => {
    const script = ['sh', '-c', readTemplate('chaos/jump-clock.sh'), 'sh'];
    return {
      inject: ground.hosts.map((h) => onHost(h, [...script, 'jump', String(seconds), ground.id])),
      heal: ground.hosts.map((h) => onHost(h, [...script, 'back', String(seconds), ground.id])),
      effects: ground.hosts.map((h) =>
        seen(h, 'the clock says another time', ['test', '-e', `/run/pgs-chaos-clock-${ground.id}`], { matches: '^$' }),
      ),
    };
  },
});

/** What an operator's mistake leaves of a replica; heals as an operator would: Patroni makes it anew. */
function breakData(name: string, what: string, mode: 'wipe' | 'corrupt'): Fault {
  return defineFault({
    name,
    what,
    scope: 'member',
    lasting: mode === 'corrupt',
    arguments: none,
    plan: (ground) => {
      const { cluster } = ground;
      const unit = patroniUnit(cluster.tenant);
      const script = (does: string) => [
        'sh',
        '-c',
        readTemplate('chaos/break-data.sh'),
        'sh',
        does,
        unit,
        cluster.paths.data,
      ];
      const argv = ['stat', '--format=%i', `${cluster.paths.data}/global/pg_control`];
      return {
        inject: ground.hosts.map((h) => ({ ...onHost(h, script(mode)) })),
        heal: ground.hosts.map((h) => onHost(h, script(mode === 'wipe' ? 'start' : 'rebuild'))),
        effects: ground.hosts.map((h) => seen(h, "the member's pg_control is another one, or none", argv, 'changed')),
      };
    },
  });
}

export const hostFaults: Fault[] = [
  powerOff,
  burn('burn-processor', 'keeps every processor of the host busy', 'burn-processor.sh', 'the burning processes run'),
  burn(
    'burn-disk',
    'writes and syncs to the disk of the data without a pause',
    'burn-disk.sh',
    'the writing processes run',
  ),
  fillDisk,
  slowDisk,
  jumpClock,
  breakData('wipe-member', 'stops the member and removes its data directory, then starts it', 'wipe'),
  breakData('corrupt-member', 'stops the member, overwrites its pg_control, then starts it', 'corrupt'),
];
