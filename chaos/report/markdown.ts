// Verdicts as a table for a README.

import type { Verdict } from '../oracle/verdict.js';
import { groupRuns, seconds } from './groups.js';

export function renderMarkdown(verdicts: Verdict[]): string {
  const rows = groupRuns(verdicts).map((g) =>
    [
      '',
      `\`${g.scenario}\``,
      String(g.verdicts.length),
      seconds(g.predictedMs),
      seconds(g.medianMs),
      seconds(g.maxMs),
      String(g.errors),
      String(g.lost),
      g.dualWritableMs > 0 ? `${g.dualWritableMs} ms` : 'never',
      g.verdict,
      '',
    ]
      .join(' | ')
      .trim(),
  );
  return [
    "| scenario | runs | model's max | median without writes | max | errors | lost | two writers | verdict |",
    '|---|---|---|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
