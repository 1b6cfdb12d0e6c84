// How long writes and reads stopped, seen by clients, and where the time went.

import { eventsOf, type History, type ReadEvent, type WriteEvent } from '../history.js';
import { firstInjectionMs } from './assumptions.js';
import { phasesOf, type Phase } from './phases.js';

export interface Outage {
  /** From the last answer before to the first one after, of any client of the kind; null when there was none after. */
  silentMs: number | null;
  fromMs: number;
  toMs: number | null;
  /** From when the first write that failed was sent to the end of the first that succeeded after it; null when none failed. */
  failingMs: number | null;
  errors: number;
}

/** Of a kind of client, by all and by each of them. */
export interface WriteOutage extends Outage {
  /**
   * Longest that one client of the kind waited: a connected one for its next acknowledgement, a reconnecting one for an answer. What it
   * gives an entry that is lost is part of it: see `clientLimits`. Null when one was never answered again.
   */
  oneClientMs: number | null;
  /** How many connected clients there were; null in runs of before they were told apart, which had one. */
  clients: number | null;
  /** Writes that clients gave up by their own limits before the outage was over. */
  givenUp: number;
}

export interface Outages {
  /** The longer one of both kinds of client, around the faults; null when it did not end. */
  writeMs: number | null;
  session: WriteOutage | null;
  each: WriteOutage | null;
  read: Outage | null;
  /** Parts of that write outage; they follow each other. */
  phases: Phase[];
  /** From the first injection to a whole cluster; null when it never was. */
  redundancyMs: number | null;
}

/** An outage can begin a little before the note about the injection. */
const beforeMs = 200;

export function measureOutages(history: History): Outages {
  const brokenMs = firstInjectionMs(history);
  const writes = eventsOf(history, 'write');
  const reads = eventsOf(history, 'read');
  const lastMs = [...writes, ...reads].reduce((last, { endedMs }) => Math.max(last, endedMs), 0);
  const endMs = eventsOf(history, 'phase').find((p) => p.phase === 'end')?.atMs ?? lastMs;
  const [session, each] = (['session', 'each'] as const).map((client) =>
    writeOutageOf(
      writes.filter((w) => w.client === client),
      brokenMs ?? 0,
      endMs,
    ),
  ) as [WriteOutage | null, WriteOutage | null];
  const longest = longestOf(session, each);
  const convergedMs = eventsOf(history, 'converged').at(-1)?.atMs ?? null;
  return {
    writeMs: longest?.silentMs ?? null,
    session,
    each,
    read: outageOf(reads.map(answerOfRead), brokenMs ?? 0, endMs),
    phases: longest && brokenMs !== null ? phasesOf(history, longest) : [],
    redundancyMs: convergedMs === null || brokenMs === null ? null : Math.round(convergedMs - brokenMs),
  };
}

/** One that did not end is the longest. */
export function longestOf(session: WriteOutage | null, each: WriteOutage | null): WriteOutage | null {
  const kinds = [session, each].filter((o) => o !== null);
  const ms = (o: WriteOutage) => o.silentMs ?? Number.POSITIVE_INFINITY;
  return kinds.sort((a, b) => ms(b) - ms(a))[0] ?? null;
}

function writeOutageOf(writes: WriteEvent[], brokenMs: number, endMs: number): WriteOutage | null {
  const outage = outageOf(answersOf(writes), brokenMs, endMs);
  if (!outage) return null;
  const { fromMs, toMs } = outage;
  const within = writes.filter((w) => w.endedMs > fromMs && w.sentMs < (toMs ?? Number.POSITIVE_INFINITY));
  const writers = [...new Set(writes.map((w) => w.writer))];
  return {
    ...outage,
    oneClientMs: writes[0]!.client === 'session' ? slowestMs(writes, brokenMs, endMs) : longestWaitMs(writes, brokenMs),
    clients: writers.includes(undefined) ? null : writers.length,
    givenUp: within.filter((w) => w.error === 'no answer in time' || w.error === 'no connection in time').length,
  };
}

function slowestMs(writes: WriteEvent[], brokenMs: number, endMs: number): number | null {
  const writers = [...new Set(writes.map((w) => w.writer))];
  const silent = writers.map((writer) => {
    const own = writes.filter((w) => w.writer === writer);
    return outageOf(answersOf(own), brokenMs, endMs)?.silentMs ?? null;
  });
  return silent.includes(null) ? null : Math.max(...silent.map((ms) => ms!));
}

function longestWaitMs(writes: WriteEvent[], brokenMs: number): number {
  const waits = writes.filter((w) => w.endedMs >= brokenMs - beforeMs).map((w) => w.endedMs - w.sentMs);
  return Math.round(waits.reduce((longest, ms) => Math.max(longest, ms), 0));
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
  };
}
