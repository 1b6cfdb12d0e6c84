// Faults of the network, by nftables in a table of their own. ssh is never cut, and what is cut is as narrow as it can be: a member's
// faults match the tenant's ports and the packets of its user, so that its neighbours on the host notice nothing.

import { z } from 'zod';
import type { Host } from '../../src/inventory/inventory.js';
import { readTemplate } from '../../src/host/template.js';
import { portsPerTenant } from '../../src/inventory/rules.js';
import { defineFault, onHost, seen, type Act, type Effect, type Fault, type FaultPlan, type Ground } from './fault.js';

const none = z.strictObject({});
const directions = z.strictObject({ direction: z.enum(['both', 'in', 'out']).default('both') });
type Direction = z.output<typeof directions>['direction'];

export function tableOf({ id }: Ground): string {
  return `pgs_chaos_${id.replaceAll('-', '_')}`;
}

/** One rule of a chain; every rule counts what it drops, which is the evidence. */
export interface Cut {
  chain: 'input' | 'output';
  match: string;
}

/** A ruleset for `nft --file -`: a table that is made anew, in front of the machine's own rules. */
export function renderCuts(table: string, cuts: Cut[]): string {
  const chain = (name: Cut['chain']) => [
    `  chain ${name} {`,
    `    type filter hook ${name} priority -300; policy accept;`,
    // The controller has to get in to undo it.
    name === 'input' ? '    tcp dport 22 accept' : '    tcp sport 22 accept',
    ...cuts.filter((c) => c.chain === name).map((c) => `    ${c.match} counter drop`),
    '  }',
  ];
  return [...forget(table), `table inet ${table} {`, ...chain('input'), ...chain('output'), '}', ''].join('\n');
}

/** Adding what is there and deleting it is the idempotent way in every version of nft. */
function forget(table: string): string[] {
  return [`add table inet ${table}`, `delete table inet ${table}`];
}

function cutOn(ground: Ground, host: Host, cuts: Cut[]): Act {
  return onHost(host, ['nft', '--file', '-'], { stdin: renderCuts(tableOf(ground), cuts) });
}

function healOn(ground: Ground, host: Host): Act {
  return onHost(host, ['nft', '--file', '-'], { stdin: `${forget(tableOf(ground)).join('\n')}\n` });
}

function dropping(ground: Ground, host: Host): Effect {
  const argv = ['nft', 'list', 'table', 'inet', tableOf(ground)];
  return seen(host, 'packets were dropped', argv, { matches: 'packets [1-9]' }, 20_000);
}

function planCuts(ground: Ground, cuts: Map<Host, Cut[]>): FaultPlan {
  const hosts = [...cuts.keys()];
  return {
    inject: hosts.map((h) => cutOn(ground, h, cuts.get(h)!)),
    heal: hosts.map((h) => healOn(ground, h)),
    effects: hosts.map((h) => dropping(ground, h)),
  };
}

const onlyOn = (ground: Ground, cutsOf: (host: Host) => Cut[]) =>
  planCuts(ground, new Map(ground.hosts.map((h) => [h, cutsOf(h)])));

/** `ip saddr { … }` for addresses of either kind. */
function address(side: 'saddr' | 'daddr', hosts: Host[], negated = ''): string[] {
  const kinds = [
    ['ip', hosts.filter((h) => !h.address.includes(':'))],
    ['ip6', hosts.filter((h) => h.address.includes(':'))],
  ] as const;
  return kinds
    .filter(([, of]) => of.length > 0)
    .map(([kind, of]) => `${kind} ${side} ${negated}{ ${of.map((h) => h.address).join(', ')} }`);
}

function peersOf({ fleet }: Ground, host: Host): Host[] {
  return fleet.filter((h) => h.name !== host.name);
}

function tenantPorts({ cluster }: Ground): string {
  return `${cluster.ports.primary}-${cluster.ports.primary + portsPerTenant - 1}`;
}

function both(direction: Direction, input: string[], output: string[]): Cut[] {
  return [
    ...(direction === 'out' ? [] : input.map((match) => ({ chain: 'input' as const, match }))),
    ...(direction === 'in' ? [] : output.map((match) => ({ chain: 'output' as const, match }))),
  ];
}

/** A member and everybody else of the fleet. What its processes send goes by their user; what comes to them by the tenant's ports. */
const isolateMember = defineFault({
  name: 'isolate-member',
  what: 'cuts the member from every other host of the fleet, its DCS among them; clients on the outside still reach it',
  scope: 'member',
  lasting: true,
  arguments: directions,
  plan: (ground, { direction }) =>
    onlyOn(ground, (h) => {
      const peers = peersOf(ground, h);
      return both(
        direction,
        [
          ...address('saddr', peers).map((from) => `tcp dport ${tenantPorts(ground)} ${from}`),
          // Answers to what the member itself asked elsewhere.
          ...address('saddr', peers).map((from) => `tcp sport { ${dcsAndTenant(ground)} } ${from}`),
        ],
        [
          ...address('daddr', peers).map((to) => `meta skuid ${ground.cluster.osUser} ${to}`),
          // The host's own etcd is a way to the DCS too.
          `meta skuid ${ground.cluster.osUser} tcp dport ${ground.etcd.clientPort}`,
        ],
      );
    }),
});

function dcsAndTenant(ground: Ground): string {
  return `${ground.etcd.clientPort}, ${tenantPorts(ground)}`;
}

const isolateHost = defineFault({
  name: 'isolate-host',
  what: 'cuts the host from every other host of the fleet (a pulled network cable, but for ssh and clients from outside)',
  scope: 'host',
  lasting: true,
  arguments: directions,
  plan: (ground, { direction }) =>
    onlyOn(ground, (h) => both(direction, address('saddr', peersOf(ground, h)), address('daddr', peersOf(ground, h)))),
});

/** The cable as the Percona lab pulls it: nobody reaches the host any more, clients neither. */
const pullCable = defineFault({
  name: 'pull-cable',
  what: 'drops all that comes to or leaves the host, but for ssh',
  scope: 'host',
  lasting: true,
  arguments: none,
  plan: (ground) =>
    onlyOn(ground, () => [
      { chain: 'input', match: 'iif != "lo"' },
      { chain: 'output', match: 'oif != "lo"' },
    ]),
});

const cutFromDcs = defineFault({
  name: 'cut-from-dcs',
  what: "drops what the member sends to etcd's client port, on whatever host",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) =>
    onlyOn(ground, () => [
      { chain: 'output', match: `meta skuid ${ground.cluster.osUser} tcp dport ${ground.etcd.clientPort}` },
    ]),
});

/**
 * On the hosts of the others, where replication is what the tenant's own user sends to the member's port; HAProxy, which carries the
 * clients and the poolers, is another user.
 */
const cutReplication = defineFault({
  name: 'cut-replication',
  what: "drops what the other members' processes send to the member's PostgreSQL; clients go on",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => {
    const { cluster, hosts } = ground;
    const others = cluster.members.map((m) => m.host).filter((o) => !hosts.some((h) => h.name === o.name));
    const match = address('daddr', hosts).map((to) => ({
      chain: 'output' as const,
      match: `meta skuid ${cluster.osUser} tcp dport ${cluster.ports.postgres} ${to}`,
    }));
    return planCuts(ground, new Map(others.map((h) => [h, match])));
  },
});

const cutClients = defineFault({
  name: 'cut-clients',
  what: "drops what comes to the tenant's ports on the host from outside the fleet",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) =>
    onlyOn(ground, (h) => [
      {
        chain: 'input',
        match: `iif != "lo" tcp dport ${tenantPorts(ground)} ${address('saddr', [...peersOf(ground, h), h], '!= ').join(' ')}`,
      },
    ]),
});

const blockRest = defineFault({
  name: 'block-rest',
  what: "drops what comes to the REST port of the member's Patroni",
  scope: 'member',
  lasting: true,
  arguments: none,
  plan: (ground) => onlyOn(ground, () => [{ chain: 'input', match: `tcp dport ${ground.cluster.ports.rest}` }]),
});

/**
 * Every host sees a majority, and no two see the same one: host i and its nearest neighbours in a ring. With three hosts the ring breaks
 * at one link, the one between the chosen host and the next.
 */
const majoritiesRing = defineFault({
  name: 'majorities-ring',
  what: 'every host sees a majority of the fleet, no two the same one',
  scope: 'fleet',
  lasting: true,
  arguments: none,
  plan: (ground) => {
    const first = ground.fleet.findIndex((h) => h.name === ground.hosts[0]!.name);
    const ring = [...ground.fleet.slice(first), ...ground.fleet.slice(0, first)];
    const cuts = new Map<Host, Cut[]>();
    for (const [i, host] of ring.entries()) {
      const unseen = ring.filter((_, j) => i !== j && !seesInRing(i, j, ring.length));
      if (unseen.length > 0) cuts.set(host, both('both', address('saddr', unseen), address('daddr', unseen)));
    }
    return planCuts(ground, cuts);
  },
});

/** Symmetric. A ring of three has no gap of its own: the link from the first to the second breaks. */
export function seesInRing(i: number, j: number, hosts: number): boolean {
  if (hosts === 3) return !(Math.min(i, j) === 0 && Math.max(i, j) === 1);
  const apart = Math.min(Math.abs(i - j), hosts - Math.abs(i - j));
  return apart <= Math.floor((Math.floor(hosts / 2) + 1) / 2);
}

const delay = defineFault({
  name: 'delay-network',
  what: 'delays what leaves the host, and loses some of it (netem)',
  scope: 'host',
  lasting: true,
  arguments: z.strictObject({
    delayMs: z.number().min(0).max(10_000).default(200),
    jitterMs: z.number().min(0).max(5000).default(50),
    lossPercent: z.number().min(0).max(100).default(0),
  }),
  plan: (ground, { delayMs, jitterMs, lossPercent }) => {
    const script = (host: Host, mode: string) => {
      const other = ground.fleet.find((h) => h.name !== host.name)!;
      return ['sh', '-c', readTemplate('chaos/netem.sh'), 'sh', mode, other.address];
    };
    return {
      inject: ground.hosts.map((h) =>
        onHost(h, [...script(h, 'on'), `${delayMs}ms`, `${jitterMs}ms`, `${lossPercent}%`]),
      ),
      heal: ground.hosts.map((h) => onHost(h, script(h, 'off'))),
      effects: ground.hosts.map((h) => seen(h, 'netem is in force', ['tc', 'qdisc', 'show'], { matches: 'netem' })),
    };
  },
});

export const networkFaults: Fault[] = [
  isolateMember,
  isolateHost,
  pullCable,
  cutFromDcs,
  cutReplication,
  cutClients,
  blockRest,
  majoritiesRing,
  delay,
];
