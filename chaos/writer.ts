// A client that writes at a fixed rate, whatever the answers are (open loop), and keeps the journal of what it was told. It never
// retries: every error is seen. Which host it connects to is the caller's to say; templates/client/node-postgres.mjs is what applications use.

import pg from 'pg';
import type { LedgerEntry } from './ledger.js';

export interface WriterOptions {
  /** A connected client, such as `rotateHosts` gives; the writer ends it. */
  connect: () => Promise<pg.Client>;
  /** Table with a column `key bigint`, with its schema if that is not the default; it is the caller's to make. */
  table: string;
  intervalMs: number;
  /**
   * `session`: stays connected and connects again after an error; a write that is due while the one before waits for its answer is
   * not sent. `each`: connects for each write, whatever the others wait for.
   */
  kind: 'session' | 'each';
  /** First key; writers of one table need ranges of their own, or one function that gives all of them the next key. */
  firstKey: number | (() => number);
  /** Before the first interval begins; 0 when it is left out. */
  afterMs?: number;
  /** Told of each entry as it is made, with the timeline of the server that acknowledged it; null when it did not. */
  onEntry?: (entry: LedgerEntry, timeline: number | null) => void;
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
  let counted = options.firstKey;
  const nextKey = () => (typeof counted === 'number' ? counted++ : counted());
  const underWay = new Set<Promise<void>>();
  const room = options.kind === 'session' ? 1 : underWayMax;
  let session: pg.Client | null = null;

  const note = (entry: LedgerEntry, timeline: number | null) => {
    entries.push(entry);
    options.onEntry?.(entry, timeline);
  };
  const table = options.table.split('.').map(pg.escapeIdentifier).join('.');
  // Eight digits of timeline begin the name of a WAL file.
  const returning = options.onEntry ? ' RETURNING pg_walfile_name(pg_current_wal_insert_lsn()) AS wal' : '';

  const write = async (key: number, sentMs: number) => {
    let sent = false;
    let client: pg.Client | null = null;
    try {
      client = session ?? (await options.connect());
      if (options.kind === 'session') session = client;
      sent = true;
      // A number needs no parameter: one message each way, and no statement that a pooler would have to know.
      const wal = await ask(client, `INSERT INTO ${table} (key) VALUES (${key})${returning}`);
      const timeline = wal === null ? null : Number.parseInt(wal.slice(0, 8), 16);
      note({ key, sentMs, endedMs: performance.now(), outcome: 'acknowledged', error: null }, timeline);
    } catch (thrown) {
      note({ key, sentMs, endedMs: performance.now(), ...judgeFailure(thrown, sent) }, null);
      session = null;
      if (client) leave(client);
      return;
    }
    if (options.kind === 'each') leave(client);
  };

  const send = () => {
    if (underWay.size >= room) return;
    const writing = write(nextKey(), performance.now()).finally(() => underWay.delete(writing));
    underWay.add(writing);
  };
  // Node ends an interval and a time-out alike.
  let timer = setTimeout(() => (timer = setInterval(send, options.intervalMs)), options.afterMs ?? 0);
  return {
    entries,
    stop: async () => {
      clearTimeout(timer);
      await Promise.all(underWay);
      if (session) leave(session);
      return entries;
    },
  };
}

/** Runs a statement and gives the first column of its last row. @throws what `pg.Client.query` throws */
function ask(client: pg.Client, text: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    client.query(new Statement(text, (error, value) => (error ? reject(error) : resolve(value))));
  });
}

interface Wire {
  query(text: string): void;
}

/**
 * What node-postgres takes in the place of its own queries, which cost three times as much: a writer looks at one value of an answer and
 * needs neither names nor types. The client's `query_timeout` goes for it too.
 */
class Statement {
  private value: string | null = null;

  constructor(
    private readonly text: string,
    // node-postgres puts its own before it, to end the time-out.
    private readonly callback: (error: Error | null, value: string | null) => void,
  ) {}

  submit(connection: object): void {
    (connection as Wire).query(this.text);
  }
  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    this.value = fields[0] ?? null;
  }
  handleReadyForQuery(): void {
    this.callback(null, this.value);
  }
  handleError(error: Error): void {
    this.callback(error, null);
  }
  handleRowDescription(): void {
    // One value, whatever its name.
  }
  handleCommandComplete(): void {
    // It is done when the server is ready again.
  }
}

/** Nobody waits for it: a host that is gone would answer never. */
function leave(client: pg.Client): void {
  client.end().catch(() => undefined);
}

/**
 * A statement that the server refused has a SQLSTATE and did not happen, except when the server was being shut down: then the
 * commit may have been on its way. A connection that broke tells nothing once the statement was sent.
 */
function judgeFailure(thrown: unknown, sent: boolean): Pick<LedgerEntry, 'outcome' | 'error'> {
  const code = codeOf(thrown);
  if (!sent) return { outcome: 'failed', error: code };
  const refused = /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('57P') && !code.startsWith('08');
  return { outcome: refused ? 'failed' : 'indeterminate', error: code };
}

/** SQLSTATE or a code in words: errors that node-postgres makes itself have none. */
export function codeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'connection lost';
  if ('code' in thrown && typeof thrown.code === 'string') return thrown.code;
  if (thrown.message === 'Query read timeout') return 'no answer in time';
  if (/^timeout expi?red$/.test(thrown.message)) return 'no connection in time';
  return 'connection lost';
}
