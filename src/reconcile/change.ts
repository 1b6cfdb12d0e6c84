// Changing a tenant under its lock: gather, plan, apply, until nothing differs.

import { PgsError, PgsErrors } from '../errors.js';
import { acquireTenantLock, type TenantLock } from '../state/lock.js';
import { gatherCluster, storeSecrets, type OpenCluster } from './cluster.js';
import { createEffects } from './effects.js';
import { executePlan } from './execute.js';
import { planCluster, refuseMissingHosts, type ClusterFacts } from './plan-cluster.js';
import { portStrangers } from './port-strangers.js';
import type { Session } from './session.js';
import type { Plan, StepEvent } from './step.js';

export interface ChangeOptions {
  signal: AbortSignal;
  onEvent: (event: StepEvent) => void;
  /** Called once with the plan, before anything is done. */
  onPlan?: (plan: Plan) => void;
}

/**
 * Runs `work` while holding the tenant's lock. Its signal aborts on Ctrl-C and when the lock is lost.
 * @throws PgsError `held` when another operator changes the tenant
 */
export async function withTenantLock<T>(
  session: Session,
  tenant: string,
  command: string,
  signal: AbortSignal,
  work: (lock: TenantLock, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const lock = await acquireTenantLock(await session.dcs(), tenant, { command });
  try {
    return await work(lock, AbortSignal.any([signal, lock.signal]));
  } finally {
    await lock.release();
  }
}

export function planOf(open: OpenCluster, facts: ClusterFacts): Plan {
  const { cluster, record, secrets, dcs } = open;
  return planCluster({ cluster, phase: record.phase, secrets, dcs, facts });
}

/** What of a change needs no plan to be known: the plan as it was applied, for the report. */
export async function applyCluster(
  session: Session,
  open: OpenCluster,
  lock: TenantLock,
  options: ChangeOptions,
): Promise<Plan> {
  if (open.record.phase === 'destroying') {
    throw new PgsError('endangers', {
      doing: `changing ${open.cluster.tenant}`,
      found: 'its removal was begun and not finished',
      hint: `Finish it with \`pgs cluster destroy ${open.cluster.tenant}\`.`,
    });
  }
  await storeSecrets(session, open, lock);
  const facts = await gatherCluster(session, open);
  if (open.record.phase === 'creating') refuseMissingHosts(open.cluster, facts);
  const strangers = portStrangers(open.cluster, facts);
  if (strangers.length > 1) throw new PgsErrors(`looking at the ports of ${open.cluster.tenant}`, strangers);
  if (strangers[0]) throw strangers[0];
  const plan = planOf(open, facts);
  options.onPlan?.(plan);
  await executePlan(plan, createEffects(session, open, lock), { onEvent: options.onEvent, signal: options.signal });
  return plan;
}
