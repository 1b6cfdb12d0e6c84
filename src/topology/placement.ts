// Where a new tenant goes: which ports and which hosts. Pure, so that two operators with the same facts decide the same
// and the loser of a race simply decides again.

import { PgsError } from '../errors.js';
import type { Host, Inventory } from '../inventory/inventory.js';
import { portsOf, portsPerTenant } from './cluster.js';
import { memoryLimitMiB } from './limits.js';
import type { Allocation, Member, TenantRecord, TenantSpec } from './tenant.js';

/** What placement has to know of a host. */
export interface HostSupply {
  host: Host;
  /** Null: fit to take a member; otherwise why it is not. */
  unfit: string | null;
  memoryMiB: number;
  cores: number;
  /** Ports that something listens on. */
  portsTaken: number[];
}

export interface PlacementRequest {
  spec: TenantSpec;
  /** Hosts the operator named with `--hosts`; null: pgs chooses. */
  hosts: string[] | null;
  supply: HostSupply[];
  others: TenantRecord[];
  inventory: Pick<Inventory, 'ports' | 'path'>;
  quorumCommit: boolean;
}

/**
 * Ports, members and sizing of a new tenant: one member a host, zones apart where the fleet has enough of them, the hosts with
 * the fewest members first, then the fewest first members (`<tenant>-1` usually leads).
 * @throws PgsError `unfit` when hosts or ports do not suffice
 */
export function placeTenant(request: PlacementRequest): Allocation {
  const members = chooseHosts(request).map((host, i): Member => ({
    name: `${request.spec.tenant}-${i + 1}`,
    host: host.host.name,
  }));
  const chosen = request.supply.filter((s) => members.some((m) => m.host === s.host.name));
  return {
    slot: chooseSlot(request),
    members,
    memoryMiB: memoryBudgetMiB(Math.min(...chosen.map((s) => s.memoryMiB))),
    cores: Math.min(...chosen.map((s) => s.cores)),
    quorumCommit: request.quorumCommit,
  };
}

/**
 * Memory that a tenant's PostgreSQL is tuned for, MiB: an eighth of the host, because hosts are shared, at least 256 MiB
 * and at most 16 GiB.
 */
export function memoryBudgetMiB(hostMemoryMiB: number): number {
  return Math.max(256, Math.min(16_384, Math.floor(hostMemoryMiB / 8)));
}

export interface JoinRequest extends Pick<PlacementRequest, 'hosts' | 'supply' | 'others'> {
  tenant: string;
  allocation: Allocation;
  /** Members that stay: their zones are taken, and their hosts with those of all others. */
  staying: Member[];
  count: number;
}

/**
 * Hosts for further members of a tenant: none that has, or had a moment ago, a member of it, zones apart from those that stay, the least
 * loaded first; where all else is equal, one without data of an earlier member.
 * @throws PgsError `unfit` when hosts do not suffice, `usage` for names that cannot be meant
 */
export function placeJoining(request: JoinRequest): string[] {
  const { tenant, allocation, hosts: named, supply, others, staying, count } = request;
  const doing = `placing ${count === 1 ? 'a further member' : `${count} further members`} of ${tenant}`;
  const candidates = named ? named.map((name) => findSupply(name, supply, doing)) : supply;
  if (named && named.length !== count) {
    const found = `${named.length} ${named.length === 1 ? 'host is' : 'hosts are'} named, and ${count} ${count === 1 ? 'is' : 'are'} needed`;
    throw new PgsError('usage', { doing, found, hint: 'Name one host for each new member.' });
  }
  const taken = [...allocation.members, ...(allocation.leaving ?? [])];
  const judged = candidates.map((s) => {
    const there = taken.find((m) => m.host === s.host.name);
    const own = there ? `has ${there.name} already` : smaller(s, allocation);
    return { ...s, unfit: own ?? s.unfit ?? ownedBy(s.host, others) };
  });
  const fit = judged.filter((s) => s.unfit === null);
  if (fit.length < count) {
    throw new PgsError('unfit', {
      doing,
      found: [
        `${fit.length} of ${candidates.length} hosts ${fit.length === 1 ? 'is' : 'are'} fit, and ${count} ${count === 1 ? 'is' : 'are'} needed`,
        ...judged.filter((s) => s.unfit !== null).map((s) => `${s.host.name}: ${s.unfit}`),
      ].join('\n'),
      hint: 'Add a host with `pgs host add`, or mend one (`pgs host check`). Nothing was changed.',
    });
  }
  const zones = staying.flatMap((m) => supply.find((s) => s.host.name === m.host)?.host.zone ?? []);
  const kept = allocation.keptOn ?? [];
  const chosen = named ? fit : pickSpread(fit, count, others, zones, (s) => (kept.includes(s.host.name) ? 1 : 0));
  return chosen.map((s) => s.host.name);
}

function smaller({ memoryMiB }: HostSupply, allocation: Allocation): string | null {
  if (memoryMiB === 0 || memoryMiB >= allocation.memoryMiB) return null;
  return `has ${memoryMiB} MiB of memory, and the tenant's PostgreSQL is made for ${allocation.memoryMiB} MiB`;
}

function chooseHosts(request: PlacementRequest): HostSupply[] {
  const { spec, hosts: named, supply, others } = request;
  const count = spec.replicas + 1;
  const doing = `placing ${count} members of ${spec.tenant}`;
  const candidates = named ? named.map((name) => findSupply(name, supply, doing)) : supply;
  const twice = named?.find((name, index) => named.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new PgsError('usage', {
      doing,
      found: `--hosts names ${twice} twice`,
      hint: 'Each member has a host of its own: name each host once.',
    });
  }
  if (named && named.length !== count) {
    throw new PgsError('usage', {
      doing,
      found: `--hosts names ${named.length} hosts, but a leader and ${spec.replicas} replicas need ${count}`,
      hint: `Name ${count} hosts, or ask for another number of --replicas.`,
    });
  }
  const judged = candidates.map((s) => ({ ...s, unfit: s.unfit ?? tooSmall(s, spec) ?? ownedBy(s.host, others) }));
  const fit = judged.filter((s) => s.unfit === null);
  if (fit.length < count) {
    const unfit = judged.filter((s) => s.unfit !== null).map((s) => `${s.host.name}: ${s.unfit}`);
    throw new PgsError('unfit', {
      doing,
      found: [
        `a leader and ${spec.replicas} replicas need ${count} hosts, one each; ${fit.length} of ${candidates.length} are fit`,
        ...unfit,
      ].join('\n'),
      hint: unfit.length
        ? 'Mend the hosts (see `pgs host check`), or ask for fewer replicas.'
        : `Add hosts to ${request.inventory.path}, or ask for fewer replicas.`,
    });
  }
  if (named) return fit;
  return pickSpread(fit, count, others);
}

/** A limit that is more than there is would be none. */
function tooSmall({ memoryMiB }: HostSupply, { limits }: TenantSpec): string | null {
  const wantedMiB = memoryLimitMiB(limits);
  if (wantedMiB === null || wantedMiB <= memoryMiB) return null;
  return `has ${memoryMiB} MiB of memory, and limits.memory is ${wantedMiB} MiB`;
}

/** A host that gives its watchdog to one tenant takes no second one: the device can be opened once. */
function ownedBy({ name, fencing }: Host, others: TenantRecord[]): string | null {
  if (fencing !== 'device') return null;
  const owner = others.find((o) => o.allocation.members.some((m) => m.host === name))?.spec.tenant;
  return owner === undefined ? null : `gives its watchdog to ${owner} alone (fencing: device in pgs.yaml)`;
}

function findSupply(name: string, supply: HostSupply[], doing: string): HostSupply {
  const found = supply.find((s) => s.host.name === name);
  if (found) return found;
  throw new PgsError('usage', {
    doing,
    found: `there is no host ${JSON.stringify(name)}; the fleet has ${supply.map((s) => s.host.name).join(', ')}`,
    hint: 'Name hosts of pgs.yaml, separated by commas.',
  });
}

/** Greedy: each turn takes, among the hosts in the zone used least so far, the one with the smallest load. */
function pickSpread(
  fit: HostSupply[],
  count: number,
  others: TenantRecord[],
  zonesTaken: string[] = [],
  lastly: (s: HostSupply) => number = () => 0,
): HostSupply[] {
  const members = countBy(others.flatMap((o) => o.allocation.members.map((m) => m.host)));
  const firsts = countBy(others.flatMap((o) => o.allocation.members[0]?.host ?? []));
  const zones = countBy(zonesTaken);
  const rest = [...fit].sort((a, b) => byName.compare(a.host.name, b.host.name));
  const picked: HostSupply[] = [];
  while (picked.length < count) {
    const rank = (s: HostSupply) => [
      zones.get(s.host.zone) ?? 0,
      members.get(s.host.name) ?? 0,
      picked.length === 0 && zonesTaken.length === 0 ? (firsts.get(s.host.name) ?? 0) : 0,
      lastly(s),
    ];
    const best = rest.reduce((a, b) => (compareRanks(rank(b), rank(a)) < 0 ? b : a));
    rest.splice(rest.indexOf(best), 1);
    zones.set(best.host.zone, (zones.get(best.host.zone) ?? 0) + 1);
    picked.push(best);
  }
  return picked;
}

const byName = new Intl.Collator('en', { numeric: true });

function countBy(names: string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function compareRanks(a: number[], b: number[]): number {
  for (const [i, value] of a.entries()) {
    const difference = value - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The lowest block of ports that no tenant has and nothing listens on, on any host (every host is an entry). */
function chooseSlot({ spec, supply, others, inventory }: PlacementRequest): number {
  const { from, to } = inventory.ports;
  const slots = Math.floor((to - from + 1) / portsPerTenant);
  const used = new Set(others.map((o) => o.allocation.slot));
  const taken = new Set(supply.flatMap((s) => s.portsTaken));
  for (let slot = 0; slot < slots; slot++) {
    if (used.has(slot)) continue;
    const base = portsOf(slot, inventory.ports).primary;
    if (Array.from({ length: portsPerTenant }, (_, i) => base + i).every((port) => !taken.has(port))) return slot;
  }
  throw new PgsError('unfit', {
    doing: `choosing ports for ${spec.tenant}`,
    found: `all ${slots} blocks of ${portsPerTenant} ports between ${from} and ${to} are taken`,
    hint: `Widen ports.to in ${inventory.path}.`,
  });
}
