// What is kept of a run of a schedule, and what it means to whoever has to know. The journal and the report stay in the run's folder on
// the daemon's machine; this is what etcd has. Pure.

/** `refused`: a guardrail did not hold, and nothing was broken. `interrupted`: whoever ran it died, or lost the lease, or was stopped. */
export const outcomes = ['running', 'pass', 'fail', 'unknown', 'refused', 'missed', 'interrupted'] as const;
export type Outcome = (typeof outcomes)[number];

/** What one scenario measured; fields as in `pgs chaos run -o json`. */
export interface ScenarioResult {
  scenario: string;
  verdict: 'pass' | 'fail' | 'unknown' | 'skipped';
  rtoMs: number | null;
  predictedRtoMs: number | null;
  ackedLost: number | null;
  dualWritableMs: number | null;
  /** How many errors clients saw, of all kinds. */
  errors: number | null;
  /** ISO 8601. */
  started: string;
  ended: string;
  /** Absolute, on the machine that ran it; null when it was not begun. */
  folder: string | null;
  /** What was found wrong; null after a pass. */
  why: string | null;
}

export interface DrillRun {
  version: 1;
  /** Sorts by time. */
  id: string;
  tenant: string;
  /** Null: `pgs drill run-now` with a suite. */
  schedule: string | null;
  kind: 'drill' | 'switchover';
  /** The suite, or whom the switchover was for. */
  what: string;
  /** ISO 8601. */
  due: string;
  started: string;
  ended: string | null;
  outcome: Outcome;
  why: string | null;
  results: ScenarioResult[];
  /** Machine that ran it. */
  ranOn: string;
  acknowledged: { by: string; at: string } | null;
}

/** Bad enough that somebody is told, and that it stays in the status until it is acknowledged. */
export function needsAttention({ outcome, acknowledged }: Pick<DrillRun, 'outcome' | 'acknowledged'>): boolean {
  return acknowledged === null && outcome !== 'pass' && outcome !== 'running';
}

/** False beats unknown beats true; a scenario that was skipped proves nothing, so that a suite of these is unknown. */
export function outcomeOf(results: ScenarioResult[]): Extract<Outcome, 'pass' | 'fail' | 'unknown'> {
  const verdicts = results.map((r) => r.verdict);
  if (verdicts.includes('fail')) return 'fail';
  return verdicts.length > 0 && verdicts.every((v) => v === 'pass') ? 'pass' : 'unknown';
}

/** The longest of the run; null when none was measured. */
export function rtoOf({ results }: Pick<DrillRun, 'results'>): { rtoMs: number; predictedRtoMs: number | null } | null {
  const measured = results.filter((r): r is ScenarioResult & { rtoMs: number } => r.rtoMs !== null);
  if (measured.length === 0) return null;
  const longest = measured.reduce((a, b) => (b.rtoMs > a.rtoMs ? b : a));
  return { rtoMs: longest.rtoMs, predictedRtoMs: longest.predictedRtoMs };
}

/** How the RTO of one scenario went from run to run. */
export interface Trend {
  scenario: string;
  /** The oldest first. */
  rtoMs: number[];
  medianMs: number;
  /** Of the newer half against the older one, in percent; null with fewer than four. */
  changePercent: number | null;
  /** One character a run, from the smallest to the largest. */
  spark: string;
}

/** @param runs - the oldest first */
export function trendsOf(runs: Pick<DrillRun, 'results'>[]): Trend[] {
  const byScenario = new Map<string, number[]>();
  for (const { scenario, rtoMs } of runs.flatMap((r) => r.results)) {
    if (rtoMs === null) continue;
    byScenario.set(scenario, [...(byScenario.get(scenario) ?? []), rtoMs]);
  }
  return [...byScenario].map(([scenario, rtoMs]) => ({
    scenario,
    rtoMs,
    medianMs: median(rtoMs),
    changePercent: changeOf(rtoMs),
    spark: sparkline(rtoMs),
  }));
}

function changeOf(values: number[]): number | null {
  if (values.length < 4) return null;
  const half = Math.floor(values.length / 2);
  const before = median(values.slice(0, half));
  return before === 0 ? null : Math.round((median(values.slice(-half)) / before - 1) * 100);
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : Math.round((sorted[middle - 1]! + sorted[middle]!) / 2);
}

const bars = '▁▂▃▄▅▆▇█';

/** From zero, so that a small change looks small. */
export function sparkline(values: number[]): string {
  const highest = Math.max(...values);
  return values
    .map((v) => bars[highest === 0 ? 0 : Math.min(bars.length - 1, Math.floor((v / highest) * bars.length))])
    .join('');
}
