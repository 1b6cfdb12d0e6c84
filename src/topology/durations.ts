// PostgreSQL's way to write durations: a number with a unit, or without one in the parameter's own.

/** PostgreSQL's units of time, milliseconds each. */
export const unitsMs: Record<string, number> = { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a value such as `500ms`, `1min` or `30` (times `unitMs`); null if it is none. */
export function parseDurationMs(value: string, unitMs: number): number | null {
  const found = /^\s*([+-]?\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/.exec(value);
  if (!found) return null;
  return Number(found[1]) * (found[2] ? unitsMs[found[2]]! : unitMs);
}

export function describeMs(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${Number((ms / 1000).toFixed(1))} s` : `${Number((ms / 60_000).toFixed(1))} min`;
}
