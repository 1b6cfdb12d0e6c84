// Drills on real machines: one of each family keeps its word, and a drill that is interrupted or killed leaves nothing behind.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Verdict } from '../../chaos/oracle/verdict.js';
import { destroyQuietly, environment, leftOfDrills, pgs, pgsOk, root, until, untilHealthy } from './machines.js';

const tenant = 'drilled';
const folder = mkdtempSync(join(tmpdir(), 'pgs-drills-'));

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast', '--watchdog', 'automatic']);
  writeFileSync(
    join(folder, 'cut.yaml'),
    `name: cut
title: The leader is cut off for a moment
family: network
severity: disruptive
workload: { before: 500ms, after: 500ms }
method:
  - { fault: isolate-member, on: { role: leader }, for: 8s }
expect: { failover: allowed }
`,
  );
});

afterAll(async () => {
  await pgs(['chaos', 'heal', tenant]);
  await destroyQuietly(tenant);
});

test.each([
  'postmaster-killed',
  'patroni-killed',
  'etcd-leader-killed',
  'leader-flapping',
  'disk-starved',
  'pgbouncer-killed',
  'planned-switchover',
])('%s: the cluster keeps its word', async (scenario) => {
  const ran = await pgs(['chaos', 'run', scenario, tenant, '-o', 'json']);
  const verdict = JSON.parse(ran.stdout) as Verdict & { folder: string };
  expect(verdict.checks.filter((c) => c.result !== 'pass')).toEqual([]);
  expect(verdict).toMatchObject({ scenario, tenant, verdict: 'pass', ackedLost: 0, dualWritableMs: 0 });
  expect(ran.code).toBe(0);
  const again = JSON.parse(await pgsOk(['chaos', 'check', verdict.id, '-o', 'json'])) as Verdict;
  expect(again).toEqual(Object.fromEntries(Object.entries(verdict).filter(([key]) => key !== 'folder')));
  expect(await leftOfDrills()).toBe('');
});

/** A run of cut.yaml, and its end; `at` is called when the fault is in. */
async function cutAndThen(at: (pid: number) => void): Promise<number | null> {
  const child = spawn(`${root}bin/pgs`, ['chaos', 'run', join(folder, 'cut.yaml'), tenant], { env: environment });
  let [text, told] = ['', false];
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (told || !text.includes(': injected')) return;
    told = true;
    at(child.pid!);
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  expect(told, text).toBe(true);
  return code;
}

test('Ctrl-C heals, and the verdict is unknown', async () => {
  await untilHealthy(tenant);
  expect(await cutAndThen((pid) => process.kill(pid, 'SIGINT'))).toBe(4);
  expect(await leftOfDrills()).toBe('');
});

test('a pgs that is killed leaves nothing behind: the hosts undo it by themselves', async () => {
  await untilHealthy(tenant);
  expect(await cutAndThen((pid) => process.kill(pid, 'SIGKILL'))).toBeNull();
  expect(await leftOfDrills()).toContain('pgs_chaos');
  // 8 s that it lasts, and half a minute; what is promised is two minutes.
  await until('nothing is left', async () => (await leftOfDrills()) === '', 120_000);
  await untilHealthy(tenant);
  expect(await pgsOk(['chaos', 'heal', tenant])).not.toContain('undone');
  // Its lock and its tables are in nobody's way.
  expect((await pgs(['chaos', 'run', 'planned-switchover', tenant])).code).toBe(0);
}, 300_000);

test('heal takes away at once what a killed pgs left', async () => {
  await untilHealthy(tenant);
  await cutAndThen((pid) => process.kill(pid, 'SIGKILL'));
  expect(await pgsOk(['chaos', 'heal', tenant])).toContain('undone');
  expect(await leftOfDrills()).toBe('');
});

test('a second drill in the fleet is refused while one runs', async () => {
  await untilHealthy(tenant);
  const second: Promise<{ code: number | null }>[] = [];
  await cutAndThen(() => {
    second.push(pgs(['chaos', 'run', 'planned-switchover', tenant]));
  });
  expect(await second[0]).toMatchObject({ code: 6 });
});

test('what may not be run is refused before anything is broken', async () => {
  const delayed = await pgs(['chaos', 'run', 'clock-jump', tenant]);
  expect(delayed.code).toBe(1);
  expect(delayed.stderr).toContain('unavailable here');
  const misspelt = await pgs(['chaos', 'run', 'postmaster-kiled', tenant]);
  expect(misspelt.code).toBe(2);
  expect(misspelt.stderr).toContain('did you mean "postmaster-killed"?');
});
