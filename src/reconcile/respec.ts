// A tenant whose spec changes: what may change by applying, and what is a job of its own.

import { PgsError } from '../errors.js';
import { completeSpec } from '../topology/spec.js';
import { applyCluster, withTenantLock, type ChangeOptions } from './change.js';
import { openCluster, type OpenCluster } from './cluster.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

/** The cluster with another spec, not stored. @throws PgsError `configuration` for changes that an apply cannot make */
export function withSpec(open: OpenCluster, given: Record<string, unknown>, source: string): OpenCluster {
  const { spec: before } = open.record;
  const spec = completeSpec(given, before, source);
  const fixed = (['postgres', 'replicas'] as const).filter((key) => spec[key] !== before[key]);
  if (fixed.length > 0) {
    throw new PgsError('configuration', {
      doing: `reading ${source}`,
      found: fixed.map((key) => `${key} is ${before[key]} and cannot become ${spec[key]} by applying`).join('\n'),
      hint: 'Leave it as it is, or make a new cluster.',
    });
  }
  return { ...open, record: { ...open.record, spec }, cluster: { ...open.cluster, spec } };
}

/** Stores the new spec and applies it, under the tenant's lock. */
export async function respecCluster(
  session: Session,
  given: Record<string, unknown> & { tenant: string },
  source: string,
  options: ChangeOptions,
): Promise<Plan> {
  return withTenantLock(session, given.tenant, `apply -f ${source}`, options.signal, async (lock, signal) => {
    const open = withSpec(await openCluster(session, given.tenant), given, source);
    const store = await session.store();
    await store.updateTenant(given.tenant, (record) => ({ ...record, spec: open.record.spec }), lock);
    try {
      return await applyCluster(session, open, lock, { ...options, signal });
    } finally {
      open.patroni.close();
    }
  });
}
