// `pgs cluster stop` and `start`. Whether a tenant is to run is part of its record, so that an apply keeps it as it is.

import type { TenantPhase } from '../topology/tenant.js';
import {
  applyCluster,
  planWith,
  refuseNotReady,
  refuseWhilePaused,
  withTenantLock,
  type ChangeOptions,
} from './change.js';
import { openCluster, type OpenCluster } from './cluster.js';
import { refuseMoving, refuseOtherJob } from './job.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

/** Whether the tenant is to run. */
export type Wanted = 'stopped' | 'ready';

/** With nothing stored. @throws PgsError as `stopCluster` */
export async function planStop(session: Session, tenant: string, want: Wanted): Promise<Plan> {
  return (await planWith(session, tenant, (open) => withPhase(open, want))).plan;
}

/**
 * Stops everything of the tenant, or starts it again and proves that it serves. Either goes on after an interruption by the same
 * command, or by an apply.
 * @throws PgsError `endangers` for one that is being made or removed, or is paused, and as `applyCluster`
 */
export async function stopCluster(
  session: Session,
  tenant: string,
  want: Wanted,
  options: ChangeOptions,
): Promise<Plan> {
  const command = `cluster ${want === 'stopped' ? 'stop' : 'start'} ${tenant}`;
  return withTenantLock(session, tenant, command, options.signal, async (lock, signal) => {
    const open = withPhase(await openCluster(session, tenant), want);
    try {
      await refuseWhilePaused(session, open);
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, phase: want }), lock);
      const plan = await applyCluster(session, open, lock, { ...options, signal });
      if (want === 'stopped' || plan.warnings.length === 0) return plan;
      // What could not be asked while nothing ran, such as the roles, can be asked now.
      const { onEvent, force } = options;
      const rest = await applyCluster(session, open, lock, { onEvent, signal, ...(force ? { force } : {}) });
      return { ...rest, steps: [...plan.steps, ...rest.steps] };
    } finally {
      open.patroni.close();
    }
  });
}

function withPhase(open: OpenCluster, want: Wanted): OpenCluster {
  const { phase } = open.record;
  const settled: TenantPhase[] = ['ready', 'stopped'];
  const doing = `${want === 'stopped' ? 'stopping' : 'starting'} ${open.cluster.tenant}`;
  if (!settled.includes(phase)) refuseNotReady(phase, open.cluster.tenant, doing);
  if (want === 'stopped') {
    refuseOtherJob(open.record, doing);
    refuseMoving(open.record, doing);
  }
  return { ...open, record: { ...open.record, phase: want } };
}
