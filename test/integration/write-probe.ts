// Who takes writes at a moment: `BEGIN; INSERT …; ROLLBACK` on each member's own port, so that the wait for a synchronous standby, which
// comes with a commit, cannot hide a second writer.

import { readFileSync } from 'node:fs';
import pg from 'pg';
import { addresses, fleetDir, pgsJson, psqlOk, statusOf } from './machines.js';

export interface Writable {
  member: string;
  /** First and last time that it took a write, milliseconds on this process's monotonic clock. */
  firstMs: number;
  lastMs: number;
  count: number;
}

export interface WriteProbe {
  /** Members that have taken writes since the last `forget`. */
  writers(): Writable[];
  forget(): void;
  stop(): Promise<void>;
}

const periodMs = 100;

/** Probes every member of the tenant; its table is made first. */
export async function probeWrites(tenant: string): Promise<WriteProbe> {
  await psqlOk(tenant, 'primary', 'CREATE TABLE IF NOT EXISTS write_probe (at timestamptz)');
  const [shown] = [await pgsJson<{ ports: { postgres: number } }>(['cluster', 'show', tenant])];
  const { members } = await statusOf(tenant);
  let found = new Map<string, Writable>();
  let stopped = false;
  const connect = connector(tenant, shown.ports.postgres);
  const loops = members.map(async ({ name, host }) => {
    let client: pg.Client | null = null;
    while (!stopped) {
      const next = performance.now() + periodMs;
      client = await probeOnce(
        client,
        () => connect(addresses()[host]!),
        () => {
          const atMs = performance.now();
          const known = found.get(name) ?? { member: name, firstMs: atMs, lastMs: atMs, count: 0 };
          found.set(name, { ...known, lastMs: atMs, count: known.count + 1 });
        },
      );
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
    }
    await client?.end().catch(() => undefined);
  });
  return {
    writers: () => [...found.values()].sort((a, b) => a.firstMs - b.firstMs),
    forget: () => (found = new Map()),
    stop: async () => {
      stopped = true;
      await Promise.all(loops);
    },
  };
}

/**
 * How long two members took writes side by side, milliseconds; 0 when never. Right as long as each led once while it was probed: call
 * `forget` between.
 */
export function overlapMs(writers: Writable[]): number {
  const pairs = writers.flatMap((a, i) => writers.slice(i + 1).map((b) => [a, b] as const));
  const overlaps = pairs.map(([a, b]) => Math.min(a.lastMs, b.lastMs) - Math.max(a.firstMs, b.firstMs));
  return Math.max(0, ...overlaps);
}

/** One transaction; a client that failed is thrown away. */
async function probeOnce(
  client: pg.Client | null,
  connect: () => Promise<pg.Client>,
  took: () => void,
): Promise<pg.Client | null> {
  try {
    client ??= await connect();
    await client.query('BEGIN');
    await client.query('INSERT INTO write_probe VALUES (now())');
    took();
    await client.query('ROLLBACK');
    return client;
  } catch {
    await client?.end().catch(() => undefined);
    return null;
  }
}

function connector(tenant: string, port: number): (address: string) => Promise<pg.Client> {
  const ca = readFileSync(`${fleetDir}/.pgs/tenants/${tenant}/ca.crt`, 'utf8');
  const password = readFileSync(`${fleetDir}/.pgs/tenants/${tenant}/pgpass`, 'utf8').split('\n')[0]!.split(':').at(-1)!;
  return async (address) => {
    const client = new pg.Client({
      host: address,
      port,
      user: 'app',
      database: 'app',
      password,
      ssl: { ca },
      connectionTimeoutMillis: 5000,
      query_timeout: 3000,
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
}
