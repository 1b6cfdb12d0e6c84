// Many tenants at once, apart from what is done for each: how many at a time, and what the exit code says.

import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { countOutcomes, exitCodeOf, type TenantOutcome } from '../../../src/reconcile/apply-many.js';
import { runBounded } from '../../../src/reconcile/bounded.js';

const never = new AbortController().signal;

describe('a bounded number at a time', () => {
  test('is never exceeded, and is reached', async () => {
    let [now, most] = [0, 0];
    const ended = await runBounded([...Array(20).keys()], { parallel: 3, signal: never }, 'working', async (i) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      now--;
      return i * 2;
    });
    expect(most).toBe(3);
    expect(ended.map((e) => (e.state === 'done' ? e.value : e.state))).toEqual([...Array(20).keys()].map((i) => i * 2));
  });

  test('one that fails stops no other, and is told when it is over', async () => {
    const told: string[] = [];
    const work = (i: number) =>
      i === 1 ? Promise.reject(new PgsError('unfit', { doing: 'x', found: 'y' })) : Promise.resolve(i);
    const ended = await runBounded([0, 1, 2], { parallel: 1, signal: never }, 'working', work, (i, { state }) =>
      told.push(`${i} ${state}`),
    );
    expect(ended.map(({ state }) => state)).toEqual(['done', 'failed', 'done']);
    expect(told).toEqual(['0 done', '1 failed', '2 done']);
  });

  test('after an interruption nothing further is begun', async () => {
    const interrupt = new AbortController();
    const ended = await runBounded([0, 1, 2], { parallel: 1, signal: interrupt.signal }, 'working', () => {
      interrupt.abort();
      return Promise.resolve();
    });
    expect(ended.map(({ state }) => state)).toEqual(['done', 'not begun', 'not begun']);
  });
});

describe('the exit code', () => {
  const of = (change: Partial<TenantOutcome>): TenantOutcome => ({
    tenant: 'acme',
    outcome: 'changed',
    tookMs: 1,
    plan: { subject: '', steps: [], warnings: [] },
    error: null,
    ...change,
  });
  const failed = (code: ConstructorParameters<typeof PgsError>[0]) =>
    of({ outcome: 'failed', plan: null, error: new PgsError(code, { doing: 'x', found: 'y' }) });

  test.each([
    ['all is done', [of({}), of({ outcome: 'unchanged' })], 0],
    ['one could not be placed', [of({}), failed('unfit')], 1],
    ['the gravest counts', [failed('unfit'), failed('held'), failed('usage')], 6],
    ['it was interrupted', [of({}), of({ outcome: 'not begun', plan: null })], 4],
    ['something could not be looked at', [of({ plan: { subject: '', steps: [], warnings: ['h1'] } })], 4],
    ['there was nothing to do', [], 0],
  ])('when %s', (_, all, code) => {
    expect(exitCodeOf(all)).toBe(code);
  });

  test('is beside a count of each outcome', () => {
    expect(countOutcomes([of({}), of({}), failed('held')])).toEqual({
      created: 0,
      changed: 2,
      unchanged: 0,
      failed: 1,
      'not begun': 0,
    });
  });
});
