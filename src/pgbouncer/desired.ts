// What PgBouncer should be on each member's host: one process in front of the leader and one in front of the replicas, since PgBouncer
// tells its targets apart by the name of the database only, and clients of both services use the same databases.

import type { Resource } from '../host/resource.js';
import { renderTemplate } from '../host/template.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import { asksInOneDatabase, lookupFunction, poolerRole } from '../topology/accounts.js';
import {
  pooledServices,
  poolerPort,
  tenantSlice,
  type Cluster,
  type PlacedMember,
  type PooledService,
} from '../topology/cluster.js';
import { isPresent } from '../topology/objects.js';
import { holdLimitMs } from '../topology/presets.js';
import { openFilesOf } from '../topology/limits.js';
import { maxConnectionsOf, poolersShare } from '../topology/settings.js';
import type { TenantSpec } from '../topology/tenant.js';

/** Clients of one pooler; each costs it a few kB. */
const clientsMax = 5000;

export function poolerUnit(tenant: string, service: PooledService): string {
  return service === 'primary' ? `pgs-pgbouncer@${tenant}.service` : `pgs-pgbouncer-replica@${tenant}.service`;
}

/** Everything on a member's host; nothing when the tenant has no pooler. The tenant's user, directories and TLS are Patroni's. */
export function desiredPgbouncer(cluster: Cluster, member: PlacedMember, secrets: TenantSecrets): Resource[] {
  if (cluster.spec.pool === 'off') return [];
  const { tenant, paths, osUser } = cluster;
  const own = { owner: osUser, group: osUser, mode: '0600' };
  const tls = { crt: `${paths.tls}/pooler.crt`, key: `${paths.tls}/pooler.key` };
  const shared = [`${paths.tls}/sql.crt`, `${paths.tls}/sql.key`, `${paths.tls}/sql-ca.crt`, tls.crt, tls.key];
  const pools = pooledServices.flatMap((service): Resource[] => {
    const unit = poolerUnit(tenant, service);
    const config = configPath(cluster, service);
    const loads = [config, ...shared];
    return [
      { kind: 'file', path: config, ...own, content: renderPgbouncerConfig(cluster, member, service) },
      {
        kind: 'file',
        path: `/etc/systemd/system/${unit}`,
        owner: 'root',
        group: 'root',
        mode: '0644',
        content: renderTemplate('pgbouncer/pgs-pgbouncer.service.eta', {
          tenant,
          service,
          unit,
          config,
          slice: tenantSlice(tenant),
          user: osUser,
          loads: loads.join(' '),
          configDir: paths.config,
          run: paths.run,
          runName: `pgs/${tenant}`,
          openFiles: openFilesOf(cluster.spec.limits),
        }),
      },
      { kind: 'unit', name: unit, state: 'running', enabled: true, loads, onChange: 'reload' },
    ];
  });
  return [
    { kind: 'file', path: tls.crt, ...own, content: secrets.pooler.certPem },
    { kind: 'file', path: tls.key, ...own, content: secrets.pooler.keyPem },
    ...pools,
  ];
}

/** What must be gone from a host when the tenant leaves it, or goes on without a pooler. */
export function absentPgbouncer(cluster: Cluster): Resource[] {
  const { tenant, paths } = cluster;
  const gone = (what: 'unit' | 'path', name: string): Resource => ({ kind: 'absent', what, name, destructive: false });
  return [
    ...pooledServices.flatMap((service) => {
      const unit = poolerUnit(tenant, service);
      return [
        gone('unit', unit),
        gone('path', `/etc/systemd/system/${unit}`),
        gone('path', configPath(cluster, service)),
      ];
    }),
    gone('path', `${paths.tls}/pooler.crt`),
    gone('path', `${paths.tls}/pooler.key`),
  ];
}

function configPath({ paths }: Cluster, service: PooledService): string {
  return `${paths.config}/pgbouncer-${service}.ini`;
}

export function renderPgbouncerConfig(cluster: Cluster, member: PlacedMember, service: PooledService): string {
  const { tenant, paths, ports, spec } = cluster;
  const serversMax = serversMaxOf(cluster, service);
  return renderTemplate('pgbouncer/pgbouncer.ini.eta', {
    tenant,
    service,
    address: member.host.address,
    port: poolerPort(ports, service),
    target: service === 'primary' ? ports.direct : ports.directReplica,
    run: paths.run,
    tls: paths.tls,
    authUser: poolerRole,
    lookup: lookupFunction,
    lookupDatabase: 'pgs_lookup',
    lookupPort: asksInOneDatabase(spec.postgres) ? ports.lookup : null,
    mode: spec.pool,
    databases: poolSizes(spec, serversMax, cluster.members.length),
    serversMax: restOf(spec, serversMax, cluster.members.length),
    clientsMax,
    holdS: Math.ceil(holdLimitMs(spec.rto) / 1000),
  });
}

/** Server connections that one pooler may open. */
function serversMaxOf({ spec, members }: Cluster, service: PooledService): number {
  return Math.max(2, Math.floor((maxConnectionsOf(spec) * poolersShare[service]) / members.length));
}

/**
 * Server connections of one pooler to each database of the tenant's file. The ones without a size share what the others leave, with those
 * that are not in the file: PgBouncer bounds each database by itself, so together they would take more than the server has.
 */
function poolSizes(
  { databases = {} }: TenantSpec,
  serversMax: number,
  poolers: number,
): { name: string; size: number }[] {
  const present = Object.entries(databases).filter(([, database]) => isPresent(database));
  const share = restOf({ databases }, serversMax, poolers);
  return present.map(([name, { pool }]) => ({
    name,
    size: pool === undefined ? share : Math.min(serversMax, Math.max(1, Math.floor(pool / poolers))),
  }));
}

/** What a database gets that no size is given for. */
function restOf({ databases = {} }: Pick<TenantSpec, 'databases'>, serversMax: number, poolers: number): number {
  const present = Object.values(databases).filter(isPresent);
  if (present.length === 0) return serversMax;
  const given = present.flatMap(({ pool }) => (pool === undefined ? [] : [Math.max(1, Math.floor(pool / poolers))]));
  const left = serversMax - given.reduce((sum, size) => sum + size, 0);
  return Math.max(1, Math.floor(left / (present.length - given.length + 1)));
}
