// What clients were told, and what of it the database kept. Pure: a recorded run can be judged again.

/** One transaction of a writer, times on one monotonic clock, milliseconds. */
export interface LedgerEntry {
  key: number;
  sentMs: number;
  endedMs: number;
  /** `indeterminate`: the connection was lost with the commit under way; it may or may not have happened. */
  outcome: 'acknowledged' | 'failed' | 'indeterminate';
  /** SQLSTATE or the error's code; null when acknowledged. */
  error: string | null;
}

export interface LedgerVerdict {
  acknowledged: number;
  failed: number;
  indeterminate: number;
  /** Acknowledged and not there: what RPO 0 forbids. */
  lost: number[];
  /** Failed for certain, and there all the same. */
  risen: number[];
  /** There more than once. */
  duplicated: number[];
  /** Longest time between two acknowledgements, from the end of one to the end of the next. */
  writeGapMs: number;
  errors: Record<string, number>;
}

/** Compares the journal with the keys that the database has. */
export function judgeLedger(entries: LedgerEntry[], present: number[]): LedgerVerdict {
  const counts = new Map<number, number>();
  for (const key of present) counts.set(key, (counts.get(key) ?? 0) + 1);
  const of = (outcome: LedgerEntry['outcome']) => entries.filter((e) => e.outcome === outcome);
  const errors: Record<string, number> = {};
  for (const { error } of entries) if (error !== null) errors[error] = (errors[error] ?? 0) + 1;
  return {
    acknowledged: of('acknowledged').length,
    failed: of('failed').length,
    indeterminate: of('indeterminate').length,
    lost: of('acknowledged').flatMap((e) => (counts.has(e.key) ? [] : [e.key])),
    risen: of('failed').flatMap((e) => (counts.has(e.key) ? [e.key] : [])),
    duplicated: [...counts].flatMap(([key, count]) => (count > 1 ? [key] : [])),
    writeGapMs: longestGapMs(of('acknowledged')),
    errors,
  };
}

function longestGapMs(acknowledged: LedgerEntry[]): number {
  const ends = acknowledged.map((e) => e.endedMs).sort((a, b) => a - b);
  return ends.reduce((longest, end, i) => Math.max(longest, i === 0 ? 0 : end - ends[i - 1]!), 0);
}
