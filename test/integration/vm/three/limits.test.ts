// A tenant's limits on machines whose kernels have all controllers: they are in force after an apply, also when somebody else lifted them, and
// gone when the spec has none.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { destroyQuietly, onOk, pgs, pgsJson, pgsOk, psqlOk } from '../../machines.js';

const tenant = 'lim-ited';
const slice = 'pgs-lim\\x2dited.slice';
let dir: string;

const group = `/sys/fs/cgroup/pgs.slice/'${slice}'`;
const kernel = async (host: string) =>
  // A controller that nobody needs any more is switched off, and its files are gone.
  (
    await onOk(
      host,
      `cd ${group} && for f in cpu.weight cpu.max memory.max memory.high pids.max; do cat $f 2>/dev/null || echo none; done`,
    )
  )
    .trim()
    .split('\n');

async function apply(limits: string): Promise<Awaited<ReturnType<typeof pgs>>> {
  const file = join(dir, 'limited.yaml');
  writeFileSync(file, `tenant: ${tenant}\nlimits: ${limits}\n`);
  return pgs(['apply', '-f', file]);
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'pgs-limits-'));
  await pgsOk(['cluster', 'create', tenant, '--rto', 'wide', '--hosts', 'h4,h5,h6']);
  await pgsOk(['cluster', 'url', tenant]);
}, 600_000);

afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await destroyQuietly(tenant);
});

test('are in force on every host, and PostgreSQL is tuned for them', async () => {
  const ran = await apply('{ cpuWeight: 50, cpuQuota: 150%, memory: 640MB, tasks: 400, openFiles: 32768 }');
  expect({ code: ran.code, stderr: ran.stderr }).toMatchObject({ code: 0 });
  const hosts = (await pgsJson<{ members: { host: string }[] }>(['cluster', 'show', tenant])).members;
  for (const { host } of hosts) {
    const mebi = 1024 * 1024;
    expect(await kernel(host)).toEqual(['50', '150000 100000', String(640 * mebi), String(576 * mebi), '400']);
    const pid = (await onOk(host, `systemctl show -p MainPID --value pgs-patroni@${tenant}`)).trim();
    expect(await onOk(host, `grep '^Max open files' /proc/${pid}/limits`)).toMatch(/ 32768 +32768 /);
  }
  expect(await psqlOk(tenant, 'primary', 'SHOW shared_buffers')).toBe('160MB');
  expect((await pgs(['plan', tenant])).code).toBe(0);
}, 900_000);

test('that somebody lifted are in force again after an apply', async () => {
  const before = await kernel('h5');
  await onOk('h5', `systemctl set-property --runtime '${slice}' TasksMax=infinity`);
  expect(await kernel('h5')).not.toEqual(before);
  await pgsOk(['apply', tenant]);
  expect(await kernel('h5')).toEqual(before);
}, 300_000);

test('that are taken away are gone', async () => {
  expect((await apply('{}')).code).toBe(0);
  const [, quota, ...rest] = await kernel('h4');
  expect(['none', 'max 100000']).toContain(quota);
  expect(rest).toEqual(['max', 'max', 'max']);
}, 900_000);
