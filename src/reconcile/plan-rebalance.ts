// Which leaders change hosts for an even fleet, which tenants are left as they are and why, and which members could move. Pure.

import { findLeader, streamingReplicas, type PatroniFacts } from '../patroni/facts.js';
import { fitCandidates } from '../patroni/switchover.js';
import {
  balanceLeaders,
  balanceMembers,
  memberCounts,
  type LeaderMove,
  type LedTenant,
  type MemberMove,
} from '../topology/balance.js';
import type { Cluster } from '../topology/cluster.js';
import { isMoving } from '../topology/membership.js';
import type { Member, TenantRecord } from '../topology/tenant.js';

/** What was seen of a tenant; null for one that could not be looked at. */
export interface LeadershipFacts {
  record: TenantRecord;
  seen: { cluster: Cluster; patroni: PatroniFacts; keys: LeadershipKeys } | null;
  /** Why it could not be looked at. */
  why: string | null;
  /** Who changes it just now, for people; null: nobody. */
  lockedBy: string | null;
}

/** What Patroni keeps in etcd that bears on who may take over. */
export interface LeadershipKeys {
  leader: string | null;
  synchronous: string[] | null;
  failover: Record<string, unknown> | null;
  paused: boolean;
}

export interface RebalanceHost {
  host: string;
  leaders: number;
  leadersAfter: number;
  members: number;
  /** No member goes there. */
  isDraining: boolean;
}

export interface Skipped {
  tenant: string;
  /** As a sentence without its subject: "Patroni is paused". */
  why: string;
}

export interface RebalancePlan {
  hosts: RebalanceHost[];
  moves: LeaderMove[];
  skipped: Skipped[];
  /** Leaders are within 1 of even after the moves, on the hosts that have a member which leads or could. */
  isEven: boolean;
  /** Members that could move so that hosts have about as many; each is a job of its own (`pgs cluster replace`). */
  members: MemberMove[];
}

export interface RebalanceInput {
  hosts: { name: string; zone: string; isDraining: boolean }[];
  /** Those that have members: what a destroy kept is none. */
  tenants: LeadershipFacts[];
}

export function planRebalance({ hosts, tenants }: RebalanceInput): RebalancePlan {
  const draining = hosts.filter((h) => h.isDraining).map((h) => h.name);
  const judged = tenants.map((facts) => ({ facts, leader: leaderOf(facts), why: whyLeft(facts) }));
  const led = judged.flatMap(({ facts, leader, why }): LedTenant[] => {
    if (!leader) return [];
    const candidates = why === null ? candidatesOf(facts).filter((m) => !draining.includes(m.host)) : [];
    return [{ tenant: facts.record.spec.tenant, leader, candidates }];
  });
  const { moves, before, after, isEven } = balanceLeaders(led);
  const placed = judged.map(({ facts: { record }, leader, why }) => ({
    tenant: record.spec.tenant,
    members: record.allocation.members,
    leader: leader?.name ?? null,
    isFixed: why !== null,
  }));
  const members = memberCounts(hosts, placed);
  return {
    hosts: hosts.map(({ name, isDraining }) => ({
      host: name,
      leaders: before[name] ?? 0,
      leadersAfter: after[name] ?? 0,
      members: members[name] ?? 0,
      isDraining,
    })),
    moves,
    skipped: judged.flatMap(({ facts, why }) => (why === null ? [] : [{ tenant: facts.record.spec.tenant, why }])),
    isEven,
    members: balanceMembers(
      hosts.map(({ name, zone, isDraining }) => ({ name, zone, isOpen: !isDraining })),
      placed,
    ),
  };
}

function leaderOf({ record, seen }: LeadershipFacts): Member | null {
  const name = seen?.keys.leader ?? null;
  return record.allocation.members.find((m) => m.name === name) ?? null;
}

/** Who could lead at this moment with everything that was acknowledged. */
function candidatesOf({ record, seen }: LeadershipFacts): Member[] {
  if (!seen) return [];
  const { cluster, patroni, keys } = seen;
  const fit = fitCandidates(cluster, patroni).filter((name) => keys.synchronous?.includes(name) ?? false);
  return fit.flatMap((name) => record.allocation.members.find((m) => m.name === name) ?? []);
}

/** Why a tenant's leader stays where it is, whatever the others do; null: it may go. */
function whyLeft({ record, seen, why, lockedBy }: LeadershipFacts): string | null {
  const { phase, allocation, spec, job } = record;
  if (phase !== 'ready') return `it is ${phase}`;
  if (lockedBy !== null) return `it is being changed: ${lockedBy}`;
  if (job) return `a ${job.kind} of it is not finished`;
  if (isMoving(allocation)) return 'a member of it comes or goes';
  if (!seen) return why ?? 'it could not be looked at';
  const { patroni, keys, cluster } = seen;
  if (keys.paused) return 'Patroni is paused';
  if (keys.failover) return 'Patroni has been asked for another leader already';
  const leader = findLeader(patroni);
  if (!leader) return 'no member leads';
  if (leader.name !== keys.leader) return `${leader.name} says that it leads, and etcd says ${keys.leader ?? 'nobody'}`;
  if (leader.fact.paused) return 'Patroni is paused';
  const streaming = streamingReplicas(patroni);
  const silent = cluster.members.find(({ name }) => name !== leader.name && !streaming.includes(name));
  if (silent) {
    const fact = patroni.members[silent.name];
    return `${silent.name} ${fact?.reachable ? `does not stream (${fact.state})` : 'does not answer'}`;
  }
  if (spec.rpoBytes > 0) return 'it is asynchronous, so no member is known to have everything';
  return null;
}
