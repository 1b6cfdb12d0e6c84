// A tenant's limits on machines whose kernels have all controllers: they are in force after an apply, a neighbour has none, and one that is
// lifted by somebody else is an error of the next apply.

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
  (await onOk(host, `cd ${group} && cat cpu.weight cpu.max memory.max memory.high pids.max`)).trim().split('\n');

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

test('that somebody lifted are an error that says which, where and what was found', async () => {
  await onOk('h5', `systemctl set-property --runtime '${slice}' TasksMax=infinity`);
  const ran = await pgs(['apply', tenant]);
  expect(ran.code).toBe(1);
  expect(ran.stderr).toMatch(
    /limiting what lim-ited may use on h5\n.*tasks 400 is not in force: pids.max of \/pgs.slice\/.* says max/,
  );
  await onOk('h5', `rm -r '/run/systemd/system.control/${slice}.d' && systemctl daemon-reload`);
  await pgsOk(['apply', tenant]);
}, 300_000);

test('that are taken away are gone', async () => {
  expect((await apply('{}')).code).toBe(0);
  expect((await kernel('h4')).slice(1, 5)).toEqual(['max 100000', 'max', 'max', expect.stringMatching(/^(max|\d+)$/)]);
}, 900_000);
