// A host that is dead for good, with a leader and a member of five tenants and of etcd: one command replaces it, writes stop for the
// failovers that it caused and for nothing else, and it takes no part when it comes back.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { judgeLedger } from '../../../chaos/ledger.js';
import { startWriter } from '../../../chaos/writer.js';
import {
  addresses,
  freshSandbox,
  on,
  pgs,
  pgsJson,
  pgsOk,
  power,
  psqlOk,
  serviceConnector,
  statusOf,
  until,
  untilHealthy,
} from '../machines.js';

const tenants = [1, 2, 3, 4, 5].map((n) => `five-${n}`);
const dead = 'h2';
const fresh = 'h4';
const ports: Record<string, number> = {};

beforeAll(async () => {
  await freshSandbox(4);
  await pgsOk(['host', 'remove', fresh, '--yes']);
  await Promise.all(tenants.slice(0, 2).map((tenant) => pgsOk(['cluster', 'create', tenant, '--rto', 'fast'])));
  await Promise.all(tenants.slice(2).map((tenant) => pgsOk(['cluster', 'create', tenant, '--rto', 'fast'])));
  for (const tenant of tenants) {
    await pgsOk(['cluster', 'url', tenant]);
    ports[tenant] = (await pgsJson<{ ports: { primary: number } }>(['cluster', 'show', tenant])).ports.primary;
    await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
  }
});

afterAll(() => freshSandbox(3));

/** One client for each tenant, through a host that stays. */
function startWriters() {
  return tenants.map((tenant, i) =>
    startWriter({
      connect: serviceConnector(tenant, [addresses().h1!], ports[tenant]!),
      table: 'ledger',
      intervalMs: 100,
      kind: 'each',
      firstKey: (i + 1) * 1_000_000,
    }),
  );
}

test('is replaced by one command, with every tenant and etcd, and takes no part when it comes back', async () => {
  for (const tenant of tenants) await untilHealthy(tenant);
  const use = await pgs(['host', 'remove', dead, '--yes']);
  expect(use.code).toBe(5);
  await power(dead, 'off');
  const led = async (tenant: string) => {
    const { leader, members } = await statusOf(tenant);
    return leader !== null && members.find((m) => m.name === leader)!.host !== dead;
  };
  for (const tenant of tenants) await until(`${tenant} is led elsewhere`, () => led(tenant));

  const writers = startWriters();
  await until('writes go on', () => Promise.resolve(writers.every((w) => w.entries.length > 20)));
  const replaced = await pgsJson<{ tookMs: number; members: { tenant: string; tookMs: number }[] }>([
    'host',
    'replace',
    dead,
    '--with',
    `${fresh}=${addresses()[fresh]!}`,
    '--yes',
    '--parallel',
    '2',
  ]);
  expect(replaced.members.map((m) => m.tenant).sort()).toEqual(tenants);
  for (const [i, tenant] of tenants.entries()) {
    const journal = await writers[i]!.stop();
    const rows = await psqlOk(tenant, 'primary', 'SELECT key FROM ledger');
    const verdict = judgeLedger(journal, rows.split('\n').map(Number));
    const took = replaced.members.find((m) => m.tenant === tenant)!.tookMs;
    process.stdout.write(
      `${tenant}: ${(took / 1000).toFixed(1)} s of ${(replaced.tookMs / 1000).toFixed(1)} s, longest gap ${verdict.writeGapMs.toFixed(0)} ms\n`,
    );
    expect(verdict, tenant).toMatchObject({ lost: [], duplicated: [], risen: [], failed: 0, indeterminate: 0 });
    const status = await untilHealthy(tenant);
    expect(status.members.map((m) => m.host)).not.toContain(dead);
    expect((await pgs(['plan', tenant])).code).toBe(0);
  }
  expect(await pgsJson(['host', 'replace', dead, '--with', fresh, '--yes'])).toMatchObject({ members: [] });

  await power(dead, 'on');
  const journal = async (unit: string) => (await on(dead, `journalctl -b -u ${unit} --no-pager`)).stdout;
  await until('its etcd is refused', async () => /removed|permanently/.test(await journal('pgs-etcd')));
  const patroni = `pgs-patroni@${tenants[0]!}`;
  await until('its Patroni is refused', async () => /waiting on etcd/.test(await journal(patroni)));
  for (const tenant of tenants) {
    const { members, healthy } = await statusOf(tenant);
    expect(healthy, tenant).toBe(true);
    expect(members).toHaveLength(3);
  }
  const { members, quorum } = await pgsJson<{ members: { name: string }[]; quorum: string }>(['dcs', 'status']);
  expect(members.map((m) => m.name).sort()).toEqual(['h1', 'h3', fresh]);
  expect(quorum).toBe('healthy');
  expect((await pgs(['host', 'check'])).stdout).toMatch(new RegExp(`${dead} .* left the fleet .*is back`));
}, 900_000);
