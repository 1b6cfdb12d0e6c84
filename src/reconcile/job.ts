// What an operator asked for once, kept with the tenant until it is done; see `Job`.

import { PgsError } from '../errors.js';
import type { TenantLock } from '../state/lock.js';
import { isUnderWay } from '../topology/membership.js';
import type { Job, TenantRecord } from '../topology/tenant.js';
import type { OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** The same tenant with something to do, which is remembered from now on. */
export async function withJob(session: Session, open: OpenCluster, job: Job, lock: TenantLock): Promise<OpenCluster> {
  const store = await session.store();
  const { record } = await store.updateTenant(open.cluster.tenant, (before) => ({ ...before, job }), lock);
  return { ...open, record };
}

/** @throws PgsError `endangers` while something else was begun and is not finished */
export function refuseOtherJob({ job, spec: { tenant } }: TenantRecord, doing: string): void {
  if (!job) return;
  const what = job.kind === 'reinit' ? `making ${job.member} anew` : `a ${job.kind}`;
  throw new PgsError('endangers', {
    doing,
    found: `${what} was begun ${job.since} and is not finished`,
    hint: `Finish it first: \`pgs apply ${tenant}\`.`,
  });
}

/** @throws PgsError `endangers` while members come or go */
export function refuseMoving({ allocation, spec: { tenant } }: TenantRecord, doing: string): void {
  if (!isUnderWay(allocation)) return;
  const hint = `Finish that first: \`pgs apply ${tenant}\`.`;
  throw new PgsError('endangers', { doing, found: 'members of it are coming or going', hint });
}
