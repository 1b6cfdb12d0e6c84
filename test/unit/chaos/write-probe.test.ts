import { expect, test } from 'vitest';
import { overlapMs } from '../../integration/write-probe.js';

const writer = (member: string, firstMs: number, lastMs: number) => ({ member, firstMs, lastMs, count: 2 });

test('one member after another never overlaps', () => {
  expect(overlapMs([writer('a', 0, 100), writer('b', 150, 300)])).toBe(0);
  expect(overlapMs([writer('a', 0, 100)])).toBe(0);
  expect(overlapMs([])).toBe(0);
});

test('two that write side by side are seen, whichever came first', () => {
  expect(overlapMs([writer('a', 0, 200), writer('b', 150, 300)])).toBe(50);
  expect(overlapMs([writer('b', 150, 300), writer('a', 0, 1000)])).toBe(150);
  expect(overlapMs([writer('a', 0, 10), writer('b', 20, 30), writer('c', 25, 40)])).toBe(5);
});
