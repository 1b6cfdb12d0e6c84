// Connection strings of a cluster's services. A string lists every entry host, since each answers for every service; the password
// is in a file that the string names, so that a pasted command shows it to nobody.

import { serviceNames, servicePort, type Cluster, type ServiceName } from './cluster.js';

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
  const port = servicePort(cluster.ports, service);
  const hosts = cluster.entries
    .map(({ address }) => `${address.includes(':') ? `[${address}]` : address}:${port}`)
    .join(',');
  const attributes: Partial<Record<ServiceName, string>> = { direct: 'read-write', 'direct-ro': 'prefer-standby' };
  const parameters = {
    sslmode: 'verify-full',
    sslrootcert: files.caPath,
    passfile: files.passwordPath,
    connect_timeout: '5',
    ...(attributes[service] ? { target_session_attrs: attributes[service] } : {}),
  };
  // libpq decodes %XX but knows no `+` for a space, which URLSearchParams would write.
  const query = Object.entries(parameters)
    .map(([key, value]) => `${key}=${encodeURIComponent(value).replaceAll('%2F', '/').replaceAll("'", '%27')}`)
    .join('&');
  return `postgresql://${encodeURIComponent(account.user)}@${hosts}/${encodeURIComponent(account.database)}?${query}`;
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
