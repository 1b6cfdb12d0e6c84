// The roles and databases that every tenant starts with, as SQL that may be run again and again.

import { escapeLiteral } from 'pg';
import { Secret } from '../secrets/secret.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';

/** The database and its owner that applications use; the names are CloudNativePG's. */
export const appDatabase = 'app';

/**
 * Makes what is missing and mends what differs: the role `app`, its database, and the role by which pgs probes the services.
 * Passwords arrive as SCRAM verifiers, so the server never sees one and cannot log it.
 */
export function desiredSql(secrets: TenantSecrets): Secret {
  const { app, probe } = secrets.passwords;
  return new Secret(
    [
      '\\set ON_ERROR_STOP on',
      "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';",
      ...role(app.user, secrets.appScram.reveal()),
      ...role(probe.user, secrets.probeScram.reveal()),
      `SELECT 'CREATE DATABASE ${appDatabase} OWNER ${app.user}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '${appDatabase}') \\gexec`,
      `REVOKE ALL ON DATABASE ${appDatabase} FROM PUBLIC;`,
      `CREATE SCHEMA IF NOT EXISTS pgs AUTHORIZATION ${probe.user};`,
      'CREATE TABLE IF NOT EXISTS pgs.proof (id uuid PRIMARY KEY, entry text NOT NULL, at timestamptz NOT NULL DEFAULT now());',
      `ALTER TABLE pgs.proof OWNER TO ${probe.user};`,
    ].join('\n'),
  );
}

function role(name: string, verifier: string): string[] {
  return [
    `SELECT 'CREATE ROLE ${name} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${name}') \\gexec`,
    `ALTER ROLE ${name} LOGIN PASSWORD ${escapeLiteral(verifier)};`,
  ];
}

/** What `sqlFactsQuery` answers, as JSON on one line. */
export interface SqlFacts {
  /** sha256 of the stored verifier per role, hex; a role without a password has an empty string. */
  roles: Record<string, string>;
  databases: Record<string, { owner: string; publicMayConnect: boolean }>;
  proofOwner: string | null;
}

export const sqlFactsQuery = `SELECT json_build_object(
  'roles', (SELECT coalesce(json_object_agg(rolname, coalesce(encode(sha256(rolpassword::bytea), 'hex'), '')), '{}') FROM pg_authid WHERE rolcanlogin),
  'databases', (SELECT json_object_agg(datname, json_build_object('owner', pg_get_userbyid(datdba),
     'publicMayConnect', has_database_privilege('public', oid, 'CONNECT'))) FROM pg_database),
  'proofOwner', (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('pgs.proof')))`;
