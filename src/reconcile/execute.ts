// Runs a plan: every step as soon as what it needs is done, steps on different hosts side by side. Knows nothing of what steps
// do; `Effects` performs and checks them, on real hosts or on simulated ones.

import { PgsError, PgsErrors, toPgsError } from '../errors.js';
import type { Plan, Step, StepEvent } from './step.js';

export interface Effects {
  perform(step: Step): Promise<void>;
  /** Looks whether the step's condition holds; `seen` is what was found, for the error when time is over. */
  check(step: Step): Promise<Seen>;
}

export interface Seen {
  done: boolean;
  seen: string;
}

export interface ExecuteOptions {
  onEvent?: (event: StepEvent) => void;
  /** Aborted by Ctrl-C or by the loss of the lock: running steps end, no further one starts. */
  signal?: AbortSignal;
  /** Shortest time between two looks at a condition; it grows to a tenth of the time waited, since each look costs the hosts CPU. */
  pollMs?: number;
  nowMs?: () => number;
}

const pollMaxMs = 1000;

/**
 * @throws PgsError of the step that failed, PgsErrors of several; `held` or `unknown-result` errors of the signal's reason when
 * it was interrupted. What was done stays done: the same command again goes on from there.
 */
export async function executePlan(plan: Plan, effects: Effects, options: ExecuteOptions = {}): Promise<void> {
  refuseUnrunnable(plan);
  const { signal, onEvent = () => undefined, nowMs = () => performance.now() } = options;
  const done = new Set<string>();
  const running = new Map<string, Promise<void>>();
  const waiting = [...plan.steps];
  const failures: PgsError[] = [];

  const run = async (step: Step) => {
    const startedMs = nowMs();
    onEvent({ kind: 'started', step, atMs: startedMs });
    try {
      await runStep(step, effects, options);
      done.add(step.id);
      onEvent({ kind: 'done', step, atMs: nowMs(), tookMs: nowMs() - startedMs });
    } catch (thrown) {
      const error = toPgsError(thrown, step.title);
      failures.push(error);
      onEvent({ kind: 'failed', step, atMs: nowMs(), error });
    } finally {
      running.delete(step.id);
    }
  };

  for (;;) {
    const mayStart = failures.length === 0 && !signal?.aborted;
    const ready = mayStart ? waiting.filter((s) => s.needs.every((need) => done.has(need))) : [];
    for (const step of ready) {
      waiting.splice(waiting.indexOf(step), 1);
      running.set(step.id, run(step));
    }
    if (running.size === 0) break;
    await Promise.race(running.values());
  }

  if (failures.length === 1) throw failures[0]!;
  if (failures.length > 1) throw new PgsErrors(`applying the plan for ${plan.subject}`, failures);
  if (signal?.aborted) throw interrupted(plan, signal, waiting.length);
}

function refuseUnrunnable(plan: Plan): void {
  const before = new Set<string>();
  for (const step of plan.steps) {
    const missing = step.needs.filter((need) => !before.has(need));
    if (missing.length > 0 || before.has(step.id)) {
      throw new PgsError('bug', {
        doing: `ordering the plan for ${plan.subject}`,
        found: before.has(step.id)
          ? `two steps are called ${step.id}`
          : `${step.id} needs ${missing.join(', ')}, which does not come before it`,
      });
    }
    before.add(step.id);
  }
}

async function runStep(
  step: Step,
  effects: Effects,
  { pollMs = 100, nowMs = () => performance.now() }: ExecuteOptions,
): Promise<void> {
  const startedMs = nowMs();
  const deadlineMs = startedMs + step.timeoutMs;
  if (step.action.kind !== 'none') await effects.perform(step);
  for (;;) {
    const { done, seen } = await effects.check(step);
    if (done) return;
    if (nowMs() >= deadlineMs) {
      throw new PgsError('unknown-result', {
        doing: step.title,
        ...(step.host ? { host: step.host } : {}),
        found: `not done after ${Math.round(step.timeoutMs / 1000)} s: ${seen}`,
        hint: 'Look at the log lines above, mend the cause and run the same command again: it goes on from here.',
      });
    }
    const pauseMs = Math.min(pollMaxMs, Math.max(pollMs, (nowMs() - startedMs) / 10));
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function interrupted(plan: Plan, signal: AbortSignal, left: number): PgsError {
  if (signal.reason instanceof PgsError) return signal.reason;
  return new PgsError('unknown-result', {
    doing: `applying the plan for ${plan.subject}`,
    found: `interrupted with ${left} of ${plan.steps.length} steps not begun`,
    hint: 'Run the same command again: it goes on from here.',
  });
}
