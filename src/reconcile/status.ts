// What a person and a script see of a cluster, judged from facts. Pure: the same facts, the same verdicts.

import type { Routes } from '../../haproxy/facts.js';
import type { FencingFacts } from '../../watchdog/facts.js';
import type { FencingVerdict, MemberFencing } from '../../watchdog/verdict.js';
import {
  findLeader,
  judgeRpo,
  lagBytes,
  type MemberFact,
  type PatroniFacts,
  type RpoVerdict,
} from '../patroni/facts.js';
import { judgeMembers } from './fencing.js';
import { serviceNames, servicePort, type Cluster, type ServiceName } from '../topology/cluster.js';
import { poolingOf, type Pooling } from '../topology/urls.js';
import type { Job, TenantPhase } from '../topology/tenant.js';
import type { DrillRun, Outcome } from '../drills/run.js';
import type { Plan } from './step.js';

/** The shape of `pgs cluster status -o json`; fields are added, never renamed or removed. */
export interface ClusterStatus {
  tenant: string;
  phase: TenantPhase;
  /** Every member is where it should be: one leader, all others streaming, all on one timeline. */
  healthy: boolean;
  leader: string | null;
  postgres: number;
  rto: string;
  members: MemberStatus[];
  services: ServiceStatus[];
  rpo: { bytes: number; durability: string; verdict: RpoVerdict };
  fencing: ClusterFencing;
  paused: boolean;
  /** What was begun for all or some members and is not finished; null: nothing. */
  job: { kind: string; since: string } | null;
  /** Drills and timed switchovers that did not pass and that nobody acknowledged, the oldest first; null: it could not be looked. */
  drills: { outcome: Outcome; kind: string; what: string; started: string; why: string | null }[] | null;
  /** What differs from the spec: the steps that `pgs plan` shows. */
  drift: { host: string | null; title: string; reason: string }[];
  /** What an operator should know: hosts that could not be looked at, certificates that end soon. */
  warnings: string[];
}

export interface ClusterFencing extends FencingVerdict {
  /** How long two members could take writes, seconds; 0: never; null: without a bound, or not known. */
  windowS: number | null;
  /** What is guaranteed, or what can happen, in words. */
  guarantee: string;
}

export interface MemberStatus {
  name: string;
  host: string;
  role: 'leader' | 'sync standby' | 'replica' | 'other' | 'unknown';
  state: string;
  timeline: number | null;
  /** Bytes behind the leader in replay; null for the leader or when unknown. */
  lagBytes: number | null;
  synchronous: boolean;
  pendingRestart: boolean;
  fencing: MemberFencing;
}

export interface ServiceStatus {
  service: ServiceName;
  port: number;
  /** Members that each entry host routes the service to; null: the entry could not be asked. */
  routes: Record<string, string[] | null>;
  pooling: Pooling;
  /** Members whose pooler each entry host sends clients to; null: there is none, or the entry could not be asked. */
  poolers: Record<string, string[] | null>;
}

export interface StatusInput {
  cluster: Cluster;
  phase: TenantPhase;
  patroni: PatroniFacts;
  routes: Record<string, Routes | null>;
  plan: Plan;
  warnings: string[];
  /** The settings that the members follow, null when not known. */
  settings?: Record<string, unknown> | null;
  /** By member. */
  fencing?: Record<string, FencingFacts | null>;
  job?: Job | undefined;
  /** Members on whose hosts it was seen that nothing of the tenant runs. */
  stopped?: string[];
  /** Runs that nobody acknowledged yet. */
  drills?: DrillRun[] | null;
}

export function judgeCluster(input: StatusInput): ClusterStatus {
  const { cluster, phase, patroni, routes, plan, warnings } = input;
  const { spec } = cluster;
  const leader = findLeader(patroni);
  const fencing = judgeMembers(cluster, patroni, input.settings ?? null, input.fencing ?? {});
  const members = cluster.members.map((m) => {
    const judged = judgeMember(m.name, m.host.name, patroni, fencing[m.name]!);
    const stopped = judged.role === 'unknown' && (input.stopped ?? []).includes(m.name);
    return stopped ? { ...judged, role: 'other' as const, state: 'stopped' } : judged;
  });
  const timelines = new Set(members.map((m) => m.timeline));
  return {
    tenant: cluster.tenant,
    phase,
    healthy:
      leader !== null &&
      timelines.size === 1 &&
      members.every((m) => m.role === 'leader' || isStreaming(patroni.members[m.name])),
    leader: leader?.name ?? null,
    postgres: spec.postgres,
    rto: spec.rto,
    members,
    services: serviceNames.map((service) => ({
      service,
      port: servicePort(cluster.ports, service),
      routes: Object.fromEntries(cluster.entries.map((e) => [e.name, routes[e.name]?.[service] ?? null])),
      pooling: poolingOf(cluster, service),
      poolers: Object.fromEntries(cluster.entries.map((e) => [e.name, poolersAt(routes[e.name], service)])),
    })),
    rpo: {
      bytes: spec.rpoBytes,
      durability: spec.durability,
      verdict: judgeRpo(patroni, spec.rpoBytes, spec.durability),
    },
    fencing: worstFencing(members, leader?.name ?? null),
    paused: input.settings?.pause === true || (leader?.fact.paused ?? false),
    job: input.job ? { kind: input.job.kind, since: input.job.since } : null,
    drills:
      input.drills === null
        ? null
        : (input.drills ?? []).map(({ outcome, kind, what, started, why }) => ({ outcome, kind, what, started, why })),
    drift: plan.steps
      .filter((s) => s.action.kind !== 'none')
      .map(({ host, title, reason }) => ({ host, title, reason })),
    warnings: [...plan.warnings, ...warnings],
  };
}

function poolersAt(routes: Routes | null | undefined, service: ServiceName): string[] | null {
  return service === 'primary' || service === 'replica' ? (routes?.poolers[service] ?? null) : null;
}

function isStreaming(fact: MemberFact | undefined): boolean {
  return fact?.reachable === true && fact.streaming;
}

function judgeMember(name: string, host: string, patroni: PatroniFacts, fencing: MemberFencing): MemberStatus {
  const fact = patroni.members[name];
  const blank = { name, host, timeline: null, lagBytes: null, synchronous: false, pendingRestart: false };
  if (!fact?.reachable) {
    return { ...blank, role: 'unknown', state: fact ? unanswered(fact.why) : 'not looked at', fencing };
  }
  const leader = findLeader(patroni);
  return {
    ...blank,
    role: fact.role === 'replica' && fact.synchronous ? 'sync standby' : fact.role,
    state: fact.streaming ? 'streaming' : fact.state,
    timeline: fact.timeline,
    lagBytes: leader && fact.role === 'replica' ? lagBytes(fact, leader.fact) : null,
    synchronous: fact.synchronous,
    pendingRestart: fact.pendingRestart,
    fencing,
  };
}

function unanswered(why: string): string {
  return why.startsWith('no answer') ? why : `no answer: ${why}`;
}

const fencingOrder: FencingVerdict['verdict'][] = ['fenced', 'unknown', 'not fenced'];

/** Of the worst member; among equals of the leader, whose window it is now. */
function worstFencing(members: MemberStatus[], leader: string | null): ClusterFencing {
  const rank = (m: MemberStatus) => fencingOrder.indexOf(m.fencing.verdict) * 2 + (m.name === leader ? 1 : 0);
  const worst = members.reduce((a, b) => (rank(b) > rank(a) ? b : a));
  const { verdict, reason, guarantee } = worst.fencing;
  const where = members.every((m) => m.fencing.verdict === verdict) ? '' : `${worst.name}: `;
  return {
    verdict,
    reason: `${where}${reason}`,
    windowS: verdict === 'fenced' ? 0 : guarantee.windowS || null,
    guarantee: guarantee.text,
  };
}
