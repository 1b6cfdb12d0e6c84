import { expect, test } from 'vitest';
import { isMet, renderMarkdown, type PlanningRun } from '../../bench/planning/report.js';

const run: PlanningRun = {
  at: '2026-11-21T21:00:00.000Z',
  commit: 'abc1234',
  machine: { cores: 2, memoryGiB: 24, kernel: '6.18', load: 0.5, node: '20.0.0' },
  tenants: 1000,
  hosts: 100,
  samples: [{ name: 'place all', cpuS: 4, wallS: 40, found: '1000 tenants' }],
  peakRssMB: 300,
};

test('a target is about the process’s own time and memory, and one that is missed says so', () => {
  expect(isMet(run)).toBe(true);
  expect(renderMarkdown(run)).toMatch(/\| place all \| 4.00 s \| 40.00 s \| ≤ 5 s CPU \| met \| 1000 tenants \|/);
  const slow = { ...run, samples: [{ ...run.samples[0]!, cpuS: 6 }] };
  const large = { ...run, peakRssMB: 501 };
  expect([isMet(slow), isMet(large)]).toEqual([false, false]);
  expect(renderMarkdown(slow)).toMatch(/6.00 s .* MISSED/);
  expect(renderMarkdown(large)).toMatch(/501 MB .* MISSED/);
});
