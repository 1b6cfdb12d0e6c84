// A tenant whose spec changes: what may change by applying, and what is a job of its own.

import { PgsError } from '../errors.js';
import { completeSpec } from '../topology/spec.js';
import type { TenantSpec } from '../topology/tenant.js';
import { applyCluster, refuseWhilePaused, withTenantLock, type ChangeOptions } from './change.js';
import { openCluster, type OpenCluster } from './cluster.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

/** The cluster with another spec. @throws PgsError `configuration` for changes that an apply cannot make */
function withSpec(open: OpenCluster, given: Record<string, unknown>, source: string): OpenCluster {
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

/** Where another spec comes from. */
export interface Respec {
  tenant: string;
  /** What was run, for whoever finds the tenant locked. */
  command: string;
  /** File or command line, for errors. */
  source: string;
  /** Its fields, in their YAML names. */
  given: (before: TenantSpec) => Record<string, unknown>;
}

/** The cluster with the other spec, not stored, for a dry run. @throws PgsError as `withSpec` */
export function respecced(open: OpenCluster, { given, source }: Respec): OpenCluster {
  return withSpec(open, given(open.record.spec), source);
}

/** Stores the new spec and applies it, under the tenant's lock. */
export async function respecCluster(session: Session, respec: Respec, options: ChangeOptions): Promise<Plan> {
  const { tenant, command } = respec;
  return withTenantLock(session, tenant, command, options.signal, async (lock, signal) => {
    const open = respecced(await openCluster(session, tenant), respec);
    try {
      await refuseWhilePaused(session, open);
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, spec: open.record.spec }), lock);
      return await applyCluster(session, open, lock, { ...options, signal });
    } finally {
      open.patroni.close();
    }
  });
}
