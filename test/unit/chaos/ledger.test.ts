import { describe, expect, test } from 'vitest';
import { judgeLedger, type LedgerEntry } from '../../../chaos/ledger.js';

const entry = (key: number, outcome: LedgerEntry['outcome'] = 'acknowledged', endedMs = key * 10): LedgerEntry => ({
  key,
  sentMs: endedMs - 1,
  endedMs,
  outcome,
  error: outcome === 'acknowledged' ? null : '57P01',
});

test('a run in which everything was kept has nothing to report', () => {
  const verdict = judgeLedger([entry(1), entry(2), entry(3)], [1, 2, 3]);
  expect(verdict).toEqual({
    acknowledged: 3,
    failed: 0,
    indeterminate: 0,
    lost: [],
    risen: [],
    duplicated: [],
    writeGapMs: 10,
    errors: {},
  });
});

describe('planted violations are caught', () => {
  test('an acknowledged write that is not there', () =>
    expect(judgeLedger([entry(1), entry(2)], [1]).lost).toEqual([2]));
  test('a failed write that is there', () => expect(judgeLedger([entry(1, 'failed')], [1]).risen).toEqual([1]));
  test('a write that is there twice', () => expect(judgeLedger([entry(1)], [1, 1]).duplicated).toEqual([1]));
});

test('an indeterminate write may be there or not', () => {
  const entries = [entry(1, 'indeterminate'), entry(2, 'indeterminate')];
  expect(judgeLedger(entries, [1])).toMatchObject({ lost: [], risen: [], indeterminate: 2, errors: { '57P01': 2 } });
});

test('the write gap is the longest time without an acknowledgement', () => {
  expect(
    judgeLedger([entry(1), entry(2, 'failed'), entry(3), entry(4, 'acknowledged', 535)], [1, 3, 4]).writeGapMs,
  ).toBe(505);
});
