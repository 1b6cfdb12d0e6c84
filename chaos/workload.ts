// The clients of a run: writers of both kinds and a reader through the tenant's services, as an application does it, in a schema of
// their own that is removed at the end.

import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { templatesDir } from '../src/host/template.js';
import type { TenantSecrets } from '../src/secrets/tenant-secrets.js';
import { servicePort, type Cluster, type ServiceName } from '../src/topology/cluster.js';
import type { Journal } from './journal.js';
import type { Scenario } from './scenario.js';
import { codeOf, startWriter, type Writer } from './writer.js';

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

/** Keys of the reconnecting writer begin here; those of the connected one at 1. */
const eachFrom = 1_000_000_000;
/** A statement that has no answer by then is given up, and its client goes to the next entry; milliseconds. */
export const answerLimitMs = 10_000;
/** For each entry; what the module takes by itself. */
export const connectLimitMs = 5000;

export type Connect = () => Promise<pg.Client>;

/** Clients that go from entry to entry as the module does that `pgs cluster url --form node` prints; each call gives one such client. */
export async function rotating(cluster: Cluster, secrets: TenantSecrets): Promise<(service: ServiceName) => Connect> {
  const path = pathToFileURL(join(templatesDir(), 'client/node-postgres.mjs')).href;
  const { rotateHosts } = (await import(path)) as {
    rotateHosts: (hosts: string[], config: pg.ClientConfig) => Connect;
  };
  const { user, password } = secrets.passwords.app;
  return (service) =>
    rotateHosts(
      cluster.entries.map((e) => e.address),
      {
        port: servicePort(cluster.ports, service),
        user,
        password: password.reveal(),
        database: 'app',
        application_name: 'pgs chaos',
        ssl: { ca: secrets.sqlCa.certPem, rejectUnauthorized: true },
        connectionTimeoutMillis: connectLimitMs,
        query_timeout: answerLimitMs,
      },
    );
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

export function startWorkload(
  clients: (service: ServiceName) => Connect,
  workload: Scenario['workload'],
  journal: Journal,
  id: string,
): Workload {
  const table = ledgerOf(id);
  let count = 0;
  let lastMs: number | null = null;
  const writer = (kind: 'session' | 'each', intervalMs: number, firstKey: number): Writer =>
    startWriter({
      connect: clients(workload.service),
      table,
      intervalMs,
      kind,
      firstKey,
      onEntry: ({ sentMs, endedMs, ...entry }, timeline) => {
        const ended = journal.at(endedMs);
        journal.write({ type: 'write', client: kind, timeline, sentMs: journal.at(sentMs), endedMs: ended, ...entry });
        if (entry.outcome !== 'acknowledged') return;
        count += 1;
        lastMs = Math.max(lastMs ?? 0, ended);
      },
    });
  const writers = [writer('session', workload['session-every'], 1), writer('each', workload['each-every'], eachFrom)];
  const reader = startReader(clients('replica'), workload['read-every'], journal, table);
  return {
    acknowledged: () => ({ count, lastMs }),
    stop: async () => {
      await Promise.all([...writers.map((w) => w.stop()), reader.stop()]);
    },
  };
}

/** Reads the newest key of the connected writer, one read at a time. */
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
