import { expect, test } from 'vitest';
import { judgeFork, parseFork, parseLsn, readHistory } from '../../../src/postgres/wal.js';

test.each([
  ['0/40006F8', 0x40006f8],
  ['A/0', 0xa * 2 ** 32],
  ['FFFFFFFF/FFFFFFFF', 2 ** 64],
  ['banana', null],
  ['0/', null],
])('position %s is %s', (text, bytes) => {
  expect(parseLsn(text)).toBe(bytes);
});

test('the fork of a timeline is the last line of its history', () => {
  const history = '1\t0/40006F8\tno recovery target specified\n\n2\t0/4001870\tno recovery target specified\n';
  expect(parseFork(history)).toEqual({ from: 2, atBytes: 0x4001870 });
  expect(parseFork('')).toBeNull();
});

/** As recorded: PostgreSQL 17 stopped with its last record at 0/4000680, and the next timeline began at 0/40006F8. */
test.each([
  ['0/4000680', 'at the shutdown'],
  ['0/40006F8', 'before the shutdown'],
  ['0/4000700', 'before the shutdown'],
  ['0/4000000', 'after the shutdown'],
] as const)('a fork at 0/40006F8 with the shutdown record at %s is %s', (shutdown, verdict) => {
  expect(judgeFork({ from: 1, atBytes: 0x40006f8 }, parseLsn(shutdown)!)).toBe(verdict);
});

test('the history file is named by the timeline in hexadecimal', () => {
  expect(readHistory(26)).toContain("'pg_wal/0000001A.history'");
});
