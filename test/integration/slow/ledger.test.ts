// Promise 1 on real machines: at RPO 0 nothing that was acknowledged is lost, through a switchover, a crash and a power-off.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { judgeLedger, type LedgerVerdict } from '../../../chaos/ledger.js';
import { startWriter } from '../../../chaos/writer.js';
import {
  addresses,
  destroyQuietly,
  entriesInTurn,
  onOk,
  pgsOk,
  psqlOk,
  statusOf,
  until,
  untilHealthy,
} from '../machines.js';

const tenant = 'ledger';

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(async () => {
  await pgsOk(['sandbox', 'up']);
  await destroyQuietly(tenant);
});

/** Writes with both kinds of client through all entries while `job` runs, then judges what they were told. */
async function underLoad(firstKey: number, job: () => Promise<void>): Promise<LedgerVerdict> {
  const entries = Object.values(addresses());
  const port = (await statusOf(tenant)).services.find((s) => s.service === 'primary')!.port;
  const writers = (['session', 'each'] as const).map((kind, i) =>
    startWriter({
      connect: entriesInTurn(tenant, entries, port, i),
      table: 'ledger',
      intervalMs: 20,
      kind,
      firstKey: firstKey + i * 100_000,
    }),
  );
  const acknowledged = () => writers.every((w) => w.entries.filter((e) => e.outcome === 'acknowledged').length > 50);
  await until('the load is running', () => Promise.resolve(acknowledged()));
  await job();
  const counts = writers.map((w) => w.entries.length);
  const goOn = () =>
    writers.every((w, i) => w.entries.slice(counts[i]).filter((e) => e.outcome === 'acknowledged').length > 50);
  await until('writes go on', () => Promise.resolve(goOn()));
  const journal = (await Promise.all(writers.map((w) => w.stop()))).flat();
  const rows = await psqlOk(tenant, 'primary', `SELECT key FROM ledger WHERE key >= ${firstKey}`);
  return judgeLedger(journal, rows.split('\n').map(Number));
}

test('a switchover loses nothing that was acknowledged', async () => {
  const verdict = await underLoad(1_000_000, async () => {
    await pgsOk(['switchover', tenant]);
  });
  expect(verdict).toMatchObject({ lost: [], duplicated: [], risen: [] });
  expect(verdict.acknowledged).toBeGreaterThan(200);
});

test('a killed postmaster loses nothing that was acknowledged', async () => {
  const { leader, members } = await untilHealthy(tenant);
  const host = members.find((m) => m.name === leader)!.host;
  const verdict = await underLoad(2_000_000, async () => {
    await onOk(host, `kill -9 "$(head -1 /var/lib/pgs/${tenant}/data/postmaster.pid)"`);
    await untilHealthy(tenant);
  });
  expect(verdict).toMatchObject({ lost: [], duplicated: [], risen: [] });
});

test('a leader that loses its power loses nothing that was acknowledged, and comes back as a replica', async () => {
  const { leader, members } = await untilHealthy(tenant);
  const host = members.find((m) => m.name === leader)!.host;
  const verdict = await underLoad(3_000_000, async () => {
    await pgsOk(['sandbox', 'power', host, 'off']);
    await until('another member leads', async () => {
      const status = await statusOf(tenant);
      return status.leader !== null && status.leader !== leader;
    });
  });
  expect(verdict).toMatchObject({ lost: [], duplicated: [], risen: [] });
  await pgsOk(['sandbox', 'power', host, 'on']);
  const back = await untilHealthy(tenant);
  expect(back.members.find((m) => m.name === leader)!.role).not.toBe('leader');
}, 300_000);
