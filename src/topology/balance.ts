// Who should lead where, and live where, so that no host has much more than its share. Pure.

import type { Member } from './tenant.js';

/** A tenant that has a leader. */
export interface LedTenant {
  tenant: string;
  /** Leads now. */
  leader: Member;
  /** Could take over at this moment with everything; none for a tenant that is left as it is. */
  candidates: Member[];
}

export interface LeaderMove {
  tenant: string;
  from: Member;
  to: Member;
}

export interface LeaderBalance {
  moves: LeaderMove[];
  /** Leaders by host, before and after the moves; hosts without a member that leads or could are missing. */
  before: Record<string, number>;
  after: Record<string, number>;
  /** No two of these hosts are more than one leader apart after the moves: each is within 1 of even. */
  isEven: boolean;
}

/**
 * The most even distribution of leaders that the candidates allow (the least sum of squares, so within 1 of even where that is possible),
 * with the fewest switchovers that lead to one.
 *
 * It is a flow of minimal cost: each tenant goes to the host of its leader (for nothing) or of a candidate (for one switchover), and
 * each further leader of a host costs more than all switchovers together. Beginning with what is, cycles that cost less than nothing are
 * taken until there is none, which is when a flow is minimal (Klein 1967).
 */
export function balanceLeaders(tenants: LedTenant[]): LeaderBalance {
  const sorted = [...tenants].sort((a, b) => (a.tenant < b.tenant ? -1 : 1));
  const hosts = [...new Set(sorted.flatMap((t) => [t.leader, ...t.candidates].map((m) => m.host)))].sort(byName);
  const now = sorted.map((t) => t.leader.host);
  const before = countBy(hosts, now);
  for (;;) {
    const cycle = findGain(hosts, sorted, now);
    if (cycle === null) break;
    for (const { tenant, to } of cycle) now[tenant] = to;
  }
  const after = countBy(hosts, now);
  const moves = sorted.flatMap((t, i): LeaderMove[] => {
    const to = t.candidates.find((m) => m.host === now[i]);
    return now[i] === t.leader.host || !to ? [] : [{ tenant: t.tenant, from: t.leader, to }];
  });
  const counts = Object.values(after);
  return { moves, before, after, isEven: Math.max(0, ...counts) - Math.min(...counts, Infinity) <= 1 };
}

function countBy(hosts: string[], at: string[]): Record<string, number> {
  const counts = Object.fromEntries(hosts.map((host) => [host, 0]));
  for (const host of at) counts[host] = counts[host]! + 1;
  return counts;
}

interface Shift {
  /** Index of the tenant whose leader goes. */
  tenant: number;
  to: string;
}

/** Of the way of one leader from host to host; `shift` is null where a host's share itself gives or takes one. */
interface Edge {
  from: number;
  to: number;
  cost: number;
  shift: Shift | null;
}

/** Moves that together cost less than nothing; null when there are none. */
function findGain(hosts: string[], tenants: LedTenant[], now: string[]): Shift[] | null {
  const cycle = negativeCycle(hosts.length + 1, edgesOf(hosts, tenants, now));
  return cycle && cycle.flatMap(({ shift }) => (shift ? [shift] : []));
}

function edgesOf(hosts: string[], tenants: LedTenant[], now: string[]): Edge[] {
  const index = new Map(hosts.map((host, i) => [host, i]));
  const share = hosts.length;
  const counts = countBy(hosts, now);
  const moreThanAllMoves = tenants.length + 1;
  const best = new Map<number, Edge>();
  for (const [tenant, { leader, candidates }] of tenants.entries()) {
    if (candidates.length === 0) continue;
    const costAt = (host: string) => (host === leader.host ? 0 : 1);
    const from = index.get(now[tenant]!)!;
    for (const { host } of [leader, ...candidates]) {
      const to = index.get(host)!;
      if (to === from) continue;
      const cost = costAt(host) - costAt(now[tenant]!);
      const key = from * hosts.length + to;
      if ((best.get(key)?.cost ?? Infinity) > cost) best.set(key, { from, to, cost, shift: { tenant, to: host } });
    }
  }
  // Squares: one more leader beside n costs 2n + 1, one fewer gives 2n - 1 back.
  const shares = hosts.flatMap((host, i): Edge[] => [
    { from: i, to: share, cost: moreThanAllMoves * (2 * counts[host]! + 1), shift: null },
    { from: share, to: i, cost: -moreThanAllMoves * (2 * counts[host]! - 1), shift: null },
  ]);
  return [...best.values(), ...shares.filter((e) => e.from !== share || counts[hosts[e.to]!]! > 0)];
}

/** By Bellman and Ford: what is still improved after as many rounds as there are nodes lies behind such a cycle. */
function negativeCycle(nodes: number, edges: Edge[]): Edge[] | null {
  const distance = new Array<number>(nodes).fill(0);
  const into = new Array<Edge | null>(nodes).fill(null);
  let improved: number | null = null;
  for (let round = 0; round < nodes; round++) {
    improved = null;
    for (const edge of edges) {
      if (distance[edge.from]! + edge.cost >= distance[edge.to]!) continue;
      distance[edge.to] = distance[edge.from]! + edge.cost;
      into[edge.to] = edge;
      improved = edge.to;
    }
    if (improved === null) return null;
  }
  let node = improved!;
  for (let i = 0; i < nodes; i++) node = into[node]!.from;
  const cycle: Edge[] = [];
  for (let at = node; cycle.length === 0 || at !== node; at = into[at]!.from) cycle.push(into[at]!);
  return cycle;
}

export interface BalancedHost {
  name: string;
  zone: string;
  /** Members may go there. */
  isOpen: boolean;
}

export interface PlacedTenant {
  tenant: string;
  members: Member[];
  /** Name of the member that leads; null: it is not known. */
  leader: string | null;
  /** It counts, and none of its members moves. */
  isFixed?: boolean;
}

export interface MemberMove {
  tenant: string;
  member: string;
  from: string;
  to: string;
}

/**
 * Members to move until hosts are within one of each other, from a fullest host to the emptiest that can take one each time. Never two of a
 * tenant on a host, never into fewer zones than before; a member that leads only where no other of the fullest hosts can go.
 */
export function balanceMembers(hosts: BalancedHost[], tenants: PlacedTenant[]): MemberMove[] {
  const placed = tenants.map((t) => ({ ...t, members: [...t.members] }));
  const moves: MemberMove[] = [];
  const counts = memberCounts(hosts, tenants);
  for (;;) {
    const move = nextMember(hosts, placed, counts, moves);
    if (move === null) return moves;
    const of = placed.find((t) => t.tenant === move.tenant)!;
    of.members = of.members.map((m) => (m.name === move.member ? { ...m, host: move.to } : m));
    counts[move.from] = counts[move.from]! - 1;
    counts[move.to] = counts[move.to]! + 1;
    moves.push(move);
  }
}

export function memberCounts(
  hosts: Pick<BalancedHost, 'name'>[],
  tenants: Pick<PlacedTenant, 'members'>[],
): Record<string, number> {
  const counts = Object.fromEntries(hosts.map(({ name }) => [name, 0]));
  for (const { members } of tenants) for (const { host } of members) counts[host] = (counts[host] ?? 0) + 1;
  return counts;
}

function nextMember(
  hosts: BalancedHost[],
  tenants: PlacedTenant[],
  counts: Record<string, number>,
  moves: MemberMove[],
): MemberMove | null {
  const open = hosts.filter(({ isOpen }) => isOpen).map((host) => ({ host, count: counts[host.name]! }));
  const full = [...open].sort((a, b) => b.count - a.count || byName(a.host.name, b.host.name));
  const empty = [...open].sort((a, b) => a.count - b.count || byName(a.host.name, b.host.name));
  for (const level of new Set(full.map(({ count }) => count))) {
    for (const who of ['follows', 'leads'] as const) {
      for (const { host: from } of full.filter(({ count }) => count === level)) {
        for (const { host: to } of empty.filter(({ count }) => level - count >= 2)) {
          const found = movable(hosts, tenants, moves, from, to).find((m) => m.leads === (who === 'leads'));
          if (found) return { tenant: found.tenant, member: found.member, from: from.name, to: to.name };
        }
      }
    }
  }
  return null;
}

/** Members of that host that may go to the other one. */
function movable(
  hosts: BalancedHost[],
  tenants: PlacedTenant[],
  moves: MemberMove[],
  from: BalancedHost,
  to: BalancedHost,
): { tenant: string; member: string; leads: boolean }[] {
  return tenants.flatMap((t) => {
    const member = t.isFixed ? undefined : t.members.find((m) => m.host === from.name);
    // A member that was moved has another name by then; it is not moved twice.
    if (!member || moves.some((m) => m.member === member.name) || !mayGo(hosts, t, member, to)) return [];
    return [{ tenant: t.tenant, member: member.name, leads: t.leader === member.name }];
  });
}

function mayGo(hosts: BalancedHost[], { members }: PlacedTenant, member: Member, to: BalancedHost): boolean {
  if (members.some((m) => m.host === to.name)) return false;
  const zoneOf = (host: string) => hosts.find(({ name }) => name === host)?.zone ?? host;
  const zones = (of: string[]) => new Set(of.map(zoneOf)).size;
  const others = members.filter((m) => m !== member).map((m) => m.host);
  return zones([...others, to.name]) >= zones(members.map((m) => m.host));
}

const collator = new Intl.Collator('en', { numeric: true });

function byName(a: string, b: string): number {
  return collator.compare(a, b);
}
