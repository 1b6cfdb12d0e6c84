// Promise on a shared fleet: a tenant that comes or goes is not felt by another one.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { judgeLedger } from '../../../chaos/ledger.js';
import { startWriter } from '../../../chaos/writer.js';
import {
  addresses,
  destroyQuietly,
  entriesInTurn,
  onOk,
  pgsOk,
  psqlOk,
  serviceClient,
  statusOf,
  until,
} from '../machines.js';

const tenant = 'quiet';
const passers = ['loud', 'quiet-2'];
const services = ['primary', 'replica', 'direct', 'direct-ro'];

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(async () => {
  for (const name of [...passers, tenant]) await destroyQuietly(name);
});

test('tenants that come and go cost a neighbour no error, no session, no leader', async () => {
  const entries = Object.values(addresses());
  const before = await statusOf(tenant);
  const portOf = (service: string) => before.services.find((s) => s.service === service)!.port;
  const journalSince = (await onOk('h1', 'date "+%Y-%m-%d %H:%M:%S"')).trim();
  const idle = await Promise.all(
    services.flatMap((service) =>
      entries.map(async (address) => {
        const client = serviceClient(tenant, address, portOf(service));
        await client.connect();
        const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        return { client, service, pid: rows[0]!.pid };
      }),
    ),
  );
  const writers = (['session', 'each'] as const).map((kind, i) =>
    startWriter({
      connect: entriesInTurn(tenant, entries, portOf(i === 0 ? 'direct' : 'primary'), i),
      table: 'ledger',
      intervalMs: 20,
      kind,
      firstKey: 1 + i * 1_000_000,
    }),
  );

  await Promise.all(passers.map((name) => pgsOk(['cluster', 'create', name])));
  await pgsOk(['cluster', 'destroy', passers[0]!, '--purge-data', '--yes']);
  await pgsOk(['cluster', 'destroy', passers[1]!, '--purge-data', '--yes']);

  const counts = writers.map((w) => w.entries.length);
  await until('writes go on', () => Promise.resolve(writers.every((w, i) => w.entries.length > counts[i]! + 20)));
  const journal = (await Promise.all(writers.map((w) => w.stop()))).flat();
  const rows = await psqlOk(tenant, 'primary', 'SELECT key FROM ledger');
  const verdict = judgeLedger(journal, rows.split('\n').map(Number));
  const down = await Promise.all(
    Object.keys(addresses()).map((host) =>
      onOk(host, `journalctl -u pgs-haproxy -q --since '${journalSince}' -g '${tenant}:.* DOWN' || true`),
    ),
  );
  expect(verdict.errors, down.join('')).toEqual({});
  expect(verdict).toMatchObject({ failed: 0, indeterminate: 0, lost: [] });
  expect(verdict.acknowledged).toBeGreaterThan(100);

  for (const { client, service, pid } of idle) {
    const answer = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    // A pooler may answer by another of its sessions; a direct one must be the same.
    if (service.startsWith('direct')) expect(answer.rows[0]!.pid).toBe(pid);
    await client.end();
  }
  const after = await statusOf(tenant);
  expect(after.leader).toBe(before.leader);
  expect(after.members.map((m) => m.timeline)).toEqual(before.members.map((m) => m.timeline));
  for (const host of Object.keys(addresses())) {
    const lines = await onOk(host, `journalctl -u pgs-patroni@${tenant} --since '${journalSince}' --no-pager`);
    expect(lines).not.toMatch(/demoting|failed to update leader lock|invalid auth token|permission denied/i);
  }
});
