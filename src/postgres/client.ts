// SQL on a cluster: as the superuser through the local socket of a member (over ssh, as the tenant's own OS user; there is no
// superuser password and no superuser over the network), and as an ordinary client through the services.

import pg from 'pg';
import { PgsError } from '../errors.js';
import { runChecked, type Command, type HostAccess } from '../host/command.js';
import type { Secret } from '../secrets/secret.js';
import type { Cluster, ServiceName } from '../topology/cluster.js';
import { servicePort } from '../topology/cluster.js';
import { objectFactsScript, parseObjectFacts, type ObjectFacts } from './object-facts.js';
import { sqlFactsQuery, type SqlFacts } from './desired.js';

/** psql as the superuser of a tenant on the host it runs on, reading statements from standard input. */
export function superuserPsql(cluster: Cluster, statements: string | Secret, timeoutMs: number): Command {
  const { osUser, paths, ports, spec } = cluster;
  const psql = `/usr/lib/postgresql/${spec.postgres}/bin/psql`;
  const connection = ['-h', paths.run, '-p', String(ports.postgres), '-U', 'postgres', '-d', 'postgres'];
  return {
    argv: ['runuser', '-u', osUser, '--', psql, '-XqAt', '-v', 'ON_ERROR_STOP=1', ...connection, '-f', '-'],
    stdin: statements,
    timeoutMs,
  };
}

export async function runSuperuserSql(
  host: HostAccess,
  cluster: Cluster,
  doing: string,
  statements: string | Secret,
  timeoutMs = 30_000,
): Promise<string> {
  return runChecked(host, doing, superuserPsql(cluster, statements, timeoutMs));
}

/** Null when the member's PostgreSQL does not answer. */
export async function gatherSqlFacts(host: HostAccess, cluster: Cluster): Promise<SqlFacts | null> {
  const result = await host.run(superuserPsql(cluster, sqlFactsQuery, 5000)).catch(() => null);
  if (!result || result.code !== 0) return null;
  return JSON.parse(result.stdout) as SqlFacts;
}

/** Roles, databases and what is in those named, of the leader; null when it does not answer. */
export async function gatherObjects(
  host: HostAccess,
  cluster: Cluster,
  databases: string[],
): Promise<ObjectFacts | null> {
  const result = await host.run(superuserPsql(cluster, objectFactsScript(databases), 15_000)).catch(() => null);
  return result?.code === 0 ? parseObjectFacts(result.stdout) : null;
}

export interface Login {
  user: string;
  password: Secret;
  database: string;
}

/**
 * One session through a service of an entry host, TLS verified against the tenant's CA and the host's address.
 * @throws PgsError `unreachable` naming the entry and what it answered
 */
export async function withServiceClient<T>(
  cluster: Cluster,
  entry: { name: string; address: string },
  service: ServiceName,
  login: Login,
  caPem: string,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const port = servicePort(cluster.ports, service);
  const client = new pg.Client({
    host: entry.address,
    port,
    user: login.user,
    password: login.password.reveal(),
    database: login.database,
    application_name: 'pgs',
    ssl: { ca: caPem, rejectUnauthorized: true },
    connectionTimeoutMillis: 5000,
    query_timeout: 8000,
  });
  // A session that dies between two statements must not end pgs.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (thrown) {
    if (thrown instanceof PgsError) throw thrown;
    throw new PgsError('unreachable', {
      doing: `using service ${service} of ${cluster.tenant} through ${entry.name}:${port}`,
      host: entry.name,
      found: thrown instanceof Error ? thrown.message || thrown.name : String(thrown),
      hint: `\`pgs cluster status ${cluster.tenant}\` shows where the service routes to.`,
    });
  } finally {
    await client.end().catch(() => undefined);
  }
}
