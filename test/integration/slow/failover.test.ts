// A leader that is gone and that Patroni does not replace by itself, and where etcd's leader sits.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { destroyQuietly, on, onOk, pgs, pgsJson, pgsOk, psqlOk, statusOf, until, untilHealthy } from '../machines.js';

const tenant = 'lost';
const unit = `pgs-patroni@${tenant}.service`;

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
});

afterAll(async () => {
  for (const host of ['h1', 'h2', 'h3']) await on(host, `systemctl unmask --runtime ${unit}; systemctl start ${unit}`);
  await destroyQuietly(tenant);
});

const leaderOfEtcd = async () => (await pgsJson<{ leaders: string[] }>(['dcs', 'status'])).leaders;
const leaderHost = async () => {
  const { members, leader } = await statusOf(tenant);
  return members.find((m) => m.name === leader)!.host;
};

/** Everything of the member dies at once, with no goodbye to etcd, and stays down. */
async function loseMember(host: string): Promise<void> {
  await onOk(host, `systemctl mask --runtime -q ${unit}; pkill -KILL -u pgs-${tenant}; systemctl stop ${unit}`);
}

test("etcd's leader sits on a host that leads no PostgreSQL, after a create and after a switchover to its host", async () => {
  await untilHealthy(tenant);
  expect(await leaderOfEtcd()).not.toContain(await leaderHost());
  const [etcd] = await leaderOfEtcd();
  const { members } = await statusOf(tenant);
  await pgsOk(['switchover', tenant, '--to', members.find((m) => m.host === etcd)!.name]);
  expect(await leaderHost()).toBe(etcd);
  await until("etcd's leader has moved", async () => !(await leaderOfEtcd()).includes(etcd!), 20_000);
});

test('the outages that are predicted name both leaders on one host', async () => {
  const report = await pgsJson<{ leadsBoth: string | null; predictions: { failure: string; avgMs: number }[] }>([
    'cluster',
    'rto',
    tenant,
  ]);
  expect(report.leadsBoth).toBeNull();
  expect(report.predictions.find((p) => p.failure === 'host-loss')!.avgMs).toBeLessThan(22_000);
});

test('a leader that works is not failed over from', async () => {
  const ran = await pgs(['failover', tenant, '--yes']);
  expect(ran.code).toBe(2);
  expect(ran.stderr).toMatch(/leads and answers[^]*pgs switchover/);
});

test('with the leader and a synchronous standby gone, Patroni waits; pgs says what may be lost, asks, and brings the last member up', async () => {
  const { leader, members } = await untilHealthy(tenant);
  const [other, last] = members.filter((m) => m.name !== leader);
  await psqlOk(tenant, 'direct', 'CREATE TABLE kept AS SELECT 1 AS n');
  await Promise.all([leader, other!.name].map((name) => loseMember(members.find((m) => m.name === name)!.host)));
  const dry = await pgs(['failover', tenant, '--dry-run']);
  expect(dry.code, dry.stderr).toBe(3);
  expect(dry.stdout).toMatch(new RegExp(`failover of ${tenant} to ${last!.name} MAY LOSE DATA`));
  const unasked = await pgs(['failover', tenant]);
  expect(unasked.code).toBe(2);
  expect(unasked.stderr).toMatch(/no terminal to ask on/);
  expect((await statusOf(tenant)).leader).toBeNull();
  const done = await pgs(['failover', tenant, '--yes']);
  expect(done.code, done.stderr).toBe(0);
  expect(done.stdout).toMatch(new RegExp(`${last!.name} leads ${tenant}`));
  expect((await statusOf(tenant)).leader).toBe(last!.name);
  for (const host of ['h1', 'h2', 'h3']) await on(host, `systemctl unmask --runtime ${unit}; systemctl start ${unit}`);
  await untilHealthy(tenant);
  expect(await psqlOk(tenant, 'direct', 'SELECT n FROM kept')).toBe('1');
});
