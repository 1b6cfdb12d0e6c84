// `pgs access`: who may come through the front door changes at once on every entry, without a reload; the spec keeps it, so that an
// apply, a reload and a boot do too.

import type { Access } from '../topology/access.js';
import { closedAccess, describeAccess } from '../topology/access.js';
import { completeSpec, specToFile } from '../topology/spec.js';
import { refuseNotReady, withTenantLock, type ChangeOptions } from './change.js';
import { openCluster, withCluster, type OpenCluster } from './cluster.js';
import { createEffects } from './effects.js';
import { executePlan } from './execute.js';
import type { Session } from './session.js';
import { blankStep, type Plan, type Step } from './step.js';

export interface AccessRequest {
  tenant: string;
  enabled: boolean;
  /** Null: as they were. Empty: everybody. */
  from: string[] | null;
  /** Of clients that are not permitted any more. */
  sessions: 'cut' | 'keep';
}

/** With nothing stored; no steps when it is so already. @throws PgsError as `changeAccess` */
export async function planAccess(session: Session, request: AccessRequest): Promise<Plan> {
  return withCluster(session, request.tenant, (before) => {
    const after = withAccess(before, request);
    const same = describe(before) === describe(after);
    return Promise.resolve({ ...accessPlan(before, after, request), ...(same ? { steps: [] } : {}) });
  });
}

/**
 * Stores the rule, and puts it in force on every host side by side. The same command again does what an interrupted one did not.
 * @throws PgsError `configuration` for networks that are none, `endangers` for a tenant that is not in service, and of hosts
 */
export async function changeAccess(session: Session, request: AccessRequest, options: ChangeOptions): Promise<Plan> {
  const { tenant } = request;
  const command = `access ${request.enabled ? 'enable' : 'disable'} ${tenant}`;
  return withTenantLock(session, tenant, command, options.signal, async (lock, signal) => {
    const before = await openCluster(session, tenant);
    try {
      const after = withAccess(before, request);
      const plan = accessPlan(before, after, request);
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, spec: after.record.spec }), lock);
      await executePlan(plan, createEffects(session, after, lock), { onEvent: options.onEvent, signal });
      return plan;
    } finally {
      before.patroni.close();
    }
  });
}

function withAccess(open: OpenCluster, { tenant, enabled, from }: AccessRequest): OpenCluster {
  refuseNotReady(open.record.phase, tenant, `changing access to ${tenant}`);
  const { spec: before } = open.record;
  const access = { enabled, ...(from ? { from } : {}) };
  const spec = completeSpec({ ...specToFile(before), access }, before, 'the command line');
  return { ...open, record: { ...open.record, spec }, cluster: { ...open.cluster, spec } };
}

function accessPlan(before: OpenCluster, after: OpenCluster, { tenant, sessions }: AccessRequest): Plan {
  const access = accessOf(after);
  const diff = [{ what: 'access', before: describe(before), after: describe(after) }];
  const cuts = sessions === 'cut' ? ' and end the sessions that it does not permit' : '';
  const steps = after.cluster.entries.map(({ name }): Step => ({
    ...blankStep(`${name}/${tenant}-access`),
    host: name,
    title: `${access.enabled ? 'open' : 'close'} the front door to ${tenant}${cuts}`,
    reason: describe(before) === describe(after) ? 'asked for again' : `access is ${describe(before)}`,
    diff,
    timeoutMs: 75_000,
    action: { kind: 'access', tenant, access, sessions },
  }));
  return { subject: `access to ${tenant}`, steps, warnings: [] };
}

function accessOf({ cluster }: OpenCluster): Access {
  return cluster.spec.access ?? closedAccess;
}

function describe(open: OpenCluster): string {
  return describeAccess(accessOf(open));
}
