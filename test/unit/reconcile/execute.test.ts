import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { executePlan, type Effects } from '../../../src/reconcile/execute.js';
import type { Plan, Step } from '../../../src/reconcile/step.js';

function step(id: string, needs: string[] = [], change: Partial<Step> = {}): Step {
  return {
    id,
    host: null,
    title: `do ${id}`,
    reason: '',
    diff: [],
    needs,
    timeoutMs: 1000,
    destructive: false,
    action: { kind: 'record-phase', tenant: 'acme', phase: 'ready' },
    done: { kind: 'none' },
    ...change,
  };
}

const planOf = (steps: Step[]): Plan => ({ subject: 'cluster acme', steps, warnings: [] });

/** Records the order; steps named in `failing` fail, steps in `slow` need that many looks. */
function effects(
  log: string[],
  { failing = [], slow = {} }: { failing?: string[]; slow?: Record<string, number> } = {},
): Effects {
  const looks = new Map(Object.entries(slow));
  return {
    perform: (s) => {
      log.push(`perform ${s.id}`);
      return failing.includes(s.id)
        ? Promise.reject(new PgsError('command-failed', { doing: s.title, found: 'no' }))
        : Promise.resolve();
    },
    check: (s) => {
      const left = looks.get(s.id) ?? 0;
      looks.set(s.id, left - 1);
      if (left <= 0) log.push(`done ${s.id}`);
      return Promise.resolve({ done: left <= 0, seen: 'not yet' });
    },
  };
}

test('a step waits for what it needs, and only for that', async () => {
  const log: string[] = [];
  await executePlan(planOf([step('a'), step('b'), step('c', ['a'])]), effects(log, { slow: { b: 3 } }), { pollMs: 1 });
  expect(log.indexOf('perform c')).toBeGreaterThan(log.indexOf('done a'));
  expect(log.indexOf('perform c')).toBeLessThan(log.indexOf('done b'));
});

test('after a failure no further step starts, the running ones end, and the error is that of the step', async () => {
  const log: string[] = [];
  const run = executePlan(
    planOf([step('a'), step('b'), step('c', ['b'])]),
    effects(log, { failing: ['a'], slow: { b: 2 } }),
    { pollMs: 1 },
  );
  await expect(run).rejects.toThrowError('do a: no');
  expect(log).toContain('done b');
  expect(log).not.toContain('perform c');
});

test('several failures are all reported', async () => {
  const run = executePlan(planOf([step('a'), step('b')]), effects([], { failing: ['a', 'b'] }), { pollMs: 1 });
  await expect(run).rejects.toMatchObject({ errors: [{ message: 'do a: no' }, { message: 'do b: no' }] });
});

test('a condition that never holds ends with what was seen last', async () => {
  let now = 0;
  const run = executePlan(planOf([step('a', [], { timeoutMs: 5000 })]), effects([], { slow: { a: Infinity } }), {
    pollMs: 0,
    nowMs: () => (now += 1000),
  });
  await expect(run).rejects.toMatchObject({
    code: 'unknown-result',
    details: { found: expect.stringContaining('not yet') as string },
  });
});

test('an interrupt lets the running step end and starts no other', async () => {
  const log: string[] = [];
  const interrupt = new AbortController();
  const run = executePlan(planOf([step('a'), step('b', ['a'])]), effects(log, { slow: { a: 2 } }), {
    pollMs: 1,
    signal: interrupt.signal,
    onEvent: (event) => {
      if (event.kind === 'started') interrupt.abort();
    },
  });
  await expect(run).rejects.toMatchObject({ code: 'unknown-result' });
  expect(log).toEqual(['perform a', 'done a']);
});

test('a lost lock is the error of the run', async () => {
  const interrupt = new AbortController();
  interrupt.abort(new PgsError('held', { doing: 'holding the lock', found: 'lost' }));
  await expect(executePlan(planOf([step('a')]), effects([]), { signal: interrupt.signal })).rejects.toMatchObject({
    code: 'held',
  });
});

test('waiting steps perform nothing', async () => {
  const log: string[] = [];
  await executePlan(planOf([step('a', [], { action: { kind: 'none' } })]), effects(log), {});
  expect(log).toEqual(['done a']);
});

describe('a plan that cannot be run is our bug', () => {
  test.each([
    ['needs what comes later', [step('a', ['b']), step('b')]],
    ['has an id twice', [step('a'), step('a')]],
  ])('when it %s', async (_what, steps) => {
    await expect(executePlan(planOf(steps), effects([]), {})).rejects.toMatchObject({ code: 'bug' });
  });
});
