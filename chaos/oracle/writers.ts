// Whether two members took writes at once, from the probes of their own ports; and whether a commit was acknowledged on an old timeline.

import { eventsOf, type History, type ProbeEvent } from '../history.js';
import type { Scenario } from '../scenario.js';
import type { Check } from './verdict.js';

export interface DualWritable {
  /** How long, over all pairs of members; overlapping pairs count once. */
  totalMs: number;
  spans: { members: [string, string]; fromMs: number; toMs: number }[];
}

interface Span {
  fromMs: number;
  toMs: number;
}

/** A member that answered nothing for longer than this is not taken to have been writable in between. */
const silenceMaxMs = 2000;

/** Times in which the member took every probe: from the first that it had answered to the last that was sent. */
export function writableSpans(probes: ProbeEvent[]): (Span & { probes: ProbeEvent[] })[] {
  const spans: ProbeEvent[][] = [];
  let open: ProbeEvent[] | null = null;
  for (const probe of [...probes].sort((a, b) => a.sentMs - b.sentMs)) {
    const previous = open?.at(-1);
    if (!probe.took || (previous && probe.sentMs - previous.endedMs > silenceMaxMs)) open = null;
    if (!probe.took) continue;
    if (open) open.push(probe);
    else spans.push((open = [probe]));
  }
  return spans.map((own) => ({ fromMs: own[0]!.endedMs, toMs: own.at(-1)!.sentMs, probes: own }));
}

/**
 * A probe that one member took wholly within a time in which another one was writable: there is no way that they took turns.
 */
export function dualWritable(history: History): DualWritable {
  const probes = eventsOf(history, 'probe');
  const byMember = history.run.members.map(({ name }) => ({
    name,
    spans: writableSpans(probes.filter((p) => p.member === name)),
  }));
  const spans: DualWritable['spans'] = [];
  for (const a of byMember) {
    for (const b of byMember) {
      if (a.name === b.name) continue;
      for (const within of b.spans) {
        for (const own of a.spans) {
          const inside = own.probes.filter((p) => p.sentMs >= within.fromMs && p.endedMs <= within.toMs);
          if (inside.length === 0) continue;
          spans.push({ members: [a.name, b.name], fromMs: inside[0]!.sentMs, toMs: inside.at(-1)!.endedMs });
        }
      }
    }
  }
  return { totalMs: Math.round(unionMs(spans)), spans };
}

export function unionMs(spans: Span[]): number {
  let total = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const { fromMs, toMs } of [...spans].sort((a, b) => a.fromMs - b.fromMs)) {
    total += Math.max(0, toMs - Math.max(fromMs, end));
    end = Math.max(end, toMs);
  }
  return total;
}

export function checkWriters(dual: DualWritable, allowed: Scenario['expect']['writers'], history: History): Check {
  const name = 'no two members take writes at once';
  const [first] = dual.spans;
  if (!first) return { name, result: 'pass', found: 'none did' };
  const found = `${first.members.join(' and ')} for ${dual.totalMs} ms, from ${Math.round(first.fromMs)} ms on (the cluster is ${history.run.fencing})`;
  return { name, result: allowed === 'any' || allowed > 1 ? 'pass' : 'fail', found };
}

/** Sent after somebody else had acknowledged on a later timeline: the old leader told a client a lie. */
export function checkStaleCommits(history: History): Check {
  const name = 'no write is acknowledged on an old timeline';
  const acked = eventsOf(history, 'write')
    .flatMap((w) => (w.outcome === 'acknowledged' && w.timeline !== null ? [{ ...w, timeline: w.timeline }] : []))
    .sort((a, b) => a.endedMs - b.endedMs);
  const newest: { endedMs: number; timeline: number }[] = [];
  for (const { endedMs, timeline } of acked) {
    if (timeline > (newest.at(-1)?.timeline ?? 0)) newest.push({ endedMs, timeline });
  }
  const stale = acked.filter((w) => newest.some((n) => n.timeline > w.timeline && n.endedMs < w.sentMs));
  if (stale.length === 0) {
    return { name, result: 'pass', found: `timelines ${newest.map((n) => n.timeline).join(', ') || 'of nobody'}` };
  }
  const [one] = stale;
  return {
    name,
    result: 'fail',
    found: `${stale.length}, the first on timeline ${one!.timeline} at ${Math.round(one!.endedMs)} ms`,
  };
}
