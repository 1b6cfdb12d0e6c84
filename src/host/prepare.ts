// Makes hosts fit, host by host side by side: look, plan, show, apply, look again. One that fails does not stop the others.

import { PgsError, PgsErrors, toPgsError } from '../errors.js';
import type { Inventory } from '../inventory/inventory.js';
import type { StepEvent } from '../reconcile/step.js';
import type { Plan, Step } from '../reconcile/step.js';
import { applyResources, performUnit } from './apply-resources.js';
import { gatherCheckFacts } from './check-facts.js';
import type { HostAccess } from './command.js';
import { gatherHostFacts, wantedFor } from './gather.js';
import { installPackages } from './install-packages.js';
import { packagesOfInterest, planPrepare, resourcesOfInterest, type PrepareFacts } from './plan-prepare.js';

export interface PrepareOptions {
  mode: 'apply' | 'dry-run';
  /** Called once, with the plan of each host that can be prepared, before anything is changed. */
  onPlans?: (plans: Plan[]) => void;
  onEvent?: (event: StepEvent) => void;
}

export interface PrepareOutcome {
  host: string;
  outcome: 'planned' | 'nothing-to-do' | 'prepared';
  plan: Plan;
  tookMs: number;
}

/**
 * Prepares the named hosts.
 * @throws PgsError of the host that could not be prepared, PgsErrors of several; the others are prepared all the same
 */
export async function prepareHosts(
  pool: { get(name: string): HostAccess },
  inventory: Inventory,
  names: string[],
  options: PrepareOptions,
): Promise<PrepareOutcome[]> {
  const startedMs = performance.now();
  const errors: PgsError[] = [];
  const planned = await eachHost(names, errors, async (host) => {
    return { host, plan: await planHost(pool.get(host), inventory) };
  });
  options.onPlans?.(planned.map(({ plan }) => plan));
  const outcomes = await eachHost(planned, errors, async ({ host, plan }): Promise<PrepareOutcome> => {
    const result = { host, plan, outcome: 'nothing-to-do' as const, tookMs: 0 };
    if (plan.steps.length === 0) return result;
    if (options.mode === 'dry-run') return { ...result, outcome: 'planned' };
    await applyPlan(pool.get(host), inventory, plan, options.onEvent);
    return { ...result, outcome: 'prepared', tookMs: performance.now() - startedMs };
  });
  if (errors.length === 1) throw errors[0]!;
  if (errors.length > 1) throw new PgsErrors('preparing hosts', errors);
  return outcomes;
}

/**
 * Prepares one machine; for the sandbox, which keeps the result.
 * @throws PgsError that says why it could not
 */
export async function prepareMachine(
  access: HostAccess,
  inventory: Inventory,
  onEvent?: (event: StepEvent) => void,
): Promise<void> {
  await applyPlan(access, inventory, await planHost(access, inventory), onEvent);
}

async function planHost(access: HostAccess, inventory: Inventory): Promise<Plan> {
  return planPrepare(await gatherPrepareFacts(access, inventory), inventory, access.name);
}

/** Both looks go at once, so together they cost one round trip. */
async function gatherPrepareFacts(access: HostAccess, inventory: Inventory): Promise<PrepareFacts> {
  const [check, host] = await Promise.all([
    gatherCheckFacts(access, packagesOfInterest(inventory)),
    gatherHostFacts(access, wantedFor(resourcesOfInterest(inventory))),
  ]);
  if (host.reachable) return { check, host };
  throw new PgsError('unreachable', {
    doing: 'looking at the host',
    host: access.name,
    found: host.why,
    hint: 'When the host answers again, run the same command again.',
  });
}

/** Steps of one host need each other in their order, so they run one after the other. */
async function applyPlan(
  access: HostAccess,
  inventory: Inventory,
  plan: Plan,
  onEvent: (event: StepEvent) => void = () => undefined,
): Promise<void> {
  if (plan.steps.length === 0) return;
  for (const step of plan.steps) {
    const startedMs = performance.now();
    onEvent({ kind: 'started', step, atMs: startedMs });
    try {
      await perform(access, inventory, step);
    } catch (thrown) {
      const error = toPgsError(thrown, step.title);
      onEvent({ kind: 'failed', step, atMs: performance.now(), error });
      throw error;
    }
    onEvent({ kind: 'done', step, atMs: performance.now(), tookMs: performance.now() - startedMs });
  }
  await proveFit(access, inventory);
}

/** Nothing may be left to do, and nothing may have started behind our back. */
async function proveFit(access: HostAccess, inventory: Inventory): Promise<void> {
  const { steps } = await planHost(access, inventory);
  if (steps.length === 0) return;
  throw new PgsError('command-failed', {
    doing: 'preparing the host',
    host: access.name,
    found: `every step went well, and yet there is something to do: ${steps.map(({ title, diff }) => [title, ...diff.map(({ what, before, after }) => `  ${what}: ${before} -> ${after}`)].join('\n')).join('\n')}`,
    hint: 'Something else changes this host at the same time (configuration management?); find it, then run this again.',
  });
}

async function perform(access: HostAccess, inventory: Inventory, { action, timeoutMs, title }: Step): Promise<void> {
  switch (action.kind) {
    case 'resources':
      return applyResources(access, action.resources, timeoutMs);
    case 'packages':
      return installPackages(
        access,
        // A PostgreSQL of the distribution must not slip in because PGDG did not answer.
        { ...action, lists: inventory.packages === 'pgdg' ? 'every-source' : 'any-source' },
        timeoutMs,
      );
    case 'unit':
      return performUnit(access, action.unit, action.verb, timeoutMs);
    default:
      throw new PgsError('bug', { doing: title, host: access.name, found: `no way to perform ${action.kind}` });
  }
}

/** Runs `work` for all at once; failures go to `errors`, results stay in order. */
async function eachHost<T, R>(items: T[], errors: PgsError[], work: (item: T) => Promise<R>): Promise<R[]> {
  const settled = await Promise.allSettled(items.map(work));
  return settled.flatMap((result) => {
    if (result.status === 'fulfilled') return [result.value];
    errors.push(toPgsError(result.reason, 'preparing hosts'));
    return [];
  });
}
