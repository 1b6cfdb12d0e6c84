// What is done to a cluster that lives, on real machines while clients write through `primary`: nothing acknowledged is lost, and what is
// planned is felt by no client.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addresses,
  destroyQuietly,
  environment,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  power,
  psql,
  psqlOk,
  root,
  statusOf,
  until,
  untilHealthy,
} from '../machines.js';
import { underLoad, unfelt } from '../under-load.js';

const tenant = 'daytwo';
let port: { primary: number; postgres: number };

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  port = (await pgsJson<{ ports: typeof port }>(['cluster', 'show', tenant])).ports;
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(async () => {
  for (const host of Object.keys(addresses())) await power(host, 'on');
  await destroyQuietly(tenant);
});

/** What each member's own PostgreSQL answers, by member. */
async function ask(sql: string): Promise<Record<string, string>> {
  const { members } = await statusOf(tenant);
  const local = `-h /run/pgs/${tenant} -p ${port.postgres} -U postgres -d postgres`;
  const asked = members.map(async ({ name, host }) => {
    const answer = await onOk(host, `runuser -u pgs-${tenant} -- psql -XqAt ${local} -c "${sql}"`);
    return [name, answer.trim()] as const;
  });
  return Object.fromEntries(await Promise.all(asked));
}

const starts = () => ask('SELECT pg_postmaster_start_time()');
const everywhere = (answers: Record<string, string>, value: string) =>
  expect(answers).toEqual(Object.fromEntries(Object.keys(answers).map((name) => [name, value])));

/** Members whose PostgreSQL is another one than before. */
async function restartedSince(before: Record<string, string>): Promise<string[]> {
  const now = await starts();
  return Object.keys(before).filter((name) => before[name] !== now[name]);
}

describe('a restart', () => {
  test('of all members is felt by no client, and a pending one there is not', async () => {
    await untilHealthy(tenant);
    const before = await starts();
    expect(await underLoad(tenant, () => pgsOk(['cluster', 'restart', tenant]))).toMatchObject(unfelt);
    expect(await restartedSince(before)).toHaveLength(3);
    const after = await starts();
    const nothing = await pgsJson<{ members: string[]; changes: number }>([
      'cluster',
      'restart',
      tenant,
      '--pending-only',
    ]);
    expect(nothing).toMatchObject({ members: [], changes: 0 });
    expect(await restartedSince(after)).toEqual([]);
  }, 300_000);

  test('that was killed is gone on with by the same command: nobody restarts twice', async () => {
    await untilHealthy(tenant);
    const before = await starts();
    let between: Record<string, string> = {};
    const verdict = await underLoad(tenant, async () => {
      const child = spawn(`${root}bin/pgs`, ['cluster', 'restart', tenant], { env: environment, cwd: root });
      const ended = new Promise((resolve) => child.on('close', resolve));
      await until('one has restarted', async () => (await restartedSince(before)).length > 0);
      child.kill('SIGKILL');
      await ended;
      await untilHealthy(tenant);
      between = await starts();
      expect((await pgs(['cluster', 'status', tenant])).stdout).toMatch(
        /the restart that was begun .* is not finished/,
      );
      const again = await pgsJson<{ resumed: string | null }>(['cluster', 'restart', tenant]);
      expect(again.resumed).not.toBeNull();
    });
    expect(verdict).toMatchObject(unfelt);
    expect(await restartedSince(before)).toHaveLength(3);
    const early = Object.keys(before).filter((name) => between[name] !== before[name]);
    const now = await starts();
    for (const name of early) expect(now[name]).toBe(between[name]);
  }, 300_000);
});

describe('settings', () => {
  test('that a reload is enough for are in force everywhere, and restart nobody', async () => {
    await untilHealthy(tenant);
    const before = await starts();
    expect(await underLoad(tenant, () => pgsOk(['cluster', 'set', tenant, 'work_mem=9MB']))).toMatchObject(unfelt);
    everywhere(await ask('SHOW work_mem'), '9MB');
    expect(await restartedSince(before)).toEqual([]);
    expect((await pgs(['plan', tenant])).code).toBe(0);
  }, 300_000);

  test('that standbys need first are raised by restarts in turn, said before', async () => {
    await untilHealthy(tenant);
    const change = ['cluster', 'set', tenant, 'max_connections=150'];
    const planned = await pgs([...change, '--dry-run']);
    expect(planned.code).toBe(3);
    expect(planned.stdout).toMatch(/restart PostgreSQL of .*\n.*max_connections is 100 and becomes 150/);
    expect(await underLoad(tenant, () => pgsOk(change))).toMatchObject(unfelt);
    everywhere(await ask('SHOW max_connections'), '150');
    expect((await pgs(['plan', tenant])).code).toBe(0);
  }, 300_000);

  test('that the leader needs first are lowered on it in place, and nobody else leads', async () => {
    const { leader } = await untilHealthy(tenant);
    expect(await underLoad(tenant, () => pgsOk(['cluster', 'set', tenant, 'max_connections=']))).toMatchObject(unfelt);
    everywhere(await ask('SHOW max_connections'), '100');
    expect((await untilHealthy(tenant)).leader).toBe(leader);
    expect((await pgs(['plan', tenant])).code).toBe(0);
  }, 300_000);

  test('of RTO and RPO change live, there and back', async () => {
    await untilHealthy(tenant);
    const before = await starts();
    const verdict = await underLoad(tenant, async () => {
      await pgsOk(['cluster', 'set', tenant, 'rto=norm', 'rpo=1048576']);
      expect((await statusOf(tenant)).rpo.verdict).toBe('asynchronous');
      await pgsOk(['cluster', 'set', tenant, 'rto=fast', 'rpo=0']);
    });
    expect(verdict).toMatchObject(unfelt);
    expect((await statusOf(tenant)).rpo.verdict).toBe('holds');
    expect(await restartedSince(before)).toEqual([]);
  }, 300_000);

  test('that Patroni would silently not take are refused', async () => {
    const ran = await pgs(['cluster', 'set', tenant, 'max_connections=20']);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/less than the 25 that Patroni takes/);
  });
});

test('a pause is felt by no client, is kept by an apply, stops what needs Patroni, and is ended', async () => {
  await untilHealthy(tenant);
  const verdict = await underLoad(tenant, async () => {
    await pgsOk(['cluster', 'pause', tenant]);
    expect((await pgs(['cluster', 'status', tenant])).stdout).toContain(`pgs cluster resume ${tenant}`);
    expect((await pgs(['apply', tenant])).stdout).toMatch(/nothing to change/);
    for (const args of [
      ['cluster', 'restart', tenant],
      ['cluster', 'stop', tenant, '--yes'],
      ['switchover', tenant],
    ]) {
      const ran = await pgs(args);
      expect(ran.code, args.join(' ')).toBe(5);
      expect(ran.stderr).toContain(`pgs cluster resume ${tenant}`);
    }
    await pgsOk(['cluster', 'resume', tenant]);
  });
  expect(verdict).toMatchObject(unfelt);
  expect((await pgs(['plan', tenant])).code).toBe(0);
}, 300_000);

test('a replica is made anew, unfelt; the leader is not', async () => {
  const { leader, members } = await untilHealthy(tenant);
  const refused = await pgs(['cluster', 'reinit', tenant, '--member', leader!, '--yes']);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toMatch(/it leads/);
  const { name, host } = members.find((m) => m.name !== leader)!;
  await onOk(host, `touch /var/lib/pgs/${tenant}/data/of-before`);
  expect(await underLoad(tenant, () => pgsOk(['cluster', 'reinit', tenant, '--member', name, '--yes']))).toMatchObject(
    unfelt,
  );
  expect((await onOk(host, `ls /var/lib/pgs/${tenant}/data`)).split('\n')).not.toContain('of-before');
  expect((await untilHealthy(tenant)).leader).toBe(leader);
}, 300_000);

test('a tenant that is stopped has no process, refuses connections, outlives boots, and comes back with its data', async () => {
  const { leader, members } = await untilHealthy(tenant);
  await psqlOk(tenant, 'primary', 'CREATE TABLE kept AS SELECT 42 AS answer');
  await pgsOk(['cluster', 'stop', tenant, '--yes']);
  expect(await pgsOk(['cluster', 'stop', tenant, '--yes'])).toMatch(/is stopped already/);
  for (const host of Object.keys(addresses())) {
    expect((await onOk(host, `pgrep -c -u pgs-${tenant} || true`)).trim()).toBe('0');
  }
  const status = await pgs(['cluster', 'status', tenant]);
  expect(status.stdout).toMatch(/STOPPED/);
  const client = await psql(tenant, 'primary', 'SELECT 1');
  expect(client.stderr).toMatch(/Connection refused/);
  const other = members.find((m) => m.name !== leader)!.host;
  await power(other, 'off');
  await power(other, 'on');
  expect((await pgs(['apply', tenant])).stdout).toMatch(/nothing to change/);
  expect((await onOk(other, `pgrep -c -u pgs-${tenant} || true`)).trim()).toBe('0');
  const refused = await pgs(['switchover', tenant]);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain(`pgs cluster start ${tenant}`);
  await pgsOk(['cluster', 'start', tenant]);
  expect(await psqlOk(tenant, 'primary', 'SELECT answer FROM kept')).toBe('42');
  expect((await untilHealthy(tenant)).leader).toBe(leader);
  expect((await pgs(['plan', tenant])).code).toBe(0);
}, 300_000);
