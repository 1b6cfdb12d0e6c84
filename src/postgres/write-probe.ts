// A client of pgs's own that writes through `primary` while the leader changes, so that the write gap is measured and not estimated,
// and so that what it was told can be looked for afterwards.

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { sqlTrust } from '../secrets/rotation.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import { servicePort, type Cluster } from '../topology/cluster.js';

export interface ProbeResult {
  acknowledged: number;
  /** Acknowledged and not there afterwards; null when it could not be looked for. */
  lost: number | null;
  /** Longest time between two acknowledgements, milliseconds; null with fewer than two. */
  writeGapMs: number | null;
  /** Errors by SQLSTATE or code that the probe's session met. */
  errors: Record<string, number>;
}

export interface WriteProbe {
  /** Resolves with the first acknowledged write; rejects when there is none within `limitMs`. */
  ready(limitMs: number): Promise<void>;
  /** Resolves with the next acknowledged write, or after `limitMs` without one. */
  wroteAgain(limitMs: number): Promise<void>;
  /** Ends the writing, looks for what was acknowledged, and removes it. */
  stop(): Promise<ProbeResult>;
}

const intervalMs = 20;

/** Writes every 20 ms through an entry, one write at a time, and goes to the next entry when its session breaks. */
export function startWriteProbe(cluster: Cluster, secrets: TenantSecrets): WriteProbe {
  const acknowledged: { id: string; atMs: number }[] = [];
  const errors: Record<string, number> = {};
  let stopping = false;
  let client: pg.Client | null = null;
  let attempt = 0;

  const session = async () => {
    if (client) return client;
    const next = await newClient(cluster, secrets, attempt++);
    await next.connect();
    return (client = next);
  };
  const write = async () => {
    const id = randomUUID();
    try {
      await (await session()).query('INSERT INTO pgs.proof (id, entry) VALUES ($1, $2)', [id, 'switchover']);
      acknowledged.push({ id, atMs: performance.now() });
    } catch (thrown) {
      const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'connection lost';
      errors[code] = (errors[code] ?? 0) + 1;
      await drop(client);
      client = null;
    }
  };
  const running = (async () => {
    while (!stopping) {
      await write();
      await sleep(intervalMs);
    }
  })();

  return {
    ready: async (limitMs) => {
      const deadlineMs = performance.now() + limitMs;
      while (acknowledged.length === 0) {
        if (performance.now() > deadlineMs) throw new Error(`no write through primary within ${limitMs} ms`);
        await sleep(20);
      }
    },
    wroteAgain: async (limitMs) => {
      const [deadlineMs, before] = [performance.now() + limitMs, acknowledged.length];
      while (acknowledged.length === before && performance.now() < deadlineMs) {
        await sleep(20);
      }
    },
    stop: async () => {
      stopping = true;
      await running;
      const ids = acknowledged.map((a) => a.id);
      const lost = await countLost(session, ids).catch(() => null);
      await drop(client);
      return { acknowledged: ids.length, lost, writeGapMs: longestGapMs(acknowledged.map((a) => a.atMs)), errors };
    },
  };
}

async function newClient(cluster: Cluster, secrets: TenantSecrets, attempt: number): Promise<pg.Client> {
  const { Client } = await import('pg');
  const { user, password } = secrets.passwords.probe;
  const client = new Client({
    host: cluster.entries[attempt % cluster.entries.length]!.address,
    port: servicePort(cluster.ports, 'primary'),
    user,
    password: password.reveal(),
    database: 'postgres',
    application_name: 'pgs switchover',
    ssl: { ca: sqlTrust(secrets), rejectUnauthorized: true },
    connectionTimeoutMillis: 3000,
    query_timeout: 15_000,
  });
  client.on('error', () => undefined);
  return client;
}

/** A session that does not say goodbye is left. */
async function drop(client: pg.Client | null): Promise<void> {
  await Promise.race([
    client?.end().catch(() => undefined),
    new Promise((resolve) => setTimeout(resolve, 500).unref()),
  ]);
}

async function countLost(session: () => Promise<pg.Client>, ids: string[]): Promise<number> {
  const client = await session();
  const { rows } = await client.query<{ there: string }>('DELETE FROM pgs.proof WHERE id = ANY($1) RETURNING id', [
    ids,
  ]);
  return ids.length - rows.length;
}

function longestGapMs(times: number[]): number | null {
  if (times.length < 2) return null;
  return Math.round(Math.max(...times.slice(1).map((at, i) => at - times[i]!)));
}
