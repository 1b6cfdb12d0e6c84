// How many server connections a pooler may open to each database of a tenant's file.

import { expect, test } from 'vitest';
import { renderPgbouncerConfig } from '../../../src/pgbouncer/desired.js';
import type { TenantSpec } from '../../../src/topology/tenant.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';

function sizes(databases: TenantSpec['databases'], service: 'primary' | 'replica' = 'primary'): Record<string, string> {
  const cluster = clusterOf(recordOf('acme', { databases }));
  const ini = renderPgbouncerConfig(cluster, cluster.members[0]!, service);
  const own = [...ini.matchAll(/^(\S+) = .* pool_size=(\d+) max_db_connections=\2$/gm)].map(([, name, size]) => [
    name,
    size,
  ]);
  return {
    ...(Object.fromEntries(own) as Record<string, string>),
    rest: /^max_db_connections = (\d+)$/m.exec(ini)![1]!,
  };
}

test('without a file there is one size for every database', () => {
  expect(sizes(undefined)).toEqual({ rest: '20' });
});

test('a size is for all members together, and the others share what is left', () => {
  // Of 100 connections three poolers of primary may open 60: 20 each.
  expect(sizes({ shop: { pool: 12 }, plain: {}, old: { state: 'absent' } })).toEqual({
    shop: '4',
    plain: '8',
    rest: '8',
  });
});

test('no size is more than the poolers of a service have', () => {
  expect(sizes({ shop: { pool: 60 } }, 'replica')).toEqual({ shop: '8', rest: '1' });
});
