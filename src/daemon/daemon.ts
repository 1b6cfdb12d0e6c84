// The daemon: of several one is active, which holds a lease in etcd, and runs what is due. One that cannot renew its lease stops by its
// own monotonic clock before etcd could give it to another: it begins nothing, and aborts and heals what runs.

import { toPgsError } from '../errors.js';
import { needsAttention, type DrillRun } from '../drills/run.js';
import { decide, missedCountMax, type Decision, type Schedule } from '../drills/schedule.js';
import { acquireDrillLock, daemonLockable, DrillStore } from '../drills/store.js';
import { acquireLock, type Lock } from '../state/lock.js';
import { begun, endOrphans, handled, runTask } from './run-task.js';
import { decideWatch, noWatchState, type WatchState } from './watch.js';
import type { Task, World } from './world.js';

/** Between two looks at the schedules; cron counts in minutes. */
const tickMs = 5000;
/** Between two looks at what runs on the hosts. */
const watchMs = 60_000;

/** Runs until the signal aborts. Never throws for what etcd or a drill does. */
export async function runDaemon(world: World, signal: AbortSignal): Promise<void> {
  let said = '';
  while (!signal.aborted) {
    const lock = await standBy(world, (line) => {
      if (line !== said) world.say((said = line));
    });
    if (lock) {
      said = '';
      world.say('active');
      try {
        await beActive(world, lock, AbortSignal.any([signal, lock.signal]));
      } finally {
        await lock.release();
      }
      if (lock.signal.aborted) world.say('no longer active: the lease is lost');
    } else await world.sleep(tickMs, signal);
  }
  world.say('stopped');
}

async function standBy({ dcs }: World, say: (line: string) => void): Promise<Lock | null> {
  try {
    return await acquireLock(dcs, daemonLockable, { command: 'pgs daemon' });
  } catch (thrown) {
    const error = toPgsError(thrown);
    // The seconds that are left change with every look.
    say(
      error.code === 'held'
        ? `standing by: ${error.details.found.replace(/; if that process is gone.*/, '')}`
        : error.message,
    );
    return null;
  }
}

async function beActive(world: World, lock: Lock, signal: AbortSignal): Promise<void> {
  const waiting = new Map<string, string>();
  let [watched, lastWatchMs] = [noWatchState, -Infinity];
  while (!signal.aborted) {
    try {
      await look(world, lock, signal, waiting);
      if (world.watch && world.now().getTime() - lastWatchMs >= watchMs) {
        lastWatchMs = world.now().getTime();
        watched = await watch(world, watched, signal);
      }
    } catch (thrown) {
      if (!signal.aborted) world.say(toPgsError(thrown).message);
    }
    await world.sleep(tickMs, signal);
  }
}

/** Says what is not as it should be, and starts what the policy lets it start. */
async function watch(world: World, before: WatchState, signal: AbortSignal): Promise<WatchState> {
  const { watch } = world;
  if (!watch || watch.policy === 'off') return before;
  const decision = decideWatch(await watch.look(), watch.policy, before, world.now().getTime());
  decision.say.forEach((line) => world.say(line));
  for (const down of decision.start) {
    if (signal.aborted) break;
    const why = await watch.start(down);
    world.say(
      why === null
        ? `started ${down.unit} on ${down.host}`
        : `${down.unit} on ${down.host} could not be started: ${why}`,
    );
  }
  return decision.state;
}

/** One look at everything: what died is ended, and what is due is done. */
async function look(world: World, lock: Lock, signal: AbortSignal, waiting: Map<string, string>): Promise<void> {
  const store = new DrillStore(world.dcs);
  if ((await store.listRuns()).some((r) => r.outcome === 'running')) await endOrphansIfFree(world);
  for (const schedule of await store.listSchedules()) {
    if (signal.aborted) return;
    const key = `${schedule.tenant}/${schedule.name}`;
    const why = await serve(world, lock, schedule, signal);
    if (why !== null && waiting.get(key) !== why) world.say(`${key} waits: ${why}`);
    if (why === null) waiting.delete(key);
    else waiting.set(key, why);
  }
}

/** Whoever holds the lock looks after its own run. */
async function endOrphansIfFree(world: World): Promise<void> {
  const lock = await acquireDrillLock(world.dcs, { command: 'healing what a drill left' }).catch((thrown: unknown) => {
    if (toPgsError(thrown).code === 'held') return null;
    throw thrown;
  });
  if (!lock) return;
  try {
    await endOrphans(world, lock);
  } finally {
    await lock.release();
  }
}

/** Does what one schedule wants now; why it has to wait, or null. */
async function serve(world: World, lock: Lock, schedule: Schedule, signal: AbortSignal): Promise<string | null> {
  const decision = decide(schedule, world.now());
  switch (decision.kind) {
    case 'idle':
      return null;
    case 'wait':
      return decision.why;
    case 'clock-was-ahead':
      await countFromNow(world, lock, schedule);
      return null;
    case 'missed':
      await recordMissed(world, lock, schedule, decision);
      return null;
    case 'run': {
      const task = taskOf(schedule, decision.dueAt);
      const end = await runTask(world, task, signal);
      if (end.kind === 'wait') return end.why;
      await handled(new DrillStore(world.dcs), task, lock);
      return null;
    }
  }
}

async function countFromNow(world: World, lock: Lock, schedule: Schedule): Promise<void> {
  const now = world.now().toISOString();
  world.say(`${schedule.tenant}/${schedule.name} counts from ${now}: a clock was ahead, at ${schedule.handledUntil}`);
  await new DrillStore(world.dcs).updateSchedule(schedule, (s) => ({ ...s, handledUntil: now }), lock);
}

async function recordMissed(
  world: World,
  lock: Lock,
  schedule: Schedule,
  { dueAt, until, count, why }: Extract<Decision, { kind: 'missed' }>,
): Promise<void> {
  const task = taskOf(schedule, dueAt);
  const store = new DrillStore(world.dcs);
  const runs = count < missedCountMax ? `${count} runs` : `${count} runs or more`;
  const run: DrillRun = {
    ...begun(world, task),
    ended: world.now().toISOString(),
    outcome: 'missed',
    why: count === 1 ? why : `${runs} from ${dueAt.toISOString()} to ${until.toISOString()}: ${why}`,
  };
  await store.putRun(run, lock);
  await handled(store, { ...task, due: until }, lock);
  world.say(`${schedule.tenant}/${schedule.name} missed: ${run.why}`);
  if (needsAttention(run)) await world.notify(run);
}

function taskOf({ tenant, name, job }: Schedule, due: Date): Task {
  return { tenant, schedule: name, job, due };
}
