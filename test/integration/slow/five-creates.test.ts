// Five tenants made side by side by five operators: every one of them is made, with ports and data of its own.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { destroyQuietly, pgs, pgsJson, psqlOk, statusOf } from '../machines.js';

const tenants = ['ops-a', 'ops-b', 'ops-c', 'ops-d', 'ops-e'];

afterAll(async () => {
  for (const tenant of tenants) await destroyQuietly(tenant);
});

describe('five creates at once', () => {
  /** What those said that failed and should not have. */
  let failures: string[];

  beforeAll(async () => {
    const create = (tenant: string) => pgs(['cluster', 'create', tenant, '--rto', 'fast', '-o', 'json']);
    const rans = await Promise.all(tenants.map(create));
    failures = rans.flatMap((ran) => (ran.code === 0 ? [] : [`${ran.code}: ${ran.stderr}`]));
  });

  test('all five are made', async () => {
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

  test('and all five go at once', async () => {
    const destroy = (tenant: string) => pgs(['cluster', 'destroy', tenant, '--purge-data', '--yes']);
    const rans = await Promise.all(tenants.map(destroy));
    expect(rans.flatMap((ran) => (ran.code === 0 ? [] : [ran.stderr]))).toEqual([]);
    expect(await pgsJson(['cluster', 'list'])).toEqual({ clusters: [] });
  });
});
