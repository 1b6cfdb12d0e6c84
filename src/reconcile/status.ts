// What a person and a script see of a cluster, judged from facts. Pure: the same facts, the same verdicts.

import type { Routes } from '../../haproxy/facts.js';
import { judgeFencing, type FencingVerdict } from '../../watchdog/policy.js';
import {
  findLeader,
  judgeRpo,
  lagBytes,
  type MemberFact,
  type PatroniFacts,
  type RpoVerdict,
} from '../patroni/facts.js';
import { serviceNames, servicePort, type Cluster, type ServiceName } from '../topology/cluster.js';
import { poolingOf, type Pooling } from '../topology/urls.js';
import type { TenantPhase } from '../topology/tenant.js';
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
  fencing: FencingVerdict;
  paused: boolean;
  /** What differs from the spec: the steps that `pgs plan` shows. */
  drift: { host: string | null; title: string; reason: string }[];
  /** What an operator should know: hosts that could not be looked at, certificates that end soon. */
  warnings: string[];
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
  fencing: FencingVerdict;
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
}

export function judgeCluster({ cluster, phase, patroni, routes, plan, warnings }: StatusInput): ClusterStatus {
  const { spec } = cluster;
  const leader = findLeader(patroni);
  const members = cluster.members.map((m) => judgeMember(m.name, m.host.name, cluster, patroni));
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
    fencing: worstFencing(members),
    paused: leader?.fact.paused ?? false,
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

function judgeMember(name: string, host: string, cluster: Cluster, patroni: PatroniFacts): MemberStatus {
  const fact = patroni.members[name];
  const blank = { name, host, timeline: null, lagBytes: null, synchronous: false, pendingRestart: false };
  if (!fact?.reachable) {
    const fencing = judgeFencing(cluster.spec.watchdog, null);
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
    // Whether the device is armed is for the watchdog's own proof to say; until it has looked, it is not known.
    fencing: judgeFencing(cluster.spec.watchdog, null),
  };
}

function unanswered(why: string): string {
  return why.startsWith('no answer') ? why : `no answer: ${why}`;
}

const fencingOrder: FencingVerdict['verdict'][] = ['fenced', 'unknown', 'not fenced'];

function worstFencing(members: MemberStatus[]): FencingVerdict {
  return members
    .map((m) => m.fencing)
    .reduce((a, b) => (fencingOrder.indexOf(b.verdict) > fencingOrder.indexOf(a.verdict) ? b : a));
}
