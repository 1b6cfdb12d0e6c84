// A verdict for a terminal.

import type { Outage, WriteOutage } from '../oracle/outage.js';
import type { Verdict } from '../oracle/verdict.js';

export function describeVerdict(verdict: Verdict): string {
  const { outages, checks, errors, walLostAtMostBytes: most } = verdict;
  const predicted = verdict.predictedRtoMs === null ? '' : `, at most ${seconds(verdict.predictedRtoMs)} by the model`;
  const codes = Object.entries(errors).map(([code, n]) => `${n} x ${code}`);
  const wide = Math.max(0, ...outages.phases.map((p) => p.phase.length));
  const phases = outages.phases.map((p) => {
    const model = p.predictedMs === null ? '' : `at most ${seconds(p.predictedMs)}`;
    return `    ${p.phase.padEnd(wide)}  ${seconds(p.ms).padStart(7)}  ${model.padEnd(15)}  until ${p.shownBy}`;
  });
  return [
    `${verdict.verdict.toUpperCase()}  ${verdict.scenario} on ${verdict.tenant} (${verdict.id})`,
    `  writes stopped for ${verdict.rtoMs === null ? 'good' : seconds(verdict.rtoMs)}${predicted}`,
    ...phases,
    `    connected clients ${describeWrites(outages.session)}`,
    `    reconnecting      ${describeWrites(outages.each)}`,
    `  reads stopped for   ${describeOutage(outages.read)}`,
    `  ${verdict.acked} writes acknowledged, ${verdict.ackedLost ?? 'unknown how many'} lost; errors: ${codes.join(', ') || 'none'}`,
    ...(most === null
      ? []
      : [`  ${verdict.walLostBytes === null ? 'at most ' : ''}${most} bytes of WAL that only an old leader had`]),
    ...checks.map((c) => `  ${{ pass: '✓', fail: '✗', unknown: '?' }[c.result]} ${c.name}: ${c.found}`),
  ].join('\n');
}

function describeOutage(outage: Outage | null): string {
  if (outage === null) return 'never answered';
  const failing = outage.failingMs === null ? '' : `, first failure to first success ${seconds(outage.failingMs)}`;
  return `${outage.silentMs === null ? 'good' : seconds(outage.silentMs)}, ${outage.errors} errors${failing}`;
}

/** With what one client waited, where that is more than the service made it wait. */
function describeWrites(outage: WriteOutage | null): string {
  if (outage === null) return describeOutage(outage);
  const { oneClientMs, silentMs } = outage;
  const more = oneClientMs !== null && oneClientMs > (silentMs ?? Number.POSITIVE_INFINITY) + 1000;
  const one = oneClientMs === null ? ', one for good' : more ? `, one of them ${seconds(oneClientMs)}` : '';
  return `${describeOutage(outage)}${one}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
