// `pgs cluster restart`: PostgreSQL of all members or some, in turn. What was asked for is kept with the tenant until it is done; the
// restarts themselves are part of the tenant's plan, so an apply goes on with them too.

import { PgsError } from '../errors.js';
import { findLeader, streamingReplicas, type PatroniFacts } from '../patroni/facts.js';
import { refuseUnknownMember } from '../patroni/switchover.js';
import type { Cluster } from '../topology/cluster.js';
import type { RestartJob } from '../topology/tenant.js';
import {
  applyCluster,
  planWith,
  refuseNotReady,
  refuseWhilePaused,
  withTenantLock,
  type ChangeOptions,
} from './change.js';
import { withCluster, type OpenCluster } from './cluster.js';
import { refuseOtherJob, withJob } from './job.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

export interface RestartRequest {
  /** Only this one; null: all. */
  member: string | null;
  /** Only those whose Patroni says that a restart is pending. */
  pendingOnly: boolean;
}

export interface Restarted {
  plan: Plan;
  /** Members that were to restart; none with nothing pending. */
  members: string[];
  /** When the restart was begun that this one went on with, ISO 8601; null: it began it. */
  resumed: string | null;
}

/** The plan of a restart, with nothing stored. @throws PgsError as `restartCluster` */
export async function planRestart(session: Session, tenant: string, request: RestartRequest): Promise<Restarted> {
  const { plan, before, after } = await planWith(session, tenant, (open, { patroni }) => {
    const job = jobFor(open, patroni, request, new Date());
    return { ...open, record: { ...open.record, job: job ?? undefined } };
  });
  const { job } = after.record;
  const members = job?.kind === 'restart' ? Object.keys(job.members) : [];
  return { plan, members, resumed: before.record.job?.since ?? null };
}

/**
 * @throws PgsError `endangers` when another member than the ones to restart does not stream, `usage` for a member that is none, and as
 * `applyCluster`
 */
export async function restartCluster(
  session: Session,
  tenant: string,
  request: RestartRequest,
  options: ChangeOptions,
): Promise<Restarted> {
  return withTenantLock(session, tenant, `cluster restart ${tenant}`, options.signal, (lock, signal) =>
    withCluster(session, tenant, async (open) => {
      const job = jobFor(open, await open.patroni.gather(), request, new Date());
      if (job) await refuseWhilePaused(session, { ...open, record: { ...open.record, job } });
      const asked = job ? await withJob(session, open, job, lock) : open;
      const plan = await applyCluster(session, asked, lock, { ...options, signal });
      return { plan, members: Object.keys(job?.members ?? {}), resumed: open.record.job?.since ?? null };
    }),
  );
}

/** A restart that was begun and not finished is gone on with. Null: nothing is pending. */
function jobFor(
  { cluster, record }: OpenCluster,
  facts: PatroniFacts,
  request: RestartRequest,
  now: Date,
): RestartJob | null {
  refuseNotReady(record.phase, cluster.tenant, `restarting ${cluster.tenant}`);
  refuseUnknownMember(cluster, request.member, `restarting ${cluster.tenant}`);
  if (record.job?.kind !== 'restart') refuseOtherJob(record, `restarting ${cluster.tenant}`);
  const members = startsOf(cluster, facts, request);
  const before = record.job?.kind === 'restart' ? record.job : null;
  const all = { ...members, ...before?.members };
  if (Object.keys(all).length === 0) return null;
  // What was begun may have one of its members down just now: the plan waits for it.
  if (!before) refuseOneCopy(cluster, facts, Object.keys(all));
  return { kind: 'restart', since: before?.since ?? now.toISOString(), members: all };
}

/** The members that are meant, with the start of the postmaster that is to go. */
function startsOf({ members, tenant }: Cluster, facts: PatroniFacts, request: RestartRequest): Record<string, string> {
  const meant = members.filter(({ name }) => request.member === null || request.member === name);
  return Object.fromEntries(
    meant.flatMap(({ name, host }) => {
      const fact = facts.members[name];
      const startedAt = fact?.reachable ? fact.postmasterStartedAt : null;
      if (!fact?.reachable || startedAt === null) {
        if (request.member === null) return [];
        throw new PgsError('endangers', {
          doing: `restarting ${name}`,
          host: host.name,
          found: fact?.reachable
            ? `its PostgreSQL does not run (${fact.state})`
            : `Patroni does not answer: ${fact?.why}`,
          hint: `See \`pgs cluster logs ${tenant} --member ${name}\`; \`pgs apply ${tenant}\` starts what does not run.`,
        });
      }
      return request.pendingOnly && !fact.pendingRestart ? [] : [[name, startedAt]];
    }),
  );
}

/** While a member restarts, all others have to serve: otherwise what is acknowledged meanwhile has one copy. */
function refuseOneCopy({ tenant, members }: Cluster, facts: PatroniFacts, restarting: string[]): void {
  const leader = findLeader(facts)?.name;
  const streaming = streamingReplicas(facts);
  const fallen = members.map((m) => m.name).filter((name) => name !== leader && !streaming.includes(name));
  const alone = restarting.length === 1 && fallen.length === 1 && fallen[0] === restarting[0];
  if (leader !== undefined && (fallen.length === 0 || alone)) return;
  throw new PgsError('endangers', {
    doing: `restarting ${tenant}`,
    found:
      leader === undefined ? 'no member leads' : `${fallen.join(', ')} ${fallen.length > 1 ? 'do' : 'does'} not stream`,
    hint:
      leader === undefined
        ? `See \`pgs cluster status ${tenant}\`. Nothing was restarted.`
        : `Mend that first: \`pgs apply ${tenant}\`, \`pgs cluster restart ${tenant} --member ${fallen[0]}\`. Nothing was restarted.`,
  });
}
