// Runs of one scenario on one tenant, taken together. Pure.

import type { Verdict } from '../oracle/verdict.js';

export interface Group {
  scenario: string;
  tenant: string;
  verdicts: Verdict[];
  /** Write outages that ended, milliseconds. */
  outagesMs: number[];
  medianMs: number | null;
  maxMs: number | null;
  /** The model's word, where the scenario asks it. */
  predictedMs: number | null;
  errors: number;
  lost: number;
  dualWritableMs: number;
  /** The worst of them: a failure that was seen is one. */
  verdict: Verdict['verdict'];
}

/** In the order in which scenarios were first run. */
export function groupRuns(verdicts: Verdict[]): Group[] {
  const byKey = new Map<string, Verdict[]>();
  for (const verdict of verdicts) {
    const key = `${verdict.scenario} ${verdict.tenant}`;
    byKey.set(key, [...(byKey.get(key) ?? []), verdict]);
  }
  return [...byKey.values()].map(groupOf);
}

function groupOf(verdicts: Verdict[]): Group {
  const [first] = verdicts;
  const outagesMs = verdicts.flatMap((v) => (v.rtoMs === null ? [] : [v.rtoMs]));
  const predicted = verdicts.flatMap((v) => (v.predictedRtoMs === null ? [] : [v.predictedRtoMs]));
  const sum = (of: (v: Verdict) => number) => verdicts.reduce((total, v) => total + of(v), 0);
  return {
    scenario: first!.scenario,
    tenant: first!.tenant,
    verdicts,
    outagesMs,
    medianMs: medianOf(outagesMs),
    maxMs: outagesMs.length > 0 ? Math.max(...outagesMs) : null,
    predictedMs: predicted.length > 0 ? Math.max(...predicted) : null,
    errors: sum((v) => Object.values(v.errors).reduce((a, b) => a + b, 0)),
    lost: sum((v) => v.ackedLost ?? 0),
    dualWritableMs: sum((v) => v.dualWritableMs),
    verdict: (['fail', 'unknown', 'pass'] as const).find((w) => verdicts.some((v) => v.verdict === w))!,
  };
}

export function medianOf(values: number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return null;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function seconds(ms: number | null): string {
  return ms === null ? '–' : `${(ms / 1000).toFixed(2)} s`;
}
