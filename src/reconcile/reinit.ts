// `pgs cluster reinit`: a replica that does not follow, or that is mistrusted, is made anew from the leader. What was asked for is kept with
// the tenant until the replica streams again.

import { chooseReinit } from '../patroni/reinit.js';
import type { PatroniFacts } from '../patroni/facts.js';
import type { ReinitJob } from '../topology/tenant.js';
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

/** With nothing stored. @throws PgsError as `reinitMember` */
export async function planReinit(session: Session, tenant: string, member: string): Promise<Plan> {
  const { plan } = await planWith(session, tenant, (open, { patroni }) => {
    const job = jobFor(open, patroni, member, new Date());
    return { ...open, record: { ...open.record, job } };
  });
  return plan;
}

/** @throws PgsError as `chooseReinit`, `endangers` while something else is unfinished, and as `applyCluster` */
export async function reinitMember(
  session: Session,
  tenant: string,
  member: string,
  options: ChangeOptions,
): Promise<Plan> {
  return withTenantLock(
    session,
    tenant,
    `cluster reinit ${tenant} --member ${member}`,
    options.signal,
    (lock, signal) =>
      withCluster(session, tenant, async (open) => {
        const job = jobFor(open, await open.patroni.gather(), member, new Date());
        await refuseWhilePaused(session, { ...open, record: { ...open.record, job } });
        return applyCluster(session, await withJob(session, open, job, lock), lock, { ...options, signal });
      }),
  );
}

/** One that was begun is gone on with, whatever state the member is in by now. */
function jobFor({ cluster, record }: OpenCluster, facts: PatroniFacts, member: string, now: Date): ReinitJob {
  const doing = `making ${member} anew`;
  refuseNotReady(record.phase, cluster.tenant, doing);
  const { job } = record;
  if (job?.kind === 'reinit' && job.member === member) return job;
  refuseOtherJob(record, doing);
  const { postmasterStartedAt } = chooseReinit(cluster, facts, member);
  return { kind: 'reinit', since: now.toISOString(), member, startedAt: postmasterStartedAt };
}
