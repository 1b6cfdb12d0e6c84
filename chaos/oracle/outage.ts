// How long writes and reads stopped, seen by clients, and where the time went.

import { eventsOf, type History, type ReadEvent, type RunEvent, type WriteEvent } from '../history.js';
import { firstInjectionMs } from './assumptions.js';
import { phasesOf, type Phase } from './phases.js';

export interface Outage {
  /** From the last answer before to the first one after; null when there was none after. */
  silentMs: number | null;
  fromMs: number;
  toMs: number | null;
  /** From when the first write that failed was sent to the end of the first that succeeded after it; null when none failed. */
  failingMs: number | null;
  errors: number;
  /** Of it, how long the client waited for its own limits: for an entry that was lost with the host. */
  ownPauseMs: number;
}

export interface Outages {
  /** The longest of all kinds of client, around the faults; null when it did not end. */
  writeMs: number | null;
  session: Outage | null;
  each: Outage | null;
  read: Outage | null;
  /** Parts of the longest write outage that can be told apart; they follow each other. */
  phases: Phase[];
  /** From the first injection to a whole cluster; null when it never was. */
  redundancyMs: number | null;
}

/** An outage can begin a little before the note about the injection. */
const beforeMs = 200;

export function measureOutages(history: History): Outages {
  const brokenMs = firstInjectionMs(history);
  const endMs = eventsOf(history, 'phase').find((p) => p.phase === 'end')?.atMs ?? history.events.length;
  const writes = eventsOf(history, 'write');
  const of = (client: WriteEvent['client']) => {
    const own = writes.filter((w) => w.client === client);
    const outage = outageOf(answersOf(own), brokenMs ?? 0, endMs);
    return outage && { ...outage, ownPauseMs: ownPauseOf(outage, own, history.run.clientLimits) };
  };
  const [session, each] = [of('session'), of('each')];
  const read = outageOf(eventsOf(history, 'read').map(answerOfRead), brokenMs ?? 0, endMs);
  const kinds = [session, each].filter((o) => o !== null);
  const endless = kinds.some((o) => o.silentMs === null) || kinds.length === 0;
  const writeMs = endless ? null : Math.max(...kinds.map((o) => o.silentMs!));
  const longest = kinds.find((o) => o.silentMs === writeMs) ?? null;
  const convergedMs = eventsOf(history, 'converged').at(-1)?.atMs ?? null;
  return {
    writeMs,
    session,
    each,
    read,
    phases: longest && brokenMs !== null ? phasesOf(history, longest) : [],
    redundancyMs: convergedMs === null || brokenMs === null ? null : Math.round(convergedMs - brokenMs),
  };
}

interface Answer {
  sentMs: number;
  endedMs: number;
  good: boolean;
}

function answersOf(writes: WriteEvent[]): Answer[] {
  return writes.map(({ sentMs, endedMs, outcome }) => ({ sentMs, endedMs, good: outcome === 'acknowledged' }));
}

function answerOfRead({ sentMs, endedMs, error }: ReadEvent): Answer {
  return { sentMs, endedMs, good: error === null };
}

/** The longest time without a good answer that ends after the faults began; null without any answer before them. */
export function outageOf(answers: Answer[], brokenMs: number, endMs: number): Outage | null {
  const good = answers
    .filter((a) => a.good)
    .map((a) => a.endedMs)
    .sort((a, b) => a - b);
  const bad = answers.filter((a) => !a.good);
  if (good.length === 0) return null;
  let [fromMs, toMs]: [number, number | null] = [good[0]!, good[0]!];
  let longest = -1;
  for (const [i, at] of good.entries()) {
    const next = good[i + 1] ?? null;
    if (next === null || next < brokenMs - beforeMs) continue;
    if (next - at > longest) [longest, fromMs, toMs] = [next - at, at, next];
  }
  const last = good.at(-1)!;
  // Silence to the end counts when it is longer than whatever ended: an answer that is due would have come.
  if (endMs - last > Math.max(longest, 2000)) [fromMs, toMs] = [last, null];
  const errors = bad.filter((a) => a.endedMs >= brokenMs - beforeMs);
  const failed = errors.map((a) => a.sentMs).sort((a, b) => a - b)[0];
  const lastBad = Math.max(...errors.map((a) => a.sentMs));
  const success = answers.filter((a) => a.good && a.sentMs >= lastBad).sort((a, b) => a.endedMs - b.endedMs)[0];
  return {
    silentMs: toMs === null ? null : Math.round(toMs - fromMs),
    fromMs: Math.round(fromMs),
    toMs: toMs === null ? null : Math.round(toMs),
    failingMs: failed === undefined || !success ? null : Math.round(success.endedMs - failed),
    errors: errors.length,
    ownPauseMs: 0,
  };
}

/** The last limit that the client ran into before the outage was over: what it cost at the most. */
function ownPauseOf(outage: Outage, writes: WriteEvent[], limits: RunEvent['clientLimits'] | undefined): number {
  const { connectMs, answerMs } = limits ?? { connectMs: 5000, answerMs: 10_000 };
  const within = writes.filter(
    (w) => w.endedMs > outage.fromMs && w.sentMs < (outage.toMs ?? Number.POSITIVE_INFINITY),
  );
  const hit = (error: string) => within.some((w) => w.error === error);
  // One that has no answer connects anew, perhaps to another lost entry.
  if (hit('no answer in time')) return answerMs + connectMs;
  const slow = within.some((w) => w.endedMs - w.sentMs >= connectMs && w.endedMs === outage.toMs);
  return hit('no connection in time') || slow ? connectMs : 0;
}
