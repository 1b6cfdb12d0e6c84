// From the databases of a tenant's file and what the catalogues say to the statements between. Pure.

import { escapeIdentifier as id, escapeLiteral as text } from 'pg';
import { asksInOneDatabase, poolerRole } from '../topology/accounts.js';
import {
  appName,
  extensionsOf,
  isPresent,
  schemasOf,
  type DatabaseSpec,
  type ObjectSpecs,
} from '../topology/objects.js';
import { creatorsOf, defaultPrivileges, type Privilege } from './default-roles.js';
import {
  change,
  described,
  goTo,
  joined,
  whereNone,
  type DesiredObjects,
  type Difference,
  type ObjectChange,
} from './object-change.js';
import { newDatabase, type DatabaseFact, type InsideFact, type ObjectFacts } from './object-facts.js';

export function databaseChange(
  name: string,
  database: DatabaseSpec,
  wanted: DesiredObjects,
  { databases, inside }: ObjectFacts,
): ObjectChange[] {
  const found = databases[name];
  const outer = outerDifference(name, database, found, wanted);
  const contents = inside[name] ?? (found ? null : newDatabase);
  const within = contents ? insideDifference(name, database, contents, wanted) : { reasons: [], statements: [] };
  const both = joined([outer, within]);
  const statements = [
    ...outer.statements,
    ...(within.statements.length > 0 ? [...goTo(name), ...within.statements] : []),
  ];
  const reasons = found ? both.reasons : [`database ${name} is not there`];
  return change(`database/${name}`, `${found ? 'change' : 'make'} the database ${name}`, { reasons, statements });
}

function outerDifference(
  name: string,
  { owner = appName, connections = -1, public: everybody = 'revoked' }: DatabaseSpec,
  found: DatabaseFact | undefined,
  { spec, postgresMajor }: DesiredObjects,
): Difference {
  const difference: Difference = { reasons: [], statements: [] };
  const differs = (why: string, ...statements: string[]) => {
    difference.reasons.push(why);
    difference.statements.push(...statements);
  };
  const database = `DATABASE ${id(name)}`;
  if (!found)
    differs(
      `database ${name} is not there`,
      whereNone('pg_database', 'datname', name, `CREATE ${database} OWNER ${id(owner)}`),
    );
  else if (found.owner !== owner)
    differs(`database ${name} belongs to ${found.owner}, not to ${owner}`, `ALTER ${database} OWNER TO ${id(owner)};`);
  if (connections !== (found?.connections ?? -1))
    differs(
      `database ${name} takes ${described(found?.connections)} connections`,
      `ALTER ${database} CONNECTION LIMIT ${connections};`,
    );
  const grants = found?.grants ?? ['public CONNECT', 'public TEMPORARY'];
  const open = ['CONNECT', 'TEMPORARY'].filter((p) => grants.includes(`public ${p}`));
  if (everybody === 'revoked' && open.length > 0)
    differs(`everybody may connect to database ${name}`, `REVOKE ALL ON ${database} FROM PUBLIC;`);
  if (everybody === 'open' && open.length < 2)
    differs(`not everybody may connect to database ${name}`, `GRANT CONNECT, TEMPORARY ON ${database} TO PUBLIC;`);
  const more = [
    ...(spec.defaultRoles ? defaultPrivileges.database : []),
    // An older PgBouncer asks for verifiers in each database.
    ...(asksInOneDatabase(postgresMajor) ? [] : [{ to: poolerRole, privileges: ['CONNECT'] }]),
  ];
  for (const grant of lacking(more, (to, privilege) => grants.includes(`${to} ${privilege}`)))
    differs(
      `${grant.to} lacks ${grant.privileges.join(', ')} on database ${name}`,
      `GRANT ${grant.privileges.join(', ')} ON ${database} TO ${id(grant.to)};`,
    );
  return difference;
}

/** Of what is to be granted, what is not. */
function lacking(grants: Privilege[], has: (to: string, privilege: string) => boolean): Privilege[] {
  return grants.flatMap(({ to, privileges }) => {
    const missing = privileges.filter((privilege) => !has(to, privilege));
    return missing.length > 0 ? [{ to, privileges: missing }] : [];
  });
}

function insideDifference(name: string, database: DatabaseSpec, found: InsideFact, wanted: DesiredObjects): Difference {
  return joined([
    schemaDifference(name, database, found),
    extensionDifference(name, database, found, wanted),
    droppedSchemas(name, database, found, wanted),
    publicSchemaDifference(name, database, found),
    ...(wanted.spec.defaultRoles ? [grantDifference(name, database, found, wanted.spec)] : []),
  ]);
}

function schemaDifference(database: string, spec: DatabaseSpec, found: InsideFact): Difference {
  const difference: Difference = { reasons: [], statements: [] };
  for (const schema of schemasOf(spec)) {
    const there = found.schemas[schema.name];
    const named = `${database}.${schema.name}`;
    if (!isPresent(schema)) continue;
    if (!there) {
      const owner = schema.owner ?? spec.owner ?? appName;
      difference.reasons.push(`schema ${named} is not there`);
      difference.statements.push(`CREATE SCHEMA IF NOT EXISTS ${id(schema.name)} AUTHORIZATION ${id(owner)};`);
    } else if (schema.owner !== undefined && there.owner !== schema.owner) {
      difference.reasons.push(`schema ${named} belongs to ${there.owner}, not to ${schema.owner}`);
      difference.statements.push(`ALTER SCHEMA ${id(schema.name)} OWNER TO ${id(schema.owner)};`);
    }
  }
  return difference;
}

/** What is in a schema is nobody's to drop by this: only an empty one goes, once extensions have left it. */
function droppedSchemas(database: string, spec: DatabaseSpec, found: InsideFact, wanted: DesiredObjects): Difference {
  const remaining = Object.entries(found.extensions).filter(([name]) => !dropped(database, spec, name, found, wanted));
  const names = schemasOf(spec)
    .filter((schema) => !isPresent(schema) && found.schemas[schema.name]?.empty)
    .map(({ name }) => name)
    .filter((name) => !remaining.some(([, extension]) => extension.schema === name));
  return {
    reasons: names.map((name) => `schema ${database}.${name} is to be absent, and is empty`),
    statements: names.map((name) => `DROP SCHEMA IF EXISTS ${id(name)};`),
  };
}

/** An extension that is to be absent goes, unless it has tables and the command line does not name it. */
function dropped(
  database: string,
  spec: DatabaseSpec,
  name: string,
  found: InsideFact,
  { dropData }: DesiredObjects,
): boolean {
  const extension = extensionsOf(spec).find((one) => one.name === name);
  if (!extension || isPresent(extension)) return false;
  return !found.extensions[name]?.tables || dropData.includes(`${database}/${name}`);
}

function extensionDifference(
  database: string,
  spec: DatabaseSpec,
  found: InsideFact,
  wanted: DesiredObjects,
): Difference {
  const difference: Difference = { reasons: [], statements: [] };
  const differs = (why: string, ...statements: string[]) => {
    difference.reasons.push(why);
    difference.statements.push(...statements);
  };
  for (const extension of extensionsOf(spec)) {
    const { name, schema, version } = extension;
    const [there, place] = [found.extensions[name], `${database}/${name}`];
    if (!isPresent(extension)) {
      if (there && dropped(database, spec, name, found, wanted))
        differs(`extension ${name} of ${database} is to be absent`, `DROP EXTENSION IF EXISTS ${id(name)};`);
    } else if (!there) {
      if (wanted.missing.includes(place)) continue;
      const where = schema === undefined ? '' : ` SCHEMA ${id(schema)}`;
      const which = version === undefined ? '' : ` VERSION ${text(version)}`;
      const known = schemasOf(spec).some((one) => one.name === schema);
      const made =
        schema === undefined || known || found.schemas[schema] ? [] : [`CREATE SCHEMA IF NOT EXISTS ${id(schema)};`];
      differs(
        `extension ${name} is not in ${database}`,
        ...made,
        `CREATE EXTENSION IF NOT EXISTS ${id(name)}${where}${which} CASCADE;`,
      );
    } else {
      if (version !== undefined && there.version !== version)
        differs(
          `extension ${name} of ${database} is at ${there.version}, not ${version}`,
          `ALTER EXTENSION ${id(name)} UPDATE TO ${text(version)};`,
        );
      if (schema !== undefined && there.schema !== schema)
        differs(
          `extension ${name} of ${database} is in ${there.schema}, not in ${schema}`,
          `ALTER EXTENSION ${id(name)} SET SCHEMA ${id(schema)};`,
        );
    }
  }
  return difference;
}

/** Before PostgreSQL 15 everybody may make tables in `public`. */
function publicSchemaDifference(
  name: string,
  { public: everybody = 'revoked' }: DatabaseSpec,
  found: InsideFact,
): Difference {
  if (everybody === 'open' || !found.schemas.public?.grants.includes('public CREATE'))
    return { reasons: [], statements: [] };
  return {
    reasons: [`everybody may make tables in schema public of ${name}`],
    statements: ['REVOKE CREATE ON SCHEMA public FROM PUBLIC;'],
  };
}

/** What the default roles may do: with what is there when a creator is first met, and with all that comes later. */
function grantDifference(name: string, database: DatabaseSpec, found: InsideFact, spec: ObjectSpecs): Difference {
  const difference: Difference = { reasons: [], statements: [] };
  const there = (schema: string) =>
    schema in found.schemas || schemasOf(database).some((s) => s.name === schema && isPresent(s));
  const schemas = [
    ...new Set([
      'public',
      ...schemasOf(database)
        .filter(isPresent)
        .map((s) => s.name),
    ]),
  ].filter(there);
  for (const schema of schemas) {
    const has = found.schemas[schema]?.grants ?? [];
    for (const { to, privileges } of lacking(defaultPrivileges.schema, (role, p) => has.includes(`${role} ${p}`))) {
      difference.reasons.push(`${to} lacks ${privileges.join(', ')} on schema ${name}.${schema}`);
      difference.statements.push(`GRANT ${privileges.join(', ')} ON SCHEMA ${id(schema)} TO ${id(to)};`);
    }
  }
  for (const creator of creatorsOf(database, spec)) {
    const isNew = !found.defaults.some((entry) => entry.startsWith(`${creator} `));
    const statements: string[] = [];
    for (const { type, letter, grants } of defaultPrivileges.objects) {
      const has = (to: string, privilege: string) => found.defaults.includes(`${creator} ${letter} ${to} ${privilege}`);
      for (const { to, privileges } of lacking(grants, has)) {
        const grant = `GRANT ${privileges.join(', ')} ON ${type} TO ${id(to)}`;
        statements.push(`ALTER DEFAULT PRIVILEGES FOR ROLE ${id(creator)} ${grant};`);
        if (!isNew || letter === 'n') continue;
        const existing = schemas.map(
          (schema) => `GRANT ${privileges.join(', ')} ON ALL ${type} IN SCHEMA ${id(schema)} TO ${id(to)};`,
        );
        statements.push(...existing);
      }
    }
    if (statements.length === 0) continue;
    difference.reasons.push(`what ${creator} makes in ${name} is not open to the default roles`);
    // Both or neither: with the one, a creator is met already.
    difference.statements.push('BEGIN;', ...statements, 'COMMIT;');
  }
  return difference;
}
