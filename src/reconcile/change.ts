// Changing a tenant under its lock: gather, plan, apply, until nothing differs.

import { PgsError, PgsErrors } from '../errors.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { patroniUnit } from '../patroni/desired.js';
import { isMoving, withLeavingBack } from '../topology/membership.js';
import type { TenantPhase, TenantRecord } from '../topology/tenant.js';
import { acquireTenantLock, type TenantLock } from '../state/lock.js';
import { assembleCluster, gatherCluster, storeSecrets, withCluster, type OpenCluster } from './cluster.js';
import { createEffects } from './effects.js';
import { executePlan } from './execute.js';
import { isPaused, planCluster, refuseMissingHosts, type ClusterFacts } from './plan-cluster.js';
import { leaderAmongLeaving, planMove } from './plan-moves.js';
import { switchoverStep } from './plan-restarts.js';
import { portStrangers } from './port-strangers.js';
import type { Session } from './session.js';
import type { Plan, StepEvent } from './step.js';

export interface ChangeOptions {
  signal: AbortSignal;
  onEvent: (event: StepEvent) => void;
  /** Called once with the plan, before anything is done. */
  onPlan?: (plan: Plan) => void;
  /** End transactions of clients that keep a leader from restarting or handing over, with an error, instead of giving up. */
  force?: boolean;
  /** What of the tenant may be dropped with its data: `database` or `database/extension`. */
  dropData?: string[];
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

/** @param dropData what may be dropped with its data, as `PlanInput.dropData` */
export function planOf(open: OpenCluster, facts: ClusterFacts, dropData: string[] = []): Plan {
  const { cluster, record, secrets, dcs, door } = open;
  const { phase, job, left } = record;
  return planCluster({ cluster, phase, secrets, dcs, door, facts, job, left, dropData });
}

export interface Planned {
  plan: Plan;
  /** As it is stored. */
  before: OpenCluster;
  /** As the change makes it. */
  after: OpenCluster;
}

/**
 * What a change would do, with nothing stored.
 * @param change the cluster as it is to be; it may look at what was found
 * @throws PgsError what `change` throws, and as `refusePaused`
 */
export async function planWith(
  session: Session,
  tenant: string,
  change: (open: OpenCluster, facts: ClusterFacts) => OpenCluster,
): Promise<Planned> {
  return withCluster(session, tenant, async (before) => {
    const facts = await gatherCluster(session, before);
    const after = change(before, facts);
    const plan = planOf(after, facts);
    refusePaused(tenant, plan, facts);
    return { plan, before, after };
  });
}

/**
 * Most of what is done to a cluster needs it in service.
 * @throws PgsError `endangers` with the way out
 */
export function refuseNotReady(phase: TenantPhase, tenant: string, doing: string): void {
  if (phase === 'ready') return;
  const wayOut: Partial<Record<TenantPhase, string>> = {
    creating: `Finish it first: \`pgs apply ${tenant}\`.`,
    stopped: `Start it first: \`pgs cluster start ${tenant}\`.`,
    destroying: `Finish its removal: \`pgs cluster destroy ${tenant}\`.`,
  };
  throw new PgsError('endangers', {
    doing,
    found: phase === 'creating' ? 'it is not finished yet' : `it is ${phase}`,
    hint: wayOut[phase] ?? `See \`pgs cluster status ${tenant}\`.`,
  });
}

/** @throws PgsError `endangers` for a tenant of which nothing is to run */
export function refuseStopped(phase: TenantPhase, tenant: string, doing: string): void {
  if (phase === 'stopped') refuseNotReady(phase, tenant, doing);
}

/** Each move of a member takes two at the most: to remember that it is lost, and to change the login that its host knows. */
const movesMax = 8;

/**
 * Makes the cluster what its record says, and goes on while members come and go: each move changes the record, and the next plan is made
 * from that. Returns all that was done as one plan, for the report.
 */
export async function applyCluster(
  session: Session,
  open: OpenCluster,
  lock: TenantLock,
  options: ChangeOptions,
): Promise<Plan> {
  const { tenant } = open.cluster;
  const plans = [await applyOnce(session, open, lock, options)];
  if (!isMoving(open.record.allocation)) return plans[0]!;
  const { onEvent, signal, force = false } = options;
  for (let move = 0; move < movesMax; move++) {
    const moved = await withCluster(session, tenant, (now) => moveMembers(session, now, lock, options));
    // With a member gone, those that stay still let it in.
    const isGone = plans.at(-1)!.steps.some((step) => step.action.kind === 'forget-member');
    if (!moved && !isGone) break;
    if (moved) plans.push(moved);
    plans.push(await withCluster(session, tenant, (now) => applyOnce(session, now, lock, { onEvent, signal, force })));
  }
  return { ...plans.at(-1)!, steps: plans.flatMap((plan) => plan.steps) };
}

/** The next move of members; null when there is none, or none can be made now. */
async function moveMembers(
  session: Session,
  open: OpenCluster,
  lock: TenantLock,
  { onEvent, signal, force = false }: ChangeOptions,
): Promise<Plan | null> {
  const { record, cluster } = open;
  if (record.phase !== 'ready' || !isMoving(record.allocation)) return null;
  const facts = await gatherCluster(session, open);
  const stray = leaderAmongLeaving(cluster, facts);
  if (stray) return handBack(session, record, stray.name, lock, { onEvent, signal, force });
  const steps = planMove(cluster, facts);
  if (steps.length === 0) return null;
  const plan = { subject: `members of ${cluster.tenant}`, steps, warnings: [] };
  refusePaused(cluster.tenant, plan, facts);
  await executePlan(plan, createEffects(session, open, lock, force), { onEvent, signal });
  return plan;
}

/** Who leaves and leads is seen as a member for as long as that takes to change. */
async function handBack(
  session: Session,
  record: TenantRecord,
  from: string,
  lock: TenantLock,
  { onEvent, signal, force = false }: ChangeOptions,
): Promise<Plan> {
  const { tenant } = record.spec;
  const stored = await (await session.store()).getTenant(tenant);
  const whole = { ...record, allocation: withLeavingBack(record.allocation) };
  const open = await assembleCluster(session, whole, stored?.sealedSecrets ?? null);
  try {
    const steps = [switchoverStep(tenant, from, `${from} leads and is to leave`)];
    const plan = { subject: `members of ${tenant}`, steps, warnings: [] };
    await executePlan(plan, createEffects(session, open, lock, force), { onEvent, signal });
    return plan;
  } finally {
    open.patroni.close();
  }
}

async function applyOnce(session: Session, open: OpenCluster, lock: TenantLock, options: ChangeOptions): Promise<Plan> {
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
  const plan = planOf(open, facts, options.dropData);
  refusePaused(open.cluster.tenant, plan, facts);
  options.onPlan?.(plan);
  const effects = createEffects(session, open, lock, options.force);
  await executePlan(plan, effects, { onEvent: options.onEvent, signal: options.signal });
  return plan;
}

/**
 * Before what is wanted is stored: a paused cluster is looked at as a whole, and left as it is when the change needs Patroni.
 * @throws PgsError `endangers` as `refusePaused`
 */
export async function refuseWhilePaused(session: Session, open: OpenCluster): Promise<void> {
  const { settings } = await readTenantKeys(await session.dcs(), open.cluster.tenant);
  if (!isPaused({ settings })) return;
  const facts = await gatherCluster(session, open);
  refusePaused(open.cluster.tenant, planOf(open, facts), facts);
}

/**
 * A paused Patroni hands nothing over, and leaves PostgreSQL running when it stops.
 * @throws PgsError `endangers` when the plan needs it to
 */
export function refusePaused(tenant: string, { steps }: Plan, facts: ClusterFacts): void {
  if (!isPaused(facts)) return;
  const needing = steps.filter(({ action }) => {
    const stops =
      action.kind === 'unit' && ['stop', 'restart'].includes(action.verb) && action.unit === patroniUnit(tenant);
    return stops || action.kind === 'switchover' || action.kind === 'restart-postgres' || action.kind === 'reinit';
  });
  if (needing.length === 0) return;
  throw new PgsError('endangers', {
    doing: `changing ${tenant}`,
    found: `Patroni is paused, and this would ${needing.map((s) => s.title).join(', ')}`,
    hint: `Resume it first: \`pgs cluster resume ${tenant}\`. Nothing was changed.`,
  });
}
