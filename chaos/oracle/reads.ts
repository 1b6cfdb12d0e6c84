// The read-only service: how long it answered nobody, and how far behind it was.

import { eventsOf, type History } from '../history.js';
import type { Outages } from './outage.js';
import type { Check } from './verdict.js';

/**
 * How old what a read showed was: the age, when it was sent, of the oldest write that had been acknowledged and was not in it. Writes of
 * the connected client only, whose keys grow.
 */
export function stalestMs(history: History): { ms: number; atMs: number } | null {
  const acked = eventsOf(history, 'write')
    .filter((w) => w.client === 'session' && w.outcome === 'acknowledged')
    .sort((a, b) => a.key - b.key);
  const reads = eventsOf(history, 'read').filter((r) => r.seen !== null);
  if (reads.length === 0 || acked.length === 0) return null;
  let worst = { ms: 0, atMs: reads[0]!.sentMs };
  for (const read of reads) {
    const missed = firstAfter(acked, read.seen!);
    if (!missed || missed.endedMs >= read.sentMs) continue;
    if (read.sentMs - missed.endedMs > worst.ms) worst = { ms: read.sentMs - missed.endedMs, atMs: read.sentMs };
  }
  return { ms: Math.round(worst.ms), atMs: Math.round(worst.atMs) };
}

function firstAfter<T extends { key: number }>(sorted: T[], key: number): T | null {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]!.key <= key) low = middle + 1;
    else high = middle;
  }
  return sorted[low] ?? null;
}

export function checkReads(history: History, { read }: Outages): Check[] {
  const { expect } = history.run.scenario;
  const [staleMax, outageMax] = [expect['stale-reads'], expect['read-outage']];
  const stalest = stalestMs(history);
  const stale: Check = {
    name: 'reads are not older than they may be',
    result: staleMax === undefined ? 'pass' : stalest === null ? 'unknown' : stalest.ms <= staleMax ? 'pass' : 'fail',
    found:
      stalest === null
        ? 'no read succeeded'
        : `at most ${stalest.ms} ms${staleMax === undefined ? ', no limit is set' : ` of ${staleMax} ms`}`,
  };
  const silent = read?.silentMs ?? null;
  const outage: Check = {
    name: 'reads go on',
    result:
      outageMax === undefined
        ? 'pass'
        : read === null
          ? 'unknown'
          : silent !== null && silent <= outageMax
            ? 'pass'
            : 'fail',
    found:
      read === null
        ? 'nothing was read'
        : `${silent === null ? 'they stopped for good' : `longest pause ${silent} ms`}, ${read.errors} errors${outageMax === undefined ? '' : `, ${outageMax} ms are allowed`}`,
  };
  return [stale, outage];
}
