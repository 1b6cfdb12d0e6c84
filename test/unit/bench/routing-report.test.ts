// The routing benchmark's numbers from recorded rounds.

import { expect, test } from 'vitest';
import type { LedgerEntry } from '../../../chaos/ledger.js';
import { judgeRound, type Journal, type KindResult } from '../../bench/routing/load.js';
import { goals, percentile, ratios, renderMarkdown, rowsOf, type Result } from '../../bench/routing/report.js';
import type { Round } from '../../bench/routing/rounds.js';
import { parseKeys } from '../../bench/routing/system.js';

const acknowledged = (key: number, endedMs: number): LedgerEntry => ({
  key,
  sentMs: endedMs - 5,
  endedMs,
  outcome: 'acknowledged',
  error: null,
});

const failed = (key: number, sentMs: number): LedgerEntry => ({
  key,
  sentMs,
  endedMs: sentMs + 3,
  outcome: 'failed',
  error: '57P03',
});

test('a gap of a kind is one that no client of it bridges; of a client, its own', () => {
  const journal: Journal = [
    { kind: 'session', entries: [acknowledged(1, 100), acknowledged(2, 900)] },
    { kind: 'session', entries: [acknowledged(3, 400), acknowledged(4, 700)] },
    { kind: 'each', entries: [acknowledged(5, 100), failed(6, 150), failed(7, 450), acknowledged(8, 500)] },
  ];
  const { kinds, lost, risen } = judgeRound(journal, [1, 2, 3, 5, 8, 7], { beganMs: 120, doneMs: 300 });
  expect(kinds.session).toMatchObject({ gapMs: 300, gapBeganMs: -20, worstClientGapMs: 800, errorsSentLater: 0 });
  expect(kinds.each).toMatchObject({ gapMs: 400, failed: 2, errors: { '57P03': 2 }, errorsSentLater: 1 });
  expect([lost, risen]).toEqual([1, 1]);
});

const kind = (gapMs: number, errors: Record<string, number> = {}): KindResult => ({
  acknowledged: 100,
  failed: 0,
  indeterminate: 0,
  errors,
  errorsSentLater: 0,
  gapMs,
  gapBeganMs: 0,
  worstClientGapMs: gapMs + 1,
  longestWaitMs: gapMs,
});

const round = (change: Partial<Round>): Round => ({
  system: 'pgs',
  event: 'switchover',
  round: 1,
  at: '2026-11-21T07:00:00.000Z',
  leader: 'h1',
  etcdLeader: 'h2',
  newLeader: 'h2',
  commandMs: 1,
  commandError: null,
  allClientsWentOn: true,
  wholeAfterMs: 10,
  lost: 0,
  risen: 0,
  duplicated: 0,
  kinds: { session: kind(1000), each: kind(1200) },
  ...change,
});

const verdictOf = (rounds: Round[], what: string) =>
  goals({ rounds, latency: [], reload: null }).find((g) => g.what.startsWith(what))!;

test('a goal is missed by one error, one lost write, one client that does not go on', () => {
  const good = [round({}), round({ round: 2 })];
  expect(verdictOf(good, 'switchover: no errors').met).toBe(true);
  expect(
    verdictOf([...good, round({ kinds: { session: kind(1), each: kind(1, { x: 1 }) } })], 'switchover: no errors'),
  ).toEqual({ what: 'switchover: no errors, for both kinds of client', found: '1, in 1 of 3 rounds', met: false });
  expect(verdictOf([...good, round({ lost: 1 })], 'switchover: no acknowledged').met).toBe(false);
  expect(verdictOf([round({ event: 'power', allClientsWentOn: false })], 'power: clients').met).toBe(false);
  expect(verdictOf(good, 'power: clients').met).toBeNull();
});

test('the gap of a round is that of the kind that waited longer; rounds with the leader of etcd are judged apart', () => {
  const rounds = [
    round({ event: 'power', kinds: { session: kind(21_000), each: kind(21_500) } }),
    round({ event: 'power', etcdLeader: 'h1', kinds: { session: kind(25_000), each: kind(26_500) } }),
  ];
  expect(verdictOf(rounds, 'power: median')).toMatchObject({ found: '21.50 s (1 rounds)', met: true });
  expect(verdictOf(rounds, "power, etcd's")).toMatchObject({ found: '26.50 s (1 rounds)', met: false });
});

test('rows, ratios and percentiles', () => {
  const rounds = [
    round({}),
    round({ round: 2, kinds: { session: kind(2000, { a: 1 }), each: kind(1) } }),
    round({ system: 'guide', kinds: { session: kind(6000), each: kind(2) } }),
  ];
  expect(rowsOf(rounds)[0]).toMatchObject({
    system: 'pgs',
    n: 2,
    medianMs: 1500,
    p95Ms: 2000,
    maxMs: 2000,
    worstClientMs: 2001,
    errors: { a: 1 },
  });
  expect(ratios(rounds)[0]).toEqual({ event: 'switchover', kind: 'session', guide: 0.25, autoFailover: null });
  expect(percentile([5, 1, 3], 0.95)).toBe(5);
  expect(
    percentile(
      Array.from({ length: 100 }, (_, i) => i + 1),
      0.95,
    ),
  ).toBe(95);
});

test('keys are read with the heading of psql or without', () => {
  expect(parseKeys('   key   \n---------\n 1600001\n 1600002\n(2 rows)\n\n')).toEqual([1600001, 1600002]);
  expect(parseKeys('7\n8\n')).toEqual([7, 8]);
  expect(parseKeys('\n')).toEqual([]);
});

test('the page names the goals that were missed', () => {
  const machine = { cores: 2, memoryGiB: 24, kernel: '6', load: 0.1 };
  const result: Result = {
    at: '2026-11-21T07:00:00.000Z',
    machine,
    versions: { PostgreSQL: '17.12' },
    systems: { pgs: 'pgs itself' },
    parts: [{ at: '2026-11-21T07:00:00.000Z', commit: 'abc', machine, seed: 1 }],
    rounds: [round({ kinds: { session: kind(3000), each: kind(1) } })],
    latency: [],
    reload: null,
  };
  const page = renderMarkdown(result);
  expect(page).toContain('| switchover: longest write gap at most 2.5 s | 3.00 s (1 rounds) | MISSED |');
  expect(page).toContain('| planned switchover | pgs | stay | 1 | 3.00 s | 3.00 s | 3.00 s | 3.00 s | 0 |');
});
