// The fleet's etcd on its bad days: without a quorum pgs says so in time and the clusters go on; what was killed comes back.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  destroyQuietly,
  on,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  run,
  statusOf,
  until,
  untilHealthy,
  type Ran,
} from '../machines.js';

const tenant = 'quorum';
/** What every command promises when etcd has no quorum: an error this soon after it was asked. */
const answerLimitMs = 5000;
let url: string;

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  url = (await pgsOk(['cluster', 'url', tenant, '--service', 'primary'])).trim();
  await write('CREATE TABLE kept (n int)');
});

afterAll(async () => {
  for (const host of ['h1', 'h2', 'h3']) await on(host, 'systemctl kill -s CONT pgs-etcd; systemctl start pgs-etcd');
  await destroyQuietly(tenant);
});

/** Through the string that was given before: pgs itself is not needed to write. */
function write(sql: string): Promise<Ran> {
  return run('psql', ['-XqAt', url, '-c', sql]);
}

interface DcsState {
  quorum: 'healthy' | 'degraded' | 'lost';
  members: { name: string; state: string }[];
}

async function dcsState(): Promise<DcsState> {
  return JSON.parse((await pgs(['dcs', 'status', '-o', 'json'])).stdout) as DcsState;
}

const untilWhole = () => until('etcd is whole', async () => (await dcsState()).quorum === 'healthy');

test('a second `dcs create` does nothing and restarts nothing', async () => {
  const starts = () =>
    Promise.all(['h1', 'h2', 'h3'].map((h) => onOk(h, 'systemctl show -p MainPID -p NRestarts pgs-etcd.service')));
  const before = await starts();
  expect(await pgsJson<{ changes: number }>(['dcs', 'create'])).toMatchObject({ changes: 0 });
  expect((await pgs(['dcs', 'create', '--dry-run'])).code).toBe(0);
  expect(await starts()).toEqual(before);
});

test('a killed member comes back by itself, and nothing but its own restart is seen', async () => {
  const { leader } = await statusOf(tenant);
  const pid = await onOk('h2', 'systemctl show -p MainPID --value pgs-etcd.service');
  await onOk('h2', 'systemctl kill -s KILL pgs-etcd.service');
  await until('it runs again', async () => {
    const now = (await onOk('h2', 'systemctl show -p MainPID --value pgs-etcd.service')).trim();
    return now !== '0' && now !== pid.trim();
  });
  await untilWhole();
  expect(await statusOf(tenant)).toMatchObject({ healthy: true, leader });
});

describe('without a quorum', () => {
  let stopWriting: () => Promise<{ failed: string[]; done: number }>;

  beforeAll(async () => {
    stopWriting = writeMeanwhile();
    // One is stopped and refuses; the other hangs and answers nothing, which is worse.
    await Promise.all([onOk('h1', 'systemctl stop pgs-etcd'), onOk('h3', 'systemctl kill -s STOP pgs-etcd')]);
    await until('it is lost', async () => (await dcsState()).quorum === 'lost');
  });

  test.each([
    [['cluster', 'list']],
    [['cluster', 'status', tenant]],
    [['cluster', 'create', 'other']],
    [['plan', tenant]],
    [['apply', tenant]],
    [['switchover', tenant]],
    [['cluster', 'destroy', tenant, '--yes']],
    [['cluster', 'url', tenant, '-o', 'json']],
  ])('%j ends within 5 s, and says who answers and who does not', async (words) => {
    const startedMs = performance.now();
    const ran = await pgs(words);
    const tookMs = performance.now() - startedMs;
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/etcd has no quorum: h2 answers but knows no leader, h1 and h3 do not/);
    expect(ran.stderr).toMatch(/next: .*`pgs dcs status`/);
    expect(tookMs).toBeLessThan(answerLimitMs);
  });

  test('`dcs status` works, and shows each member', async () => {
    const ran = await pgs(['dcs', 'status']);
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/quorum lost; h2 answers but knows no leader, h1 and h3 do not/);
    const { members } = await dcsState();
    expect(Object.fromEntries(members.map((m) => [m.name, m.state]))).toEqual({
      h1: 'silent',
      h2: 'leaderless',
      h3: 'silent',
    });
  });

  test('the cluster goes on: its leader takes writes for longer than its lease lasts', async () => {
    const lostForS = async () =>
      Number((await write('SELECT extract(epoch FROM now() - min(at))::int FROM kept_at')).stdout);
    await until('two leases have passed', async () => (await lostForS()) > 40);
    const { failed, done } = await stopWriting();
    expect(failed).toEqual([]);
    expect(done).toBeGreaterThan(0);
  });

  test('after the return all is well, with the same leader and nothing to do', async () => {
    await Promise.all([onOk('h1', 'systemctl start pgs-etcd'), onOk('h3', 'systemctl kill -s CONT pgs-etcd')]);
    await untilWhole();
    await untilHealthy(tenant);
    expect((await pgs(['plan', tenant])).code).toBe(0);
    expect((await write('INSERT INTO kept VALUES (1)')).code).toBe(0);
  });

  /** Writes rows one after the other until it is stopped; says which failed. */
  function writeMeanwhile() {
    let going = true;
    const failed: string[] = [];
    let done = 0;
    const running = (async () => {
      await write('CREATE TABLE kept_at (at timestamptz NOT NULL DEFAULT now())');
      while (going) {
        const ran = await write('INSERT INTO kept_at DEFAULT VALUES');
        if (ran.code === 0) done++;
        else failed.push(ran.stderr);
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
    })();
    return async () => {
      going = false;
      await running;
      return { failed, done };
    };
  }
});
