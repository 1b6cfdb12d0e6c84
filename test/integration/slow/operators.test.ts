// Several operators at once: one tenant is changed by one at a time, different tenants side by side, and nobody waits for the dead.

import { hostname } from 'node:os';
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  destroyQuietly,
  environment,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  psqlOk,
  root,
  statusOf,
  until,
  untilHealthy,
  type Ran,
} from '../machines.js';

const tenants = ['ops-a', 'ops-b'];
const [first] = tenants as [string];
const lockKey = `/pgs/state/locks/${first}`;

afterAll(async () => {
  for (const tenant of tenants) await destroyQuietly(tenant);
});

/** etcd's own client on a host, with the login that its defragmentation uses. */
async function etcdctl(words: string, input = ''): Promise<string> {
  const tls = '/etc/pgs/etcd/tls';
  const login = `set -a; . /etc/pgs/etcd-defrag.env; ETCDCTL_API=3 ETCDCTL_ENDPOINTS=https://127.0.0.1:2379`;
  const files = `ETCDCTL_CACERT=${tls}/client-ca.crt ETCDCTL_CERT=${tls}/server.crt ETCDCTL_KEY=${tls}/server.key`;
  const feed = input === '' ? '' : `printf %s '${input}' | `;
  return onOk('h1', `${login} ${files}; ${feed}etcdctl ${words}`);
}

const lockHolder = () => etcdctl(`get --print-value-only ${lockKey}`);
const untilLocked = () => until('the lock is taken', async () => (await lockHolder()).trim() !== '');

describe('two creates at once, one of them by two operators', () => {
  /** What those said that failed and should not have. */
  let failures: string[];
  let second: Ran;

  beforeAll(async () => {
    const create = (tenant: string) => pgs(['cluster', 'create', tenant, '--rto', 'fast', '-o', 'json']);
    const [twin, ...rans] = await Promise.all([create(first), ...tenants.map(create)]);
    // Whoever came first won.
    second = twin.code === 0 ? rans[0]! : twin;
    const firsts = [twin.code === 0 ? twin : rans[0]!, ...rans.slice(1)];
    failures = firsts.flatMap((ran) => (ran.code === 0 ? [] : [`${ran.code}: ${ran.stderr}`]));
  });

  test('both are made', async () => {
    expect(failures).toEqual([]);
    for (const tenant of tenants) expect(await statusOf(tenant)).toMatchObject({ healthy: true, drift: [] });
  });

  test('with ports and hosts of their own', async () => {
    const { clusters } = await pgsJson<{
      clusters: { tenant: string; ports: { from: number }; members: { host: string }[] }[];
    }>(['cluster', 'list']);
    expect(new Set(clusters.map((c) => c.ports.from)).size).toBe(tenants.length);
    for (const { members } of clusters) expect(new Set(members.map((m) => m.host)).size).toBe(3);
  });

  test('each answers with its own data', async () => {
    for (const tenant of tenants) {
      await psqlOk(tenant, 'primary', `CREATE TABLE whose (name text); INSERT INTO whose VALUES ('${tenant}')`);
    }
    for (const tenant of tenants) expect(await psqlOk(tenant, 'primary', 'SELECT name FROM whose')).toBe(tenant);
  });

  test('the second operator of the same tenant is told who holds it, or finds it there', () => {
    if (second.code === 0) {
      expect(JSON.parse(second.stdout)).toMatchObject({ tenant: first, healthy: true });
      return;
    }
    expect(second.code).toBe(6);
    expect(second.stderr).toMatch(
      new RegExp(`on ${hostname()} \\(process \\d+\\) holds it since .* with: cluster create ${first}`),
    );
  });

  afterAll(async () => {
    for (const tenant of tenants.slice(1)) await destroyQuietly(tenant);
  });
});

/** An apply that has something to do; it has the lock when this returns. */
async function startApply(): Promise<{ kill: () => void; ended: Promise<number | null>; pid: number }> {
  await onOk('h3', `systemctl stop pgs-patroni@${first}.service`);
  const child = spawn('node', [`${root}bin/pgs.mjs`, 'apply', first], { env: environment, stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  await untilLocked();
  return { kill: () => child.kill('SIGKILL'), ended, pid: child.pid! };
}

describe('apply while another applies', () => {
  test('is refused with who, since when and with what', async () => {
    const running = await startApply();
    const ran = await pgs(['apply', first]);
    expect(await running.ended).toBe(0);
    expect(ran.code).toBe(6);
    expect(ran.stderr).toContain(`on ${hostname()} (process ${running.pid}) holds it since`);
    expect(ran.stderr).toMatch(new RegExp(`with: apply ${first}.*the lock ends in \\d+ s, otherwise it is renewed`));
    expect((await statusOf(first)).healthy).toBe(true);
  });

  test('whose pgs was killed takes over at once', async () => {
    const running = await startApply();
    running.kill();
    await running.ended;
    expect((await lockHolder()).trim()).not.toBe('');
    const ran = await pgs(['apply', first]);
    expect(ran).toMatchObject({ code: 0 });
    await untilHealthy(first);
    expect((await lockHolder()).trim()).toBe('');
  });
});

describe('a holder on another machine', () => {
  const holder = {
    operator: 'eve',
    host: 'elsewhere',
    pid: 4711,
    pidStart: '12345',
    bootId: '00000000-0000-0000-0000-000000000000 pid:[1]',
    command: `cluster destroy ${first}`,
    since: '2026-01-01T00:00:00.000Z',
  };
  let lease: string;

  beforeAll(async () => {
    lease = /lease (\w+) granted/.exec(await etcdctl('lease grant 300'))![1]!;
    await etcdctl(`put --lease=${lease} ${lockKey}`, JSON.stringify(holder));
  });

  test.each([
    [['apply', first]],
    [['cluster', 'create', first, '--rto', 'fast']],
    [['cluster', 'destroy', first, '--yes']],
    [['switchover', first]],
  ])('cannot be judged from here: %j is refused with the time that is left', async (words) => {
    const ran = await pgs(words);
    expect(ran.code).toBe(6);
    const [, left] =
      /eve on elsewhere \(process 4711\) holds it since 2026-01-01.* with: cluster destroy ops-a; .* the lock ends in (\d+) s/.exec(
        ran.stderr,
      )!;
    expect(Number(left)).toBeGreaterThan(0);
    expect(Number(left)).toBeLessThanOrEqual(300);
  });

  test('does not keep anybody from looking', async () => {
    expect((await statusOf(first)).healthy).toBe(true);
    expect((await pgs(['plan', first])).code).toBe(0);
  });

  test('is forgotten with its lease', async () => {
    await etcdctl(`lease revoke ${lease}`);
    expect(await pgsOk(['apply', first])).toMatch(/nothing to change/);
  });
});
