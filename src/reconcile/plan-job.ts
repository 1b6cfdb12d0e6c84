// The part of a plan that does what an operator asked for once: its own steps, what cannot be done now, and that it is done. Restarts are
// in plan-restarts.ts. Pure.

import type { Cluster } from '../topology/cluster.js';
import type { Job } from '../topology/tenant.js';
import type { ClusterFacts, PlanInput } from './plan-cluster.js';
import { blankStep, type Step } from './step.js';

/** A copy of a large database takes long; Patroni goes on with it, and the same command waits again. */
export const copyTimeoutMs = 3_600_000;

/** Not for one that Patroni is at, or that was made anew already: that shows in its postmaster. */
export function reinitSteps({ cluster, facts, job }: PlanInput, needs: string[]): Step[] {
  if (job?.kind !== 'reinit') return [];
  const { tenant } = cluster;
  const member = cluster.members.find((m) => m.name === job.member);
  const fact = facts.patroni.members[job.member];
  if (!member || !fact?.reachable) return [];
  const isDone = job.startedAt === null ? fact.streaming : fact.postmasterStartedAt !== job.startedAt;
  if (isDone) return [];
  return [
    {
      ...blankStep(`${tenant}/reinit/${job.member}`),
      host: member.host.name,
      title: `throw away the data of ${job.member} and copy it anew from the leader`,
      reason: 'it was asked for',
      needs,
      timeoutMs: copyTimeoutMs,
      destructive: true,
      action: { kind: 'reinit', tenant, member: job.member },
      done: { kind: 'restarted', tenant, member: job.member, startedAt: job.startedAt },
    },
  ];
}

/** A job is done with the plan that does the rest of it; with a member that cannot be asked it stays. */
export function jobDoneSteps(input: PlanInput, needs: string[]): Step[] {
  const { cluster, job } = input;
  if (!job || leftOfJob(input).length > 0) return [];
  const { tenant } = cluster;
  return [
    {
      ...blankStep(`${tenant}/job-done`),
      title: `record that the ${job.kind} of ${job.kind === 'reinit' ? job.member : tenant} is done`,
      reason: `it was begun ${job.since}`,
      needs,
      action: { kind: 'record-job-done', tenant },
    },
  ];
}

/** What cannot be done now, for a warning. */
export function leftOfJob({ cluster, facts, job }: Pick<PlanInput, 'cluster' | 'facts' | 'job'>): string[] {
  const silent = job ? membersOf(job, cluster).filter((name) => !isThere(facts, name)) : [];
  return silent.map(
    (name) => `${name} does not answer; the ${job!.kind} of it is left for \`pgs apply ${cluster.tenant}\``,
  );
}

function isThere({ patroni }: ClusterFacts, name: string): boolean {
  return patroni.members[name]?.reachable === true;
}

function membersOf(job: Job, { members }: Cluster): string[] {
  const named = job.kind === 'reinit' ? [job.member] : Object.keys(job.members);
  return members.map((m) => m.name).filter((name) => named.includes(name));
}
