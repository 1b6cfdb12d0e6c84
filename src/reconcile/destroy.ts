// Removing a tenant. The intent is recorded first, so that an interrupted removal can only be finished.

import { DrillStore } from '../drills/store.js';
import { PgsError } from '../errors.js';
import { gatherCluster, assembleCluster, type OpenCluster } from './cluster.js';
import { refusePaused, withTenantLock, type ChangeOptions } from './change.js';
import { createEffects } from './effects.js';
import { executePlan } from './execute.js';
import { planDestroy } from './plan-destroy.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

export interface DestroyOptions extends ChangeOptions {
  purgeData: boolean;
}

/** @throws PgsError `usage` when there is no such tenant, `endangers` when a host of it cannot be looked at */
export async function destroyCluster(session: Session, tenant: string, options: DestroyOptions): Promise<Plan> {
  return withTenantLock(session, tenant, `cluster destroy ${tenant}`, options.signal, async (lock, signal) => {
    const { open, plan } = await planRemoval(session, tenant, options.purgeData);
    options.onPlan?.(plan);
    const store = await session.store();
    await store.updateTenant(tenant, (record) => ({ ...record, phase: 'destroying' }), lock);
    await new DrillStore(await session.dcs()).forget(tenant);
    try {
      await executePlan(plan, createEffects(session, open, lock), { onEvent: options.onEvent, signal });
    } finally {
      open.patroni.close();
    }
    return plan;
  });
}

export async function planRemoval(
  session: Session,
  tenant: string,
  purgeData: boolean,
): Promise<{ open: OpenCluster; plan: Plan }> {
  const stored = await (await session.store()).getTenant(tenant);
  if (!stored || (stored.record.phase === 'retired' && !purgeData)) {
    throw new PgsError('usage', {
      doing: `destroying ${tenant}`,
      found: stored ? 'it was destroyed before; only its data is left' : 'there is no tenant of that name',
      hint: stored ? `Remove the data with \`pgs cluster destroy ${tenant} --purge-data\`.` : 'See `pgs cluster list`.',
    });
  }
  const open = await assembleCluster(session, stored.record, stored.sealedSecrets);
  const facts = await gatherCluster(session, open);
  const plan = planDestroy({ cluster: open.cluster, facts, purgeData });
  refusePaused(tenant, plan, facts);
  return { open, plan };
}
