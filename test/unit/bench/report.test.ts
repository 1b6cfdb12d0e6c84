import { expect, test } from 'vitest';
import { compareTraces } from '../../bench/noop.js';
import {
  isMet,
  median,
  parseSteps,
  renderMarkdown,
  rows,
  stepEnds,
  type Measure,
  type Run,
} from '../../bench/report.js';

const samples = (measure: Measure, seconds: number[]) =>
  seconds.map((s, n) => ({ measure, round: n + 1, ms: s * 1000, cpuS: s }));

const run: Run = {
  at: '2026-01-02T03:04:05.678Z',
  commit: 'abc',
  rounds: 3,
  machine: { cores: 2, memoryGiB: 24, kernel: '6.1', load: 0.1 },
  versions: { Node: '20.1.0' },
  samples: [
    ...samples('by hand, in turn', [30, 20, 40]),
    ...samples('create', [9, 10, 8]),
    ...samples('five creates', [23, 22, 30]),
    ...samples('status', [1.6]),
  ],
  noopChanges: [],
};

test('the median of an even number of values lies between the middle two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([9, 1, 2])).toBe(2);
});

test('ratios are of medians, and what was not measured has no row', () => {
  const found = Object.fromEntries(rows(run.samples).map((row) => [row.name, row]));
  expect(found['create / by hand, in turn']).toMatchObject({ median: 0.3, target: 0.3 });
  expect(found['five creates / create']!.median).toBeCloseTo(23 / 9);
  expect(found['create / by hand, together']).toBeUndefined();
  expect(found['no-op apply']).toBeUndefined();
});

test('a target counts by the median', () => {
  const verdicts = Object.fromEntries(rows(run.samples).map((row) => [row.name, isMet(row)]));
  expect(verdicts).toMatchObject({
    'create / by hand, in turn': true,
    'five creates / create': false,
    status: false,
    create: true,
  });
});

test('the table says what was missed and what a no-op changed', () => {
  const table = renderMarkdown({ ...run, noopChanges: ['/pgs/state/tenants/a: 1 before, 2 after'] });
  expect(table).toMatch(/\| status \| 1 \| 1\.6 s \| 1\.6 s \| ≤ 1\.5 s \| MISSED \|/);
  expect(table).toMatch(/A NO-OP APPLY CHANGED SOMETHING:\n- \/pgs\/state\/tenants\/a/);
  expect(renderMarkdown(run)).toMatch(/A no-op apply wrote nothing/);
});

test('progress lines become steps, of which the last of a kind counts', () => {
  const steps = parseSteps(
    '   0.9s ✓ h1       write the files of b1\n   1.2s ✓ h2       write the files of b1\nwarning: x\n',
    'b1',
  );
  expect(steps).toEqual([
    { atS: 0.9, title: 'write the files of the tenant' },
    { atS: 1.2, title: 'write the files of the tenant' },
  ]);
  expect(stepEnds([{ measure: 'create', round: 1, ms: 1, cpuS: 1, steps }])).toEqual([
    { atS: 1.2, title: 'write the files of the tenant' },
  ]);
});

test('traces that appear, go or change are told', () => {
  expect(compareTraces({ a: '1', b: '1', c: '1' }, { a: '1', b: '2', d: '1' })).toEqual([
    'b: 1 before, 2 after',
    'c: 1 before, absent after',
    'd: absent before, 1 after',
  ]);
});
