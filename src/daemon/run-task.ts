// One task from its guardrails to its record. Whoever runs it holds the fleet's drill lock, so that there are never two, and what it writes
// is refused when the lock is lost. The record says `running` before anything is broken: if this process dies, the next one sees it.

import { toPgsError } from '../errors.js';
import { needsAttention, type DrillRun } from '../drills/run.js';
import { acquireDrillLock, DrillStore } from '../drills/store.js';
import type { Lock } from '../state/lock.js';
import type { Task, World } from './world.js';

export type TaskEnd =
  | { kind: 'ran'; run: DrillRun }
  /** It may be tried again: somebody else runs a drill or changes the tenant. */
  | { kind: 'wait'; why: string };

/** @throws PgsError `held` when the lock is lost, and what etcd throws */
export async function runTask(world: World, task: Task, signal: AbortSignal): Promise<TaskEnd> {
  const lock = await takeLock(world, task);
  if ('why' in lock) return { kind: 'wait', why: lock.why };
  try {
    // What somebody left comes first: a drill on top of a fault would prove nothing.
    await endOrphans(world, lock);
    const refusals = await world.guard(task);
    const store = new DrillStore(world.dcs);
    if (refusals.length > 0) {
      const why = refusals.map((r) => r.why).join('; ');
      if (refusals.every((r) => r.passing)) return { kind: 'wait', why };
      return { kind: 'ran', run: await conclude(world, lock, { ...begun(world, task), outcome: 'refused', why }) };
    }
    const either = AbortSignal.any([signal, lock.signal]);
    if (either.aborted) return { kind: 'wait', why: 'it was stopped before it began' };
    const run = begun(world, task);
    await store.putRun(run, lock);
    world.say(`${describe(run)} begins`);
    const performed = await world.perform(task, either);
    return { kind: 'ran', run: await conclude(world, lock, { ...run, ...performed }) };
  } finally {
    await lock.release();
  }
}

async function takeLock({ dcs }: World, { tenant, job }: Task): Promise<Lock | { why: string }> {
  try {
    return await acquireDrillLock(dcs, { command: `${job.kind} ${tenant}` });
  } catch (thrown) {
    const error = toPgsError(thrown);
    if (error.code === 'held') return { why: error.details.found };
    throw error;
  }
}

/** Runs that say `running` while nobody holds the lock: whoever ran them is gone. What they left is healed, and they are on record. */
export async function endOrphans(world: World, lock: Lock): Promise<DrillRun[]> {
  const store = new DrillStore(world.dcs);
  const orphans = (await store.listRuns()).filter((r) => r.outcome === 'running');
  const ended: DrillRun[] = [];
  for (const run of orphans) {
    world.say(`${describe(run)} was left by ${run.ranOn}: healing`);
    const unhealed = await world.heal(run.tenant);
    const why = `whoever ran it on ${run.ranOn} ended or lost its lease${unhealed === null ? '; it is healed' : `; NOT healed: ${unhealed}`}`;
    ended.push(await conclude(world, lock, { ...run, outcome: 'interrupted', why }));
    await handled(store, { ...run, due: new Date(run.due) }, lock);
  }
  return ended;
}

/** Marks what a schedule wanted as done; one of a single time is over. */
export async function handled(
  store: DrillStore,
  { tenant, schedule, due }: Pick<Task, 'tenant' | 'schedule' | 'due'>,
  fence: Lock,
): Promise<void> {
  if (schedule === null) return;
  const after = await store.updateSchedule(
    { tenant, name: schedule },
    (s) => (Date.parse(s.handledUntil) >= due.getTime() ? s : { ...s, handledUntil: due.toISOString() }),
    fence,
  );
  if (after && 'at' in after.when && after.handledUntil >= after.when.at) await store.removeSchedule(after, fence);
}

async function conclude(world: World, lock: Lock, run: DrillRun): Promise<DrillRun> {
  const ended = { ...run, ended: world.now().toISOString() };
  world.say(`${describe(ended)}: ${ended.outcome}${ended.why === null ? '' : `: ${ended.why}`}`);
  const stored = await new DrillStore(world.dcs).putRun(ended, lock).then(
    () => null,
    (thrown: unknown) => toPgsError(thrown),
  );
  if (needsAttention(ended)) await world.notify(ended);
  if (stored) throw stored;
  return ended;
}

export function begun(world: World, { tenant, schedule, job, due }: Task): DrillRun {
  const started = world.now().toISOString();
  return {
    version: 1,
    id: `${started.replace(/[-:]/g, '').replace('.', '-')}-${schedule ?? 'by-hand'}`,
    ...{ tenant, schedule },
    kind: job.kind,
    what: job.kind === 'drill' ? job.suite : (job.to ?? 'any'),
    due: due.toISOString(),
    started,
    ended: null,
    outcome: 'running',
    why: null,
    results: [],
    ranOn: world.me,
    acknowledged: null,
  };
}

function describe({ kind, what, tenant }: DrillRun): string {
  return kind === 'drill' ? `drill ${what} of ${tenant}` : `switchover of ${tenant}`;
}
