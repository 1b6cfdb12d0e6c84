// Connection strings of a cluster's services. A string lists every entry host, since each answers for every service; the password
// is in a file that the string names, so that a pasted command shows it to nobody.

import type { GivenCertificate } from '../inventory/inventory.js';
import { asksInOneDatabase } from './accounts.js';
import {
  givenCertificate,
  pooledServices,
  serviceHost,
  serviceNames,
  servicePort,
  type Cluster,
  type ServiceName,
} from './cluster.js';

export interface ClientFiles {
  caPath: string;
  passwordPath: string;
  /** Of a role that logs in by it; only libpq is told. */
  certificate?: { certPath: string; keyPath: string };
}

/** By which way a client comes: the tenant's own ports, at the hosts' addresses, or its names at the front door. */
export type Way = 'ports' | 'door';

export interface Account {
  user: string;
  database: string;
}

/**
 * A libpq URI (psql, pgbench, psycopg, ...). The direct services say which kind of server they want, which costs a round trip and
 * protects against an entry whose view is old; the others must not: a pooler would answer from its memory.
 */
export function libpqUrl(
  cluster: Cluster,
  service: ServiceName,
  account: Account,
  files: ClientFiles,
  way: Way = 'ports',
): string {
  const attributes: Partial<Record<ServiceName, string>> = { direct: 'read-write', 'direct-ro': 'prefer-standby' };
  const parameters = {
    sslmode: 'verify-full',
    sslrootcert: files.caPath,
    passfile: files.passwordPath,
    connect_timeout: '5',
    ...(attributes[service] ? { target_session_attrs: attributes[service] } : {}),
    ...(way === 'door' ? doorParameters(cluster, service) : {}),
    ...(files.certificate ? { sslcert: files.certificate.certPath, sslkey: files.certificate.keyPath } : {}),
  };
  const place = `${hostList(cluster, service, way)}/${encodeURIComponent(account.database)}`;
  return `postgresql://${encodeURIComponent(account.user)}@${place}?${query(parameters)}`;
}

/**
 * The name is verified, and the addresses need no DNS. Who has a session of its own is sure to speak TLS with PostgreSQL itself, unless the
 * operator gave a certificate, with which TLS ends at the entry.
 */
function doorParameters(cluster: Cluster, service: ServiceName): Record<string, string> {
  const hostaddr = cluster.entries.map(({ address }) => address).join(',');
  const given = givenCertificate(cluster);
  if (given !== null) return { hostaddr, sslrootcert: given.caPath ?? 'system' };
  return { hostaddr, ...(poolingOf(cluster, service) === null ? { channel_binding: 'require' } : {}) };
}

/**
 * A URL for pgJDBC. By the front door it needs a name that DNS knows. The application gives the password (property `password`): pgJDBC looks a list of hosts up in a password file as if
 * it were one host, and finds nothing.
 * Where pooled sessions share server connections and PgBouncer is older than 1.21, statements must not be prepared on the server.
 */
export function jdbcUrl(
  cluster: Cluster,
  service: ServiceName,
  account: Account,
  files: ClientFiles,
  way: Way = 'ports',
): string {
  const types: Partial<Record<ServiceName, string>> = { direct: 'primary', 'direct-ro': 'preferSecondary' };
  const unprepared = poolingOf(cluster, service) === 'transaction' && !asksInOneDatabase(cluster.spec.postgres);
  const parameters = {
    user: account.user,
    sslmode: 'verify-full',
    ...jdbcTrust(way === 'door' ? givenCertificate(cluster) : null, files),
    connectTimeout: '5',
    tcpKeepAlive: 'true',
    ...(types[service] ? { targetServerType: types[service] } : {}),
    // How long pgJDBC believes what it knew of a host: after a switchover it is wrong.
    ...(types[service] ? { hostRecheckSeconds: '0' } : {}),
    ...(unprepared ? { prepareThreshold: '0' } : {}),
  };
  const { domain, tenant, door } = cluster;
  // pgJDBC tries every address of a name by itself.
  const hosts =
    way === 'door' ? `${serviceHost(tenant, service, domain)}:${door.port}` : hostList(cluster, service, way);
  return `jdbc:postgresql://${hosts}/${encodeURIComponent(account.database)}?${query(parameters)}`;
}

/** By which CAs pgJDBC verifies; what a system trusts is a class to it. */
function jdbcTrust(given: GivenCertificate | null, files: ClientFiles): Record<string, string> {
  if (given === null) return { sslrootcert: files.caPath };
  if (given.caPath !== null) return { sslrootcert: given.caPath };
  return { sslfactory: 'org.postgresql.ssl.DefaultJavaSSLFactory' };
}

/** What `rotateHosts` of `templates/client/node-postgres.mjs` is called with. */
export function nodeConfig(cluster: Cluster, service: ServiceName, account: Account, way: Way = 'ports') {
  const { domain, tenant, door, ports } = cluster;
  const place =
    way === 'door'
      ? { port: door.port, ssl: { servername: serviceHost(tenant, service, domain) } }
      : { port: servicePort(ports, service) };
  return { hosts: cluster.entries.map(({ address }) => address), config: { ...place, ...account } };
}

export type Pooling = 'transaction' | 'session' | null;

/** How a service shares server connections; null: each client has its own. */
export function poolingOf({ spec }: Cluster, service: ServiceName): Pooling {
  return spec.pool !== 'off' && pooledServices.some((name) => name === service) ? spec.pool : null;
}

/** What a client of the service must do without. */
export function describePooling(pooling: Pooling): string {
  if (pooling === null) return 'a session of its own in PostgreSQL';
  if (pooling === 'session')
    return 'pooled by session: no replication; one server connection for as long as the client stays';
  return (
    'pooled by transaction: no session state from one transaction to the next ' +
    '(SET, LISTEN, advisory locks of a session, WITH HOLD cursors, temporary tables, PREPARE in SQL), no replication'
  );
}

function hostList({ tenant, domain, door, entries, ports }: Cluster, service: ServiceName, way: Way): string {
  if (way === 'door') return entries.map(() => `${serviceHost(tenant, service, domain)}:${door.port}`).join(',');
  const port = servicePort(ports, service);
  return entries.map(({ address }) => `${address.includes(':') ? `[${address}]` : address}:${port}`).join(',');
}

/** Drivers decode %XX, but not all know `+` for a space, which URLSearchParams would write. */
function query(parameters: Record<string, string>): string {
  return Object.entries(parameters)
    .map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll('%2F', '/').replaceAll("'", '%27')}`)
    .join('&');
}

/** Lines of a libpq password file for every entry and service of the cluster, and for its names at the front door. */
export function passwordFile(cluster: Cluster, account: Account, password: string): string {
  const escape = (field: string) => field.replace(/[\\:]/g, '\\$&');
  const line = (host: string, port: number) =>
    [escape(host), String(port), '*', escape(account.user), escape(password)].join(':');
  const { tenant, domain, door, ports } = cluster;
  const lines = [
    ...cluster.entries.flatMap(({ address }) => serviceNames.map((name) => line(address, servicePort(ports, name)))),
    ...serviceNames.map((name) => line(serviceHost(tenant, name, domain), door.port)),
  ];
  return `${lines.join('\n')}\n`;
}
