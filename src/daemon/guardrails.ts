// What has to hold before anything runs by itself on a tenant's cluster. Pure: facts in, reasons against it out.

import type { Quorum } from '../etcd/facts.js';
import type { ClusterStatus } from '../reconcile/status.js';
import type { Incident } from '../drills/store.js';
import { describeDuration, type Job } from '../drills/schedule.js';
import type { TenantSpec } from '../topology/tenant.js';

/** More than this behind, a replica is no good successor; Patroni's own limit for switchovers of pgs is the same. */
export const lagMaxBytes = 16 * 1024 * 1024;

export interface GuardFacts {
  status: ClusterStatus;
  spec: TenantSpec;
  quorum: Quorum;
  incident: Incident | null;
  /** Who changes the tenant now, in words; null: nobody. */
  changing: string | null;
  /** Null: nothing is configured. */
  backup: { maxAgeMs: number; ageMs: number | null } | null;
}

export interface Refusal {
  why: string;
  /** It passes by itself: to be asked again until the deadline, and nobody is told. */
  passing: boolean;
}

/** Empty: it may begin. A switchover has a preflight of its own, so that less is asked before it. */
export function guardrails(facts: GuardFacts, kind: Job['kind']): Refusal[] {
  const always = [incidentFlag, paused, quorum];
  const rails = kind === 'drill' ? [...always, redundancy, durability, lag, watchdog, backup] : always;
  const lasting = rails.map((rail) => rail(facts)).filter((why) => why !== null);
  const passing = facts.changing === null ? [] : [`somebody changes ${facts.spec.tenant}: ${facts.changing}`];
  return [...lasting.map((why) => ({ why, passing: false })), ...passing.map((why) => ({ why, passing: true }))];
}

type Rail = (facts: GuardFacts) => string | null;

const incidentFlag: Rail = ({ incident }) =>
  incident && `an incident is on since ${incident.since}, says ${incident.by}: ${incident.why}`;

const paused: Rail = ({ status }) => (status.paused ? 'Patroni is paused, which releases the watchdog' : null);

const redundancy: Rail = ({ status, spec }) => {
  if (status.phase !== 'ready') return `the cluster is ${status.phase}`;
  if (status.leader === null) return 'no member leads';
  const streaming = status.members.filter((m) => m.state === 'streaming').length;
  if (streaming < spec.replicas) return `${streaming} of ${spec.replicas} replicas stream`;
  return status.healthy ? null : 'the cluster is not healthy';
};

const durability: Rail = ({ status: { rpo } }) =>
  rpo.verdict === 'holds' || rpo.verdict === 'asynchronous' ? null : `RPO 0 does not hold now: ${rpo.verdict}`;

const lag: Rail = ({ status }) => {
  const late = status.members.filter((m) => (m.lagBytes ?? 0) > lagMaxBytes);
  return late.length === 0 ? null : late.map((m) => `${m.name} is ${m.lagBytes} bytes behind`).join(', ');
};

const quorum: Rail = ({ quorum: { state, seen } }) => (state === 'healthy' ? null : `etcd is ${state}: ${seen}`);

/** A tenant that wants a watchdog must have it; one that does not is drilled without. */
const watchdog: Rail = ({ spec, status: { fencing } }) =>
  spec.watchdog === 'required' && fencing.verdict !== 'fenced'
    ? `the spec requires a watchdog, and the cluster is ${fencing.verdict}: ${fencing.reason}`
    : null;

const backup: Rail = ({ backup: found }) => {
  if (found === null) return null;
  if (found.ageMs === null) return 'how old the last backup is could not be learned';
  if (found.ageMs <= found.maxAgeMs) return null;
  return `the last backup is older than ${describeDuration(found.maxAgeMs)}`;
};
