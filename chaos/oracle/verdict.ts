// The verdict of a run, from its recorded history alone. Assumptions come first: a run whose fault did nothing, or that nobody wrote in,
// proves nothing and is `unknown`. A check that was broken makes the run fail, whatever the others say: a failure that was seen is one.

import { eventsOf, type History } from '../history.js';
import type { FailureKind } from '../../src/topology/rto.js';
import { assumptions } from './assumptions.js';
import { checkConvergence, checkFailover, checkTimelines } from './cluster.js';
import { checkDuplicates, checkLost, checkOrder, checkRisen, judgeRows } from './ledger.js';
import { measureOutages, type Outages } from './outage.js';
import { comparePhases } from './phases.js';
import { checkReads } from './reads.js';
import { checkEveryClient, checkRto, predictionFor } from './rto.js';
import { walLost } from './wal.js';
import { checkStaleCommits, checkWriters, dualWritable } from './writers.js';

export interface Check {
  name: string;
  /** `unknown`: the evidence for it is missing. */
  result: 'pass' | 'fail' | 'unknown';
  /** What was found, for people; always there, since a pass is a claim too. */
  found: string;
}

/** The shape of a run in `-o json`; fields are added, never renamed. */
export interface Verdict {
  id: string;
  scenario: string;
  tenant: string;
  round: number;
  seed: number;
  startedAt: string;
  verdict: 'pass' | 'fail' | 'unknown';
  /** Longest time around the faults without an acknowledged write of any client of a kind; null when it did not end. */
  rtoMs: number | null;
  /** At the most, by the model; null when the scenario names no kind of failure. */
  predictedRtoMs: number | null;
  predictedKind: FailureKind | null;
  acked: number;
  /** Acknowledged and not there; null when it could not be looked for. */
  ackedLost: number | null;
  dualWritableMs: number;
  /** How many errors clients saw, by code. */
  errors: Record<string, number>;
  outages: Outages;
  /** WAL that only an old leader had; null when there was none, or when it is not known exactly. */
  walLostBytes: number | null;
  /** What it was at the most; null when there was none. */
  walLostAtMostBytes: number | null;
  checks: Check[];
}

export function judge(history: History): Verdict {
  const { run } = history;
  const { expect } = run.scenario;
  const writes = eventsOf(history, 'write');
  const rows = judgeRows(history);
  const dual = dualWritable(history);
  const prediction = predictionFor(history);
  const measured = measureOutages(history);
  const outages = { ...measured, phases: comparePhases(measured.phases, prediction) };
  const wal = walLost(history);
  const assumed = assumptions(history);
  const checks: Check[] = [
    ...assumed,
    checkLost(rows, expect.lost),
    checkRisen(rows),
    checkDuplicates(rows),
    checkOrder(history),
    checkWriters(dual, expect.writers, history),
    checkStaleCommits(history),
    checkFailover(history),
    checkTimelines(history),
    checkRto(history, outages, prediction),
    checkEveryClient(history, outages, prediction),
    ...checkReads(history, outages),
    checkConvergence(history),
  ];
  return {
    id: run.id,
    scenario: run.scenario.name,
    tenant: run.tenant,
    round: run.round,
    seed: run.seed,
    startedAt: run.startedAt,
    verdict: overall(checks),
    rtoMs: outages.writeMs,
    predictedRtoMs: prediction?.maxMs ?? null,
    predictedKind: prediction?.failure ?? null,
    acked: writes.filter((w) => w.outcome === 'acknowledged').length,
    ackedLost: rows ? rows.lost.length : null,
    dualWritableMs: dual.totalMs,
    errors: countErrors(writes.map((w) => w.error)),
    outages,
    walLostBytes: wal === null || wal.atMost ? null : wal.bytes,
    walLostAtMostBytes: wal?.bytes ?? null,
    checks,
  };
}

/** False beats unknown beats true. */
export function overall(checks: Check[]): Verdict['verdict'] {
  if (checks.some((c) => c.result === 'fail')) return 'fail';
  return checks.some((c) => c.result === 'unknown') ? 'unknown' : 'pass';
}

function countErrors(errors: (string | null)[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const error of errors) if (error !== null) counts[error] = (counts[error] ?? 0) + 1;
  return counts;
}
