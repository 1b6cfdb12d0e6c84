// What runs mean: their outcome, who has to know of them, and how the RTO went over time.

import { describe, expect, it } from 'vitest';
import {
  needsAttention,
  outcomeOf,
  rtoOf,
  sparkline,
  trendsOf,
  type DrillRun,
  type ScenarioResult,
} from '../../../src/drills/run.js';
import { drillKeys } from '../../../src/drills/keys.js';
import { DrillStore, runsKept } from '../../../src/drills/store.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

function result(change: Partial<ScenarioResult> = {}): ScenarioResult {
  return {
    scenario: 'planned-switchover',
    verdict: 'pass',
    rtoMs: 2000,
    predictedRtoMs: 30_000,
    ackedLost: 0,
    dualWritableMs: 0,
    errors: 0,
    started: '2026-11-21T10:00:00.000Z',
    ended: '2026-11-21T10:01:00.000Z',
    folder: '/runs/1',
    why: null,
    ...change,
  };
}

function run(n: number, change: Partial<DrillRun> = {}): DrillRun {
  return {
    version: 1,
    id: `20261121T1000${String(n).padStart(4, '0')}Z-weekly`,
    ...{ tenant: 'acme', schedule: 'weekly', kind: 'drill', what: 'weekly' },
    due: '2026-11-21T10:00:00.000Z',
    started: '2026-11-21T10:00:00.000Z',
    ended: '2026-11-21T10:01:00.000Z',
    outcome: 'pass',
    why: null,
    results: [result()],
    ranOn: 'ops',
    acknowledged: null,
    ...change,
  };
}

describe('the outcome of a run', () => {
  it.each([
    [['pass', 'pass'], 'pass'],
    [['pass', 'fail', 'unknown'], 'fail'],
    [['pass', 'unknown'], 'unknown'],
    [['pass', 'skipped'], 'unknown'],
    [['skipped'], 'unknown'],
    [[], 'unknown'],
  ] as const)('of %j is %s', (verdicts, outcome) => {
    expect(outcomeOf(verdicts.map((verdict) => result({ verdict })))).toBe(outcome);
  });

  it.each([
    ['pass', false],
    ['running', false],
    ['fail', true],
    ['unknown', true],
    ['refused', true],
    ['missed', true],
    ['interrupted', true],
  ] as const)('%s has to be looked at: %s', (outcome, wanted) => {
    expect(needsAttention({ outcome, acknowledged: null })).toBe(wanted);
    expect(needsAttention({ outcome, acknowledged: { by: 'ada', at: 'now' } })).toBe(false);
  });
});

describe('the RTO', () => {
  it('of a run is the longest of its scenarios, with the prediction for that one', () => {
    const results = [result(), result({ rtoMs: 5000, predictedRtoMs: 20_000 }), result({ rtoMs: null })];
    expect(rtoOf({ results })).toEqual({ rtoMs: 5000, predictedRtoMs: 20_000 });
    expect(rtoOf({ results: [result({ rtoMs: null })] })).toBeNull();
  });

  it('over time is per scenario, the newer half against the older', () => {
    const runs = [1000, 1100, 900, 2000, 2200, 1800].map((rtoMs, n) =>
      run(n, { results: [result({ rtoMs }), result({ scenario: 'other', rtoMs: 400 })] }),
    );
    expect(trendsOf(runs)).toEqual([
      {
        scenario: 'planned-switchover',
        rtoMs: [1000, 1100, 900, 2000, 2200, 1800],
        medianMs: 1450,
        changePercent: 100,
        spark: '▄▅▄██▇',
      },
      { scenario: 'other', rtoMs: Array(6).fill(400), medianMs: 400, changePercent: 0, spark: '██████' },
    ]);
    expect(trendsOf(runs.slice(0, 3))[0]!.changePercent).toBeNull();
  });

  it('is drawn from zero, so that a small change looks small', () => {
    expect(sparkline([98, 100, 99])).toBe('███');
    expect(sparkline([50, 100])).toBe('▅█');
    expect(sparkline([0, 0])).toBe('▁▁');
  });
});

describe('the store', () => {
  it('keeps the newest runs, and beyond those what nobody acknowledged', async () => {
    const store = new DrillStore(new MemoryDcs());
    await store.putRun(run(0, { outcome: 'fail' }));
    for (let n = 1; n <= runsKept + 5; n++) await store.putRun(run(n));
    const ids = (await store.listRuns('acme')).map((r) => r.id);
    expect(ids[0]).toBe(run(0).id);
    expect(ids.at(-1)).toBe(run(runsKept + 5).id);
    expect(ids.length).toBeLessThanOrEqual(runsKept + 1);
  });

  it('keeps tenants apart whose names begin alike', async () => {
    const store = new DrillStore(new MemoryDcs());
    await store.putRun(run(1, { tenant: 'acme-co', outcome: 'fail' }));
    expect(await store.unacknowledged('acme')).toEqual([]);
    await store.forget('acme');
    expect(await store.unacknowledged('acme-co')).toHaveLength(1);
  });

  it('refuses a write of somebody who lost the lock', async () => {
    const dcs = new MemoryDcs();
    await dcs.put('/lock', 'mine');
    const fence = { key: '/lock', createRevision: dcs.store.get('/lock')!.createRevision };
    const store = new DrillStore(dcs);
    await store.putRun(run(1), fence);
    await dcs.delete('/lock');
    await dcs.put('/lock', "another's");
    await expect(store.putRun(run(2), fence)).rejects.toMatchObject({ code: 'held' });
    expect(dcs.store.has(drillKeys.run('acme', run(2).id))).toBe(false);
  });

  it('writes a run whose answer was lost once more', async () => {
    const dcs = new MemoryDcs();
    dcs.faults.push('lost-before');
    await new DrillStore(dcs).putRun(run(1));
    expect(await new DrillStore(dcs).listRuns('acme')).toHaveLength(1);
  });
});
