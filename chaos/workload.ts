// The clients of a run: writers of both kinds and a reader through the tenant's services, as an application does it, in a schema of
// their own that is removed at the end.

import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { templatesDir } from '../src/host/template.js';
import { sqlTrust } from '../src/secrets/rotation.js';
import type { TenantSecrets } from '../src/secrets/tenant-secrets.js';
import { servicePort, type Cluster, type ServiceName } from '../src/topology/cluster.js';
import type { Journal } from './journal.js';
import type { Scenario } from './scenario.js';
import { codeOf, startWriter, type Writer, type WriterOptions } from './writer.js';

export const schemaName = 'pgs_chaos';
/** Where `BEGIN; INSERT …; ROLLBACK` goes. */
export const probeTable = `${schemaName}.probe`;

/**
 * Of a run by its id (letters, digits and hyphens). A table of its own: a write that an earlier run gave up may still be on its way, and
 * would be taken for one of this run.
 */
export function ledgerOf(id: string): string {
  return `${schemaName}.ledger_${id.replaceAll('-', '_')}`;
}

/** Keys of the reconnecting writer begin here; those of the connected ones at 1. */
const eachFrom = 1_000_000_000;
/** A statement that has no answer by then is given up, and its client goes to the next entry; milliseconds. */
export const answerLimitMs = 10_000;
/** For each entry; what the module takes by itself. */
export const connectLimitMs = 5000;

export type Connect = () => Promise<pg.Client>;

/**
 * Clients that go from entry to entry as the module does that `pgs cluster url --form node` prints, beginning with the one at `first`; each
 * call gives one such client.
 */
export type Clients = (service: ServiceName, first?: number) => Connect;

export async function rotating(cluster: Cluster, secrets: TenantSecrets): Promise<Clients> {
  const path = pathToFileURL(join(templatesDir(), 'client/node-postgres.mjs')).href;
  const { rotateHosts } = (await import(path)) as {
    rotateHosts: (hosts: string[], config: pg.ClientConfig) => Connect;
  };
  const { user, password } = secrets.passwords.app;
  const entries = cluster.entries.map((e) => e.address);
  return (service, first = 0) =>
    rotateHosts([...entries.slice(first), ...entries.slice(0, first)], {
      port: servicePort(cluster.ports, service),
      user,
      password: password.reveal(),
      database: 'app',
      application_name: 'pgs chaos',
      ssl: { ca: sqlTrust(secrets), rejectUnauthorized: true },
      connectionTimeoutMillis: connectLimitMs,
      query_timeout: answerLimitMs,
    });
}

/** Makes the tables; those of a run that was killed go. */
export async function makeTables(connect: Connect, id: string): Promise<void> {
  await once(connect, [
    `DROP SCHEMA IF EXISTS ${schemaName} CASCADE`,
    `CREATE SCHEMA ${schemaName}`,
    // The transaction's id tells the order of commits: it goes on over a failover, since the new leader replayed the old one's.
    `CREATE TABLE ${ledgerOf(id)} (key bigint NOT NULL, xid xid8 NOT NULL DEFAULT pg_current_xact_id())`,
    `CREATE INDEX ON ${ledgerOf(id)} (key)`,
    `CREATE TABLE ${probeTable} (at timestamptz)`,
  ]);
}

/** @throws Error when the table is gone */
export async function readRows(connect: Connect, id: string): Promise<[number, number][]> {
  const client = await connect();
  try {
    const { rows } = await client.query<{ key: string; xid: string }>(`SELECT key, xid::text FROM ${ledgerOf(id)}`);
    return rows.map(({ key, xid }) => [Number(key), Number(xid)]);
  } finally {
    await end(client);
  }
}

export async function dropTables(connect: Connect): Promise<void> {
  await once(connect, [`DROP SCHEMA IF EXISTS ${schemaName} CASCADE`]);
}

async function once(connect: Connect, statements: string[]): Promise<void> {
  const client = await connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await end(client);
  }
}

export interface Workload {
  /** Acknowledged so far, and when the last one was; by the journal's clock. */
  acknowledged(): { count: number; lastMs: number | null };
  stop(): Promise<void>;
}

/**
 * Connected clients, each with another entry first: one whose entry is lost waits for its own limits, and says nothing of what the service
 * does for the others meanwhile. They take turns, so that all together write as often as the workload says.
 */
const sessionsMax = 3;

/** @param entries - how many there are */
export function startWorkload(
  clients: Clients,
  entries: number,
  workload: Scenario['workload'],
  journal: Journal,
  id: string,
): Workload {
  const table = ledgerOf(id);
  let count = 0;
  let lastMs: number | null = null;
  const onEntry =
    (client: 'session' | 'each', writer: number): NonNullable<WriterOptions['onEntry']> =>
    ({ key, sentMs, endedMs, outcome, error }, timeline) => {
      const [sent, ended] = [journal.at(sentMs), journal.at(endedMs)];
      journal.write({ type: 'write', client, writer, timeline, key, sentMs: sent, endedMs: ended, outcome, error });
      if (outcome !== 'acknowledged') return;
      count += 1;
      lastMs = Math.max(lastMs ?? 0, ended);
    };
  const sessions = Math.min(entries, sessionsMax);
  const everyMs = workload['session-every'];
  let key = 0;
  const writers: Writer[] = [
    ...Array.from({ length: sessions }, (_, i) =>
      startWriter({
        connect: clients(workload.service, Math.floor((i * entries) / sessions)),
        table,
        intervalMs: everyMs * sessions,
        afterMs: everyMs * i,
        kind: 'session',
        // Keys of all of them grow with time: the reader tells by the newest one how old what it sees is.
        firstKey: () => ++key,
        onEntry: onEntry('session', i),
      }),
    ),
    startWriter({
      connect: inTurn(Array.from({ length: entries }, (_, i) => clients(workload.service, i))),
      table,
      intervalMs: workload['each-every'],
      kind: 'each',
      firstKey: eachFrom,
      onEntry: onEntry('each', 0),
    }),
  ];
  const reader = startReader(clients('replica'), workload['read-every'], journal, table);
  return {
    acknowledged: () => ({ count, lastMs }),
    stop: async () => {
      await Promise.all([...writers.map((w) => w.stop()), reader.stop()]);
    },
  };
}

/** Clients that come and go know nothing of each other: each has its own first entry. */
function inTurn(connects: Connect[]): Connect {
  let n = 0;
  return () => connects[n++ % connects.length]!();
}

/** Reads the newest key of the connected writers, one read at a time. */
function startReader(connect: Connect, intervalMs: number, journal: Journal, table: string) {
  let stopping = false;
  const running = (async () => {
    let client: pg.Client | null = null;
    while (!stopping) {
      const sentMs = performance.now();
      let seen: number | null = null;
      let error: string | null = null;
      try {
        client ??= await connect();
        const { rows } = await client.query<{ key: string | null }>(
          `SELECT max(key) AS key FROM ${table} WHERE key < ${eachFrom}`,
        );
        seen = Number(rows[0]?.key ?? 0);
      } catch (thrown) {
        error = codeOf(thrown);
        if (client) await end(client);
        client = null;
      }
      const endedMs = performance.now();
      journal.write({ type: 'read', sentMs: journal.at(sentMs), endedMs: journal.at(endedMs), seen, error });
      await sleep(Math.max(1, intervalMs - (endedMs - sentMs)));
    }
    if (client) await end(client);
  })();
  return {
    stop: async () => {
      stopping = true;
      await running;
    },
  };
}

/** A connection whose other end is gone does not answer the goodbye. */
export async function end(client: pg.Client): Promise<void> {
  await Promise.race([client.end().catch(() => undefined), sleep(500, undefined, { ref: false })]);
}
