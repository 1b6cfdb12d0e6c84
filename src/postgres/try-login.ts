// A login to a member's own PostgreSQL that is really tried, from a member's host: pg_hba lets replication, rewinding and poolers in from
// there only.

import pg from 'pg';
import type { Command, CommandResult } from '../host/command.js';
import { readTemplate } from '../host/template.js';
import { Secret } from '../secrets/secret.js';
import type { Issued } from '../pki/authority.js';
import type { Credential } from '../secrets/shape.js';
import { servicePort, type Cluster, type PlacedMember, type ServiceName } from '../topology/cluster.js';

export type TriedLogin =
  | { how: 'password'; login: Credential; for: 'replication' | 'postgres' }
  /** `user`: the role that the certificate's holder asks to be. */
  | { how: 'certificate'; user: string; issued: Issued };

export function tryLogin(cluster: Cluster, member: PlacedMember, tried: TriedLogin): Command {
  const { osUser, paths, ports, spec } = cluster;
  const psql = `/usr/lib/postgresql/${spec.postgres}/bin/psql`;
  const user = tried.how === 'password' ? tried.login.user : tried.user;
  const replication = tried.how === 'password' && tried.for === 'replication';
  const conninfo = [
    `host=${member.host.address} port=${ports.postgres} user=${user} dbname=postgres`,
    `sslmode=verify-full sslrootcert=${paths.tls}/sql-ca.crt`,
    ...(replication ? ['replication=true'] : []),
  ].join(' ');
  const given =
    tried.how === 'password'
      ? `*:*:*:*:${tried.login.password.reveal()}\n`
      : `${tried.issued.certPem.trimEnd()}\n${tried.issued.keyPem.reveal()}`;
  const how = tried.how === 'password' ? 'passfile' : 'certificate';
  const sql = replication ? 'IDENTIFY_SYSTEM' : 'SELECT 1';
  return {
    argv: ['sh', '-c', readTemplate('postgres/try-login.sh'), 'sh', osUser, paths.run, psql, how, conninfo, sql],
    stdin: new Secret(given),
    timeoutMs: 15_000,
  };
}

export interface LoginAnswer {
  /** `unknown`: the server did not say. */
  result: 'accepted' | 'refused' | 'unknown';
  /** What was said; empty when it was accepted. */
  said: string;
}

/** A server's refusal begins with FATAL, or is an alert of TLS; anything else, such as a refused connection, says nothing of the login. */
export function parseTriedLogin({ code, stdout, stderr }: CommandResult): LoginAnswer {
  const said = stdout.trim() || stderr.trim();
  if (code === 0 && said === 'accepted') return { result: 'accepted', said: '' };
  const refusal =
    /FATAL: +((?:password|certificate) authentication failed.*|pg_hba\.conf rejects.*|no pg_hba\.conf entry.*)/.exec(
      said,
    );
  const alert = /tls[^\n]* alert [a-z ]+|role "[^"]*" does not exist/i.exec(said);
  const why = refusal?.[1] ?? alert?.[0];
  return why === undefined ? { result: 'unknown', said: said.slice(-300) } : { result: 'refused', said: why };
}

/** PostgreSQL's code for a login that is refused. */
const invalidPassword = '28P01';

/** A login through a service of an entry, as a client does it. */
export async function tryServiceLogin(
  cluster: Cluster,
  entry: { address: string },
  service: ServiceName,
  { user, password }: Credential,
  { database, caPem }: { database: string; caPem: string },
): Promise<LoginAnswer> {
  const client = new pg.Client({
    ...{ host: entry.address, port: servicePort(cluster.ports, service), user, database },
    password: password.reveal(),
    application_name: 'pgs rotate',
    ssl: { ca: caPem, rejectUnauthorized: true },
    connectionTimeoutMillis: 10_000,
    query_timeout: 10_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return { result: 'accepted', said: '' };
  } catch (thrown) {
    const said = thrown instanceof Error ? thrown.message : String(thrown);
    // PgBouncer says it without PostgreSQL's code, and ends.
    const refused = (thrown as { code?: string }).code === invalidPassword || /authentication failed/.test(said);
    return { result: refused ? 'refused' : 'unknown', said };
  } finally {
    await client.end().catch(() => undefined);
  }
}
