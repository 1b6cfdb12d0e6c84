// Two daemons of one fleet, as processes: one is active, and the other one takes over from one that dies or hangs.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { DrillRun } from '../../../src/drills/run.js';
import { endDaemons, startDaemon, type DaemonProcess } from '../daemon-process.js';
import { destroyQuietly, leftOfDrills, pgs, pgsJson, pgsOk, until, untilHealthy } from '../machines.js';

const tenant = 'daemons';
const folder = mkdtempSync(join(tmpdir(), 'pgs-daemons-'));

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  writeFileSync(
    join(folder, 'replica-cut.yaml'),
    `name: replica-cut
title: A replica is cut off
family: network
severity: disruptive
workload: { before: 500ms, after: 500ms }
method:
  - { fault: isolate-member, on: { role: replica }, for: 45s }
expect: { failover: forbidden }
`,
  );
});
afterEach(endDaemons);
afterAll(async () => {
  await pgs(['chaos', 'heal', tenant]);
  await destroyQuietly(tenant);
});

async function two(): Promise<[DaemonProcess, DaemonProcess]> {
  const first = startDaemon();
  await first.says(' active');
  const second = startDaemon();
  await second.says('standing by');
  return [first, second];
}

const activePid = async () =>
  (await pgsJson<{ daemon: { pid: number } | null }>(['drill', 'list'])).daemon?.pid ?? null;

test('exactly one is active, and the second takes over when the first is killed', async () => {
  const [first, second] = await two();
  expect(await activePid()).toBe(first.pid);
  expect(second.log()).not.toContain(' active');
  first.signal('SIGKILL');
  expect(await first.ended).toBeNull();
  await second.says(' active', 30_000);
  expect(await activePid()).toBe(second.pid);
});

test('one that hangs for longer than its lease finds it lost, and does nothing more', async () => {
  const [first, second] = await two();
  first.signal('SIGSTOP');
  await second.says(' active', 180_000);
  expect(await activePid()).toBe(second.pid);
  first.signal('SIGCONT');
  await first.says('no longer active: the lease is lost');
  await until('it stands by', () => Promise.resolve(/lost[^]*standing by/.test(first.log())));
  expect(await activePid()).toBe(second.pid);
}, 300_000);

test('one that is killed in a drill leaves nothing: the next one heals it and records what became of it', async () => {
  await untilHealthy(tenant);
  const [first, second] = await two();
  const words = ['--cron', '* * * * *', '--tz', 'UTC', '--suite', 'replica-cut', '--folder', folder];
  await pgsOk(['drill', 'schedule', tenant, ...words]);
  await first.says(': injected');
  // Once is enough.
  await pgsOk(['drill', 'cancel', tenant, 'replica-cut']);
  expect(await leftOfDrills()).toContain('pgs_chaos');
  first.signal('SIGKILL');
  await second.says(`drill replica-cut of ${tenant}: interrupted`);
  expect(await leftOfDrills()).toBe('');
  const { runs } = await pgsJson<{ runs: DrillRun[] }>(['drill', 'history', tenant]);
  expect(runs).toMatchObject([{ outcome: 'interrupted', what: 'replica-cut' }]);
  expect(runs[0]!.why).toContain('it is healed');
  expect((await untilHealthy(tenant)).healthy).toBe(true);
}, 300_000);
