// Connection strings of a cluster's services. A string lists every entry host, since each answers for every service; the password
// is in a file that the string names, so that a pasted command shows it to nobody.

import { asksInOneDatabase } from './accounts.js';
import { pooledServices, serviceNames, servicePort, type Cluster, type ServiceName } from './cluster.js';

export interface ClientFiles {
  caPath: string;
  passwordPath: string;
}

export interface Account {
  user: string;
  database: string;
}

/**
 * A libpq URI (psql, pgbench, psycopg, ...). The direct services say which kind of server they want, which costs a round trip and
 * protects against an entry whose view is old; the others must not: a pooler would answer from its memory.
 */
export function libpqUrl(cluster: Cluster, service: ServiceName, account: Account, files: ClientFiles): string {
  const attributes: Partial<Record<ServiceName, string>> = { direct: 'read-write', 'direct-ro': 'prefer-standby' };
  const parameters = {
    sslmode: 'verify-full',
    sslrootcert: files.caPath,
    passfile: files.passwordPath,
    connect_timeout: '5',
    ...(attributes[service] ? { target_session_attrs: attributes[service] } : {}),
  };
  const place = `${hostList(cluster, service)}/${encodeURIComponent(account.database)}`;
  return `postgresql://${encodeURIComponent(account.user)}@${place}?${query(parameters)}`;
}

/**
 * A URL for pgJDBC. The application gives the password (property `password`): pgJDBC looks a list of hosts up in a password file as if
 * it were one host, and finds nothing.
 * Where pooled sessions share server connections and PgBouncer is older than 1.21, statements must not be prepared on the server.
 */
export function jdbcUrl(cluster: Cluster, service: ServiceName, account: Account, files: ClientFiles): string {
  const types: Partial<Record<ServiceName, string>> = { direct: 'primary', 'direct-ro': 'preferSecondary' };
  const unprepared = poolingOf(cluster, service) === 'transaction' && !asksInOneDatabase(cluster.spec.postgres);
  const parameters = {
    user: account.user,
    sslmode: 'verify-full',
    sslrootcert: files.caPath,
    connectTimeout: '5',
    tcpKeepAlive: 'true',
    ...(types[service] ? { targetServerType: types[service] } : {}),
    // How long pgJDBC believes what it knew of a host: after a switchover it is wrong.
    ...(types[service] ? { hostRecheckSeconds: '0' } : {}),
    ...(unprepared ? { prepareThreshold: '0' } : {}),
  };
  return `jdbc:postgresql://${hostList(cluster, service)}/${encodeURIComponent(account.database)}?${query(parameters)}`;
}

/** What `rotateHosts` of `templates/client/node-postgres.mjs` is called with. */
export function nodeConfig(cluster: Cluster, service: ServiceName, account: Account) {
  return {
    hosts: cluster.entries.map(({ address }) => address),
    config: { port: servicePort(cluster.ports, service), ...account },
  };
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

function hostList({ entries, ports }: Cluster, service: ServiceName): string {
  const port = servicePort(ports, service);
  return entries.map(({ address }) => `${address.includes(':') ? `[${address}]` : address}:${port}`).join(',');
}

/** Drivers decode %XX, but not all know `+` for a space, which URLSearchParams would write. */
function query(parameters: Record<string, string>): string {
  return Object.entries(parameters)
    .map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll('%2F', '/').replaceAll("'", '%27')}`)
    .join('&');
}

/** Lines of a libpq password file for every entry and service of the cluster. */
export function passwordFile(cluster: Cluster, account: Account, password: string): string {
  const escape = (field: string) => field.replace(/[\\:]/g, '\\$&');
  const lines = cluster.entries.flatMap(({ address }) =>
    serviceNames.map((service) =>
      [address, String(servicePort(cluster.ports, service)), '*', account.user, password]
        .map((f) => (f === '*' ? f : escape(f)))
        .join(':'),
    ),
  );
  return `${lines.join('\n')}\n`;
}
