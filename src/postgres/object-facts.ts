// What the catalogues say of roles, databases and what is in them: one read of the leader. The script is a value, its answer is parsed here.

import { escapeIdentifier, escapeLiteral } from 'pg';

export interface RoleFact {
  login: boolean;
  createdb: boolean;
  createrole: boolean;
  replication: boolean;
  bypassrls: boolean;
  inherit: boolean;
  superuser: boolean;
  /** -1: any number. */
  connections: number;
  /** Seconds since 1970; null: never. */
  expires: number | null;
  /** sha256 of what is stored, hex; empty: no password. */
  verifier: string;
  groups: string[];
  /** `name=value`, for all databases. */
  settings: string[];
}

export interface DatabaseFact {
  owner: string;
  connections: number;
  mayConnect: boolean;
  /** `grantee PRIVILEGE`; `public` is everybody. */
  grants: string[];
}

export interface InsideFact {
  /** `empty`: but for extensions. */
  schemas: Record<string, { owner: string; grants: string[]; empty: boolean }>;
  /** `tables`: some that belong to the extension, whose content would go with it. */
  extensions: Record<string, { version: string; schema: string; tables: boolean }>;
  /** Privileges of objects to come: `creator type grantee PRIVILEGE`, type as in pg_default_acl. */
  defaults: string[];
}

export interface ObjectFacts {
  roles: Record<string, RoleFact>;
  databases: Record<string, DatabaseFact>;
  /** Of the databases that were asked and are there. */
  inside: Record<string, InsideFact>;
}

const grantee = `CASE WHEN a.grantee = 0 THEN 'public' ELSE pg_get_userbyid(a.grantee) END || ' ' || a.privilege_type`;

const clusterQuery = `SELECT json_build_object(
  'roles', (SELECT json_object_agg(r.rolname, json_build_object(
     'login', rolcanlogin, 'createdb', rolcreatedb, 'createrole', rolcreaterole, 'replication', rolreplication,
     'bypassrls', rolbypassrls, 'inherit', rolinherit, 'superuser', rolsuper, 'connections', rolconnlimit,
     'expires', CASE WHEN isfinite(rolvaliduntil) THEN floor(extract(epoch FROM rolvaliduntil)) END,
     'verifier', coalesce(encode(sha256(rolpassword::bytea), 'hex'), ''),
     'groups', (SELECT coalesce(json_agg(DISTINCT g.rolname), '[]') FROM pg_auth_members m JOIN pg_authid g ON g.oid = m.roleid WHERE m.member = r.oid),
     'settings', (SELECT coalesce(json_agg(line), '[]') FROM pg_db_role_setting s, unnest(s.setconfig) AS line WHERE s.setrole = r.oid AND s.setdatabase = 0)))
     FROM pg_authid r),
  'databases', (SELECT json_object_agg(datname, json_build_object(
     'owner', pg_get_userbyid(datdba), 'connections', datconnlimit, 'mayConnect', datallowconn,
     'grants', (SELECT coalesce(json_agg(${grantee}), '[]') FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a)))
     FROM pg_database));`;

const insideQuery = `SELECT json_build_object('database', current_database(),
  'schemas', (SELECT coalesce(json_object_agg(nspname, json_build_object('owner', pg_get_userbyid(nspowner),
     'grants', (SELECT coalesce(json_agg(${grantee}), '[]') FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a),
     'empty', NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
        AND d.classid <> 'pg_extension'::regclass
        AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')))), '{}')
     FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
  'extensions', (SELECT coalesce(json_object_agg(extname, json_build_object('version', extversion, 'schema', nspname,
     'tables', EXISTS (SELECT FROM pg_depend d JOIN pg_class c ON c.oid = d.objid WHERE d.refclassid = 'pg_extension'::regclass
        AND d.refobjid = e.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p')))), '{}')
     FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace),
  'defaults', (SELECT coalesce(json_agg(pg_get_userbyid(defaclrole) || ' ' || defaclobjtype::text || ' ' || ${grantee}), '[]')
     FROM pg_default_acl, aclexplode(defaclacl) a WHERE defaclnamespace = 0));`;

/** For psql: an answer a line, first of the cluster, then of each of the databases that is there. */
export function objectFactsScript(databases: string[]): string {
  const inside = databases.flatMap((name) => [
    `SELECT count(*) > 0 AS there FROM pg_database WHERE datallowconn AND datname = ${escapeLiteral(name)} \\gset`,
    '\\if :there',
    `\\connect ${escapeIdentifier(name)}`,
    insideQuery,
    '\\endif',
  ]);
  return [clusterQuery, ...inside].join('\n');
}

export function parseObjectFacts(printed: string): ObjectFacts {
  const [cluster = '{}', ...others] = printed.split(/\n(?=\{)/).filter((text) => text.trim() !== '');
  const inside = others.map((text) => JSON.parse(text) as InsideFact & { database: string });
  return {
    ...(JSON.parse(cluster) as Omit<ObjectFacts, 'inside'>),
    inside: Object.fromEntries(inside.map(({ database, ...facts }) => [database, facts])),
  };
}

/** What a database is that has just been made. */
export const newDatabase: InsideFact = {
  schemas: { public: { owner: 'pg_database_owner', grants: ['public USAGE'], empty: true } },
  extensions: {},
  defaults: [],
};
