// The roles and databases that every tenant starts with, as SQL that may be run again and again.

import { escapeLiteral } from 'pg';
import { goneRoles, loginsOf, madeRoles, type MadeRole } from '../secrets/rotation.js';
import { Secret } from '../secrets/secret.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import type { InForce } from '../topology/in-force.js';
import { appName } from '../topology/objects.js';
import { asksInOneDatabase, lookupFunction, lookupRole, poolerRole } from '../topology/accounts.js';

/** The database and its owner that applications use; the names are CloudNativePG's. */
export const appDatabase = appName;

/**
 * Makes what is missing and mends what differs: the role `app`, its database, the role by which pgs probes the services, and what the
 * poolers ask. Passwords arrive as SCRAM verifiers, so the server never sees one and cannot log it.
 */
export function desiredSql(secrets: TenantSecrets, postgresMajor: number): Secret {
  const { app, probe } = secrets.passwords;
  return new Secret(
    [
      '\\set ON_ERROR_STOP on',
      "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';",
      ...role(app.user, secrets.appScram.reveal()),
      ...role(probe.user, secrets.probeScram.reveal()),
      // It logs in through the local socket only; a password is somebody else's.
      'ALTER ROLE postgres PASSWORD NULL;',
      ...madeRoles(secrets).flatMap(serviceRole),
      ...goneRoles(secrets).flatMap(dropRole),
      `SELECT 'CREATE DATABASE ${appDatabase} OWNER ${app.user}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '${appDatabase}') \\gexec`,
      `REVOKE ALL ON DATABASE ${appDatabase} FROM PUBLIC;`,
      `CREATE SCHEMA IF NOT EXISTS pgs AUTHORIZATION ${probe.user};`,
      'CREATE TABLE IF NOT EXISTS pgs.proof (id uuid PRIMARY KEY, entry text NOT NULL, at timestamptz NOT NULL DEFAULT now());',
      `ALTER TABLE pgs.proof OWNER TO ${probe.user};`,
      ...lookupRoles(),
      ...lookup(secrets),
      ...(asksInOneDatabase(postgresMajor)
        ? []
        : [
            // Everybody was denied it above, and there the pooler asks in the client's database.
            `GRANT CONNECT ON DATABASE ${appDatabase} TO ${poolerRole};`,
            ...[appDatabase, 'template1'].flatMap((database) => [`\\connect ${database}`, ...lookup(secrets)]),
          ]),
    ].join('\n'),
  );
}

/** The pooler logs in by certificate: a password, even one that somebody gave it, is taken away. */
function lookupRoles(): string[] {
  return [
    `SELECT 'CREATE ROLE ${lookupRole} NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${lookupRole}') \\gexec`,
    `SELECT 'CREATE ROLE ${poolerRole} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${poolerRole}') \\gexec`,
    `ALTER ROLE ${poolerRole} LOGIN PASSWORD NULL;`,
  ];
}

/**
 * Reading verifiers takes a right on pg_authid. It is given to a role that cannot log in, on the columns that are needed; the pooler may
 * only run this function, one name at a time. Superusers, replication and pgs's own roles cannot come through the pooler, except the probe.
 */
function lookup(secrets: TenantSecrets): string[] {
  const [schema] = lookupFunction.split('.');
  const logins = [...loginsOf(secrets, 'rewind'), ...loginsOf(secrets, 'replication')];
  const kept = [...logins.map(({ user }) => user), poolerRole].map(escapeLiteral).join(', ');
  return [
    `GRANT SELECT (rolname, rolpassword, rolcanlogin, rolsuper, rolreplication, rolvaliduntil) ON pg_catalog.pg_authid TO ${lookupRole};`,
    `CREATE SCHEMA IF NOT EXISTS ${schema} AUTHORIZATION ${lookupRole};`,
    `CREATE OR REPLACE FUNCTION ${lookupFunction}(wanted text) RETURNS TABLE (name text, verifier text) LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$ SELECT rolname::text, rolpassword FROM pg_catalog.pg_authid WHERE rolname = wanted AND rolcanlogin AND NOT rolsuper AND NOT rolreplication AND (rolvaliduntil IS NULL OR rolvaliduntil > now()) AND rolname NOT IN (${kept}) $body$;`,
    `ALTER FUNCTION ${lookupFunction}(text) OWNER TO ${lookupRole};`,
    `REVOKE ALL ON FUNCTION ${lookupFunction}(text) FROM PUBLIC;`,
    `GRANT USAGE ON SCHEMA ${schema} TO ${poolerRole};`,
    `GRANT EXECUTE ON FUNCTION ${lookupFunction}(text) TO ${poolerRole};`,
  ];
}

function role(name: string, verifier: string): string[] {
  return [
    `SELECT 'CREATE ROLE ${name} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${name}') \\gexec`,
    `ALTER ROLE ${name} LOGIN PASSWORD ${escapeLiteral(verifier)};`,
  ];
}

/** What Patroni's own roles have, as it makes them with a cluster. */
const rewindFunctions = [
  'pg_ls_dir(text, boolean, boolean)',
  'pg_stat_file(text, boolean)',
  'pg_read_binary_file(text)',
  'pg_read_binary_file(text, bigint, bigint, boolean)',
];

function serviceRole({ name, verifier, kind }: MadeRole): string[] {
  const rights =
    kind === 'replication'
      ? [`ALTER ROLE ${name} REPLICATION;`]
      : rewindFunctions.map((f) => `GRANT EXECUTE ON FUNCTION pg_catalog.${f} TO ${name};`);
  return [...role(name, verifier.reveal()), ...rights];
}

/** A role that was replaced. What it was granted goes first: otherwise it could not be dropped. */
function dropRole(name: string): string[] {
  return [
    `SELECT 'DROP OWNED BY ${name}' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = '${name}') \\gexec`,
    `DROP ROLE IF EXISTS ${name};`,
  ];
}

/** Whom the standbys replicate as, JSON: the logins of all streams with those of the members. */
export const replicatesAsQuery = `SELECT coalesce(json_agg(usename), '[]') FROM pg_stat_replication WHERE state = 'streaming'`;

/** All but Patroni's and the replicas'. */
export const endClientSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND usename <> 'postgres'`;

/** What `sqlFactsQuery` answers, as JSON on one line. */
export interface SqlFacts {
  /** sha256 of the stored verifier per role, hex; a role without a password has an empty string. */
  roles: Record<string, string>;
  databases: Record<string, { owner: string; publicMayConnect: boolean }>;
  proofOwner: string | null;
  /** Owner of the function that poolers ask. */
  lookupOwner: string | null;
  parameters: InForce;
}

export const sqlFactsQuery = `SELECT json_build_object(
  'roles', (SELECT coalesce(json_object_agg(rolname, coalesce(encode(sha256(rolpassword::bytea), 'hex'), '')), '{}') FROM pg_authid WHERE rolcanlogin),
  'databases', (SELECT json_object_agg(datname, json_build_object('owner', pg_get_userbyid(datdba),
     'publicMayConnect', has_database_privilege('public', oid, 'CONNECT'))) FROM pg_database),
  'proofOwner', (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass('pgs.proof')),
  'lookupOwner', (SELECT pg_get_userbyid(proowner) FROM pg_proc WHERE oid = to_regprocedure('${lookupFunction}(text)')),
  'parameters', (SELECT json_build_object(
     'values', coalesce(json_object_agg(name, setting), '{}'),
     'given', coalesce(json_object_agg(name, boot_val) FILTER (WHERE context = 'postmaster' AND source IN ('configuration file', 'command line')), '{}'),
     'pending', coalesce(json_agg(name) FILTER (WHERE pending_restart), '[]'),
     'overridden', coalesce(json_agg(name) FILTER (WHERE sourcefile LIKE '%/postgresql.auto.conf'), '[]'))
     FROM pg_settings WHERE context <> 'internal' AND source NOT IN ('client', 'session', 'user', 'database', 'database user')))`;
