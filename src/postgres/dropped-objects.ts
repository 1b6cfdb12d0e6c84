// What is to be gone by an explicit word of a tenant's file, and what stays. Pure.

import { escapeIdentifier as id, escapeLiteral as text } from 'pg';
import { allDatabases, appName, extensionsOf, isPresent, schemasOf } from '../topology/objects.js';
import type { LeftObjects } from '../topology/tenant.js';
import { change, goTo, type DesiredObjects, type ObjectChange } from './object-change.js';
import type { ObjectFacts } from './object-facts.js';

export function droppedDatabases(wanted: DesiredObjects, found: ObjectFacts): ObjectChange[] {
  return confirmedDatabases(wanted, found).flatMap((name) => {
    const difference = {
      reasons: [`database ${name} is to be absent, and --drop-data names it`],
      statements: [`DROP DATABASE IF EXISTS ${id(name)} WITH (FORCE);`],
    };
    return change(`drop-database/${name}`, `drop the database ${name} with all its data`, difference, true);
  });
}

/** To be absent by the file, there, and named on the command line. */
function confirmedDatabases({ spec: { databases = {} }, dropData }: DesiredObjects, found: ObjectFacts): string[] {
  const absent = Object.entries(databases).filter(([name, database]) => !isPresent(database) && found.databases[name]);
  return absent.map(([name]) => name).filter((name) => dropData.includes(name));
}

/** What a role owns goes to the owner of the database that it is in: dropping a role drops no data. */
export function droppedRoles(wanted: DesiredObjects, found: ObjectFacts): ObjectChange[] {
  const { spec } = wanted;
  const { roles = {} } = spec;
  const names = Object.keys(roles).filter((name) => !isPresent(roles[name]!) && found.roles[name]);
  const gone = ['template1', ...confirmedDatabases(wanted, found)];
  const databases = Object.keys(found.databases).filter(
    (name) => found.databases[name]!.mayConnect && !gone.includes(name),
  );
  // As it is by then: an owner may change, or be dropped itself.
  const heirOf = (database: string) => {
    const managed = allDatabases(spec)[database];
    const owner = managed && isPresent(managed) ? (managed.owner ?? appName) : found.databases[database]!.owner;
    return names.includes(owner) ? appName : owner;
  };
  return names.flatMap((name) => {
    const ifThere = (statement: string) =>
      `SELECT ${text(statement)} WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = ${text(name)}) \\gexec`;
    const inEach = databases.flatMap((database) => [
      ...goTo(database),
      ifThere(`REASSIGN OWNED BY ${id(name)} TO ${id(heirOf(database))}`),
      ifThere(`DROP OWNED BY ${id(name)}`),
    ]);
    const statements = [
      `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = ${text(name)};`,
      ...inEach,
      `DROP ROLE IF EXISTS ${id(name)};`,
    ];
    const difference = { reasons: [`role ${name} is to be absent`], statements };
    return change(
      `drop-role/${name}`,
      `drop the role ${name}; what it owns goes to the owners of the databases`,
      difference,
      true,
    );
  });
}

/** What of a tenant's stays though its file does not want it any more, or wants it gone and has not said so twice. */
export function keptObjects(
  tenant: string,
  { spec, dropData }: DesiredObjects,
  left: LeftObjects,
  found: ObjectFacts,
): string[] {
  const named = (kind: string, names: string[], there: (name: string) => boolean) =>
    names
      .filter(there)
      .map((name) => `${kind} ${name} is not in the file any more and stays: \`state: absent\` there drops it`);
  const inside = (kind: 'schemas' | 'extensions') => (name: string) => {
    const [database = '', rest = ''] = name.split('.');
    return found.inside[database]?.[kind][rest] !== undefined;
  };
  const databases = Object.entries(spec.databases ?? {});
  const unconfirmed = databases
    .filter(([name, database]) => !isPresent(database) && found.databases[name] && !dropData.includes(name))
    .map(
      ([name]) =>
        `database ${name} is to be absent and stays with its data until \`--drop-data\` names it, as in --drop-data ${tenant}/${name}`,
    );
  const full = databases.flatMap(([name, database]) => [
    ...schemasOf(database)
      .filter((schema) => !isPresent(schema) && found.inside[name]?.schemas[schema.name]?.empty === false)
      .map((schema) => `schema ${name}.${schema.name} is to be absent and stays: it is not empty`),
    ...extensionsOf(database)
      .filter(
        (e) =>
          !isPresent(e) && found.inside[name]?.extensions[e.name]?.tables && !dropData.includes(`${name}/${e.name}`),
      )
      .map(
        (e) =>
          `extension ${e.name} of ${name} is to be absent and stays: it has tables; --drop-data ${tenant}/${name}/${e.name} drops it`,
      ),
  ]);
  return [
    ...named('role', left.roles, (name) => found.roles[name] !== undefined),
    ...named('database', left.databases, (name) => found.databases[name] !== undefined),
    ...named('schema', left.schemas, inside('schemas')),
    ...named('extension', left.extensions, inside('extensions')),
    ...unconfirmed,
    ...full,
  ];
}
