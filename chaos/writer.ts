// A client that writes at a fixed rate, whatever the answers are (open loop), and keeps the journal of what it was told. It never
// retries: every error is seen.

import pg from 'pg';
import type { LedgerEntry } from './ledger.js';

export interface WriterOptions {
  /** A new client for the entry that is to be used next; the writer connects and ends it. */
  connect: (attempt: number) => pg.Client;
  /** Table with a column `key bigint`; it is the caller's to make. */
  table: string;
  intervalMs: number;
  /**
   * `session`: stays connected and connects again after an error; a write that is due while the one before waits for its answer is
   * not sent. `each`: connects for each write, whatever the others wait for.
   */
  kind: 'session' | 'each';
  /** First key; writers of one table need ranges of their own. */
  firstKey: number;
}

export interface Writer {
  entries: LedgerEntry[];
  /** Starts no further write, waits for those under way, and gives the journal. */
  stop(): Promise<LedgerEntry[]>;
}

/** More writes than this do not wait at the same time: the machine of the client has a limit too. */
const underWayMax = 500;

/** A write is sent every `intervalMs`. */
export function startWriter(options: WriterOptions): Writer {
  const entries: LedgerEntry[] = [];
  let nextKey = options.firstKey;
  const underWay = new Set<Promise<void>>();
  const room = options.kind === 'session' ? 1 : underWayMax;
  let session: pg.Client | null = null;
  let attempts = 0;

  const open = async (): Promise<pg.Client> => {
    const client = options.connect(attempts++);
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
  const write = async (key: number, sentMs: number) => {
    let sent = false;
    let client: pg.Client | null = null;
    try {
      client = session ?? (await open());
      if (options.kind === 'session') session = client;
      sent = true;
      await client.query({
        text: `INSERT INTO ${pg.escapeIdentifier(options.table)} (key) VALUES ($1)`,
        values: [key],
      });
      entries.push({ key, sentMs, endedMs: performance.now(), outcome: 'acknowledged', error: null });
    } catch (thrown) {
      entries.push({ key, sentMs, endedMs: performance.now(), ...judgeFailure(thrown, sent) });
      session = null;
      await client?.end().catch(() => undefined);
      return;
    }
    if (options.kind === 'each') await client.end().catch(() => undefined);
  };

  const timer = setInterval(() => {
    if (underWay.size >= room) return;
    const writing = write(nextKey++, performance.now()).finally(() => underWay.delete(writing));
    underWay.add(writing);
  }, options.intervalMs);
  return {
    entries,
    stop: async () => {
      clearInterval(timer);
      await Promise.all(underWay);
      await session?.end().catch(() => undefined);
      return entries;
    },
  };
}

/**
 * A statement that the server refused has a SQLSTATE and did not happen, except when the server was being shut down: then the
 * commit may have been on its way. A connection that broke tells nothing once the statement was sent.
 */
function judgeFailure(thrown: unknown, sent: boolean): Pick<LedgerEntry, 'outcome' | 'error'> {
  const code =
    thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : 'connection lost';
  if (!sent) return { outcome: 'failed', error: code };
  const refused = /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('57P') && !code.startsWith('08');
  return { outcome: refused ? 'failed' : 'indeterminate', error: code };
}
