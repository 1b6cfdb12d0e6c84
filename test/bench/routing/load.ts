// The clients of a round: writers of both kinds, and what they were told, judged against what the database kept.

import { createSecureContext } from 'node:tls';
import type pg from 'pg';
import { judgeLedger, type LedgerEntry } from '../../../chaos/ledger.js';
import { startWriter, type Writer } from '../../../chaos/writer.js';

export const kinds = ['session', 'each'] as const;
export type Kind = (typeof kinds)[number];

export const writersPerKind = 4;
/**
 * A client that connects for each write costs this box some 8 ms of processor time a write: at 20 ms, too, four of them fill its two
 * cores, half of their writes are not sent in time, and the rest waits 0.4 s, whatever the system.
 */
export const intervalsMs: Record<Kind, number> = { session: 20, each: 100 };
export const table = 'ledger';

/**
 * The same for all systems. None of them needs a query to be given up before its outage is over; who waits on a host that is gone
 * learns of it by this alone, since Node knows no TCP_USER_TIMEOUT.
 */
export const clientLimits = { connectionTimeoutMillis: 5000, query_timeout: 30_000 };

/** TLS that trusts the CA alone, if one is given; made once, since making it anew for each connection costs more than the handshake. */
export function trusting(ca?: string): { secureContext: ReturnType<typeof createSecureContext> } {
  return { secureContext: createSecureContext(ca === undefined ? {} : { ca }) };
}

/** Keys of one writer of one round; 50 writes a second never use them up. */
const keysPerWriter = 100_000;
const writers = writersPerKind * kinds.length;

export interface Load {
  /** Keys are from `firstKey` up to, without it, `endKey`. */
  firstKey: number;
  endKey: number;
  /** When every client of the kinds has had `count` acknowledgements of what it sent after that moment. */
  acknowledged(count: number, sinceMs: number, limitMs: number): Promise<boolean>;
  /** The same, when one client of each kind has. */
  someAcknowledged(count: number, sinceMs: number, limitMs: number): Promise<boolean>;
  stop(): Promise<Journal>;
}

/** What each client was told. */
export type Journal = { kind: Kind; entries: LedgerEntry[] }[];

/** @param round - counts from 1 over all rounds of a system, so that no key comes twice. */
export function startLoad(connector: (client: number) => () => Promise<pg.Client>, round: number): Load {
  const firstKey = round * writers * keysPerWriter;
  const running = Array.from({ length: writers }, (_, i) => {
    const kind = kinds[i % kinds.length]!;
    const connect = connector(Math.floor(i / kinds.length));
    const options = { connect, table, intervalMs: intervalsMs[kind], kind };
    return { kind, writer: startWriter({ ...options, firstKey: firstKey + i * keysPerWriter }) };
  });
  const count = (writer: Writer, sinceMs: number) => {
    let n = 0;
    for (let i = writer.entries.length - 1; i >= 0 && writer.entries[i]!.endedMs > sinceMs; i--) {
      const entry = writer.entries[i]!;
      if (entry.outcome === 'acknowledged' && entry.sentMs > sinceMs) n++;
    }
    return n;
  };
  return {
    firstKey,
    endKey: firstKey + writers * keysPerWriter,
    acknowledged: (least, sinceMs, limitMs) =>
      within(limitMs, () => running.every(({ writer }) => count(writer, sinceMs) >= least)),
    someAcknowledged: (least, sinceMs, limitMs) =>
      within(limitMs, () =>
        kinds.every((kind) => running.some((r) => r.kind === kind && count(r.writer, sinceMs) >= least)),
      ),
    stop: () => Promise.all(running.map(async ({ kind, writer }) => ({ kind, entries: await writer.stop() }))),
  };
}

async function within(limitMs: number, holds: () => boolean): Promise<boolean> {
  const deadlineMs = performance.now() + limitMs;
  while (!holds()) {
    if (performance.now() > deadlineMs) return false;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return true;
}

export interface KindResult {
  acknowledged: number;
  failed: number;
  indeterminate: number;
  errors: Record<string, number>;
  /** Errors of writes that were sent after the event had been carried out: no transaction was in flight for these. */
  errorsSentLater: number;
  /** Longest time in which no client of the kind had a write acknowledged. */
  gapMs: number;
  /** When that time began, from the event on; negative before it. */
  gapBeganMs: number;
  /** The same of the client that it was longest for. */
  worstClientGapMs: number;
  /** Longest wait for one acknowledgement. */
  longestWaitMs: number;
}

export interface RoundResult {
  kinds: Record<Kind, KindResult>;
  lost: number;
  /** Failed for certain, and there all the same. */
  risen: number;
  duplicated: number;
}

/** @param event - when it began and when it had been carried out, on the clock of the journal. */
export function judgeRound(
  journal: Journal,
  present: number[],
  event: { beganMs: number; doneMs: number },
): RoundResult {
  const all = judgeLedger(
    journal.flatMap((j) => j.entries),
    present,
  );
  const result = (kind: Kind): KindResult => {
    const clients = journal.filter((j) => j.kind === kind).map((j) => j.entries);
    const entries = clients.flat();
    const verdict = judgeLedger(entries, present);
    const acknowledged = entries.filter((e) => e.outcome === 'acknowledged');
    return {
      acknowledged: verdict.acknowledged,
      failed: verdict.failed,
      indeterminate: verdict.indeterminate,
      errors: verdict.errors,
      errorsSentLater: entries.filter((e) => e.error !== null && e.sentMs > event.doneMs).length,
      gapMs: Math.round(verdict.writeGapMs),
      gapBeganMs: Math.round(gapBegan(acknowledged) - event.beganMs),
      worstClientGapMs: Math.round(Math.max(...clients.map((own) => judgeLedger(own, present).writeGapMs))),
      longestWaitMs: Math.round(acknowledged.reduce((longest, e) => Math.max(longest, e.endedMs - e.sentMs), 0)),
    };
  };
  return {
    kinds: { session: result('session'), each: result('each') },
    lost: all.lost.length,
    risen: all.risen.length,
    duplicated: all.duplicated.length,
  };
}

function gapBegan(acknowledged: LedgerEntry[]): number {
  const ends = acknowledged.map((e) => e.endedMs).sort((a, b) => a - b);
  let [beganMs, longest] = [ends[0] ?? 0, 0];
  ends.forEach((end, i) => {
    if (i > 0 && end - ends[i - 1]! > longest) [beganMs, longest] = [ends[i - 1]!, end - ends[i - 1]!];
  });
  return beganMs;
}
