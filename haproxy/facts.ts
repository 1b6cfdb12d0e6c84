// What a running HAProxy routes where, parsed from its runtime socket.

import { parse } from 'csv-parse/sync';
import { pooledServices, serviceNames, type PooledService, type ServiceName } from '../src/topology/cluster.js';
import { poolersOf } from './desired.js';

/** Members that get the connections of a service through one entry; empty when nothing can be reached. */
export type Routes = Record<ServiceName, string[]> & {
  /** Members whose pooler takes connections of a pooled service; null when there is no pooler. */
  poolers: Record<PooledService, string[] | null>;
};

/**
 * The routes of a tenant from the answer to `showStat` (a header may come again in it), or null when this HAProxy does not know the tenant.
 * Read-only services fall back to the leader when no replica is fit (see `templates/haproxy/tenant.cfg.eta`).
 */
export function parseRoutes(csv: string, tenant: string): Routes | null {
  const rows = parse<Record<string, string>>(csv.replace(/^# /, ''), {
    columns: true,
    skip_empty_lines: true,
    relax_column_count: true,
  });
  if (!rows.some((row) => row.pxname === `${tenant}:leader`)) return null;
  const up = (backend: string) =>
    rows
      .filter((row) => row.pxname === backend && row.svname !== 'BACKEND' && row.svname !== 'FRONTEND')
      .filter((row) => row.status?.startsWith('UP') || row.status === 'no check')
      .map((row) => row.svname!);
  const leader = up(`${tenant}:leader`);
  const replicas = up(`${tenant}:replicas`);
  const readOnly = replicas.length > 0 ? replicas : leader;
  const poolers = pooledServices.map((name) => {
    const backend = `${tenant}:${poolersOf[name]}`;
    return [name, rows.some((row) => row.pxname === backend) ? up(backend) : null] as const;
  });
  return {
    ...Object.fromEntries(
      serviceNames.map((name) => [name, name === 'replica' || name === 'direct-ro' ? readOnly : leader]),
    ),
    poolers: Object.fromEntries(poolers) as Routes['poolers'],
  } as Routes;
}
