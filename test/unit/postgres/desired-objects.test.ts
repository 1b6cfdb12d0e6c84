// Roles and databases of a tenant's file: from what the catalogues say to statements. That PostgreSQL takes them, and that nothing differs
// afterwards, is shown on machines (test/integration/slow/tenant-as-code.test.ts).

import { describe, expect, test } from 'vitest';
import { firstObjects, generatedRoles, objectChanges } from '../../../src/postgres/desired-objects.js';
import { keptObjects } from '../../../src/postgres/dropped-objects.js';
import {
  describeMissing,
  missingExtensions,
  parseExtensions,
  wantedExtensions,
} from '../../../src/postgres/extensions.js';
import type { DesiredObjects } from '../../../src/postgres/object-change.js';
import { objectFactsScript, parseObjectFacts, type ObjectFacts } from '../../../src/postgres/object-facts.js';
import { Secret } from '../../../src/secrets/secret.js';
import { parseDropData } from '../../../src/topology/drop-data.js';
import type { ObjectSpecs } from '../../../src/topology/objects.js';
import { roleSettingDifferences } from '../../../src/topology/role-settings.js';

const wanted = (spec: ObjectSpecs, change: Partial<DesiredObjects> = {}): DesiredObjects => ({
  ...{ spec, postgresMajor: 17, dropData: [], missing: [] },
  verifiers: { shop: new Secret('SCRAM-SHA-256$4096:fake-shop') },
  ...change,
});

/** Statements, without those that every script begins with. */
function statements(spec: ObjectSpecs, found: ObjectFacts = firstObjects(), change: Partial<DesiredObjects> = {}) {
  return objectChanges(wanted(spec, change), found).map(({ id, script }) => ({
    id,
    statements: script
      .reveal()
      .split('\n')
      .filter((line) => !/^(\\set|SET )/.test(line)),
  }));
}

const shop: ObjectFacts['databases'][string] = { owner: 'shop', connections: -1, mayConnect: true, grants: [] };
const inside: ObjectFacts['inside'][string] = {
  schemas: { public: { owner: 'x', grants: [], empty: true } },
  extensions: {},
  defaults: [],
};

function withFacts(change: Partial<ObjectFacts>): ObjectFacts {
  const first = firstObjects();
  return {
    roles: { ...first.roles, ...change.roles },
    databases: { ...first.databases, ...change.databases },
    inside: { ...first.inside, ...change.inside },
  };
}
const role = firstObjects().roles.app!;

test('a role and its database are made, quoted, and a verifier is all that is sent', () => {
  expect(
    statements({
      roles: { shop: { in: ['team'] }, team: { login: false } },
      databases: { 'shop-1': { owner: 'shop' } },
    }),
  ).toEqual([
    {
      id: 'roles',
      statements: [
        `SELECT 'CREATE ROLE "shop"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop') \\gexec`,
        `ALTER ROLE "shop" LOGIN PASSWORD 'SCRAM-SHA-256$4096:fake-shop';`,
        `SELECT 'CREATE ROLE "team"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'team') \\gexec`,
        `GRANT "team" TO "shop";`,
      ],
    },
    {
      id: 'database/shop-1',
      statements: [
        `SELECT 'CREATE DATABASE "shop-1" OWNER "shop"' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'shop-1') \\gexec`,
        'REVOKE ALL ON DATABASE "shop-1" FROM PUBLIC;',
      ],
    },
  ]);
});

test('a script that holds a verifier says little of its errors', () => {
  const [change] = objectChanges(wanted({ roles: { shop: {} } }), firstObjects());
  expect(change!.script.reveal()).toMatch(/^\\set VERBOSITY terse$/m);
  expect(JSON.stringify(change)).not.toMatch(/SCRAM/);
});

describe('what is as it should be is left', () => {
  const verifier = 'e3b0';
  test.each<[string, ObjectSpecs, Partial<ObjectFacts>]>([
    ['a role whose password is kept', { roles: { a: { password: 'kept' } } }, { roles: { a: { ...role, verifier } } }],
    ['a group of others', { roles: { a: { password: 'none' } } }, { roles: { a: { ...role, groups: ['somebody'] } } }],
    [
      'a date',
      { roles: { a: { password: 'none', expires: '2027-01-31' } } },
      { roles: { a: { ...role, expires: 1801353600 } } },
    ],
    [
      'a schema of whoever owns it',
      { databases: { shop: { owner: 'shop', schemas: ['x'] } } },
      {
        databases: { shop },
        inside: {
          shop: { ...inside, schemas: { ...inside.schemas, x: { owner: 'other', grants: [], empty: false } } },
        },
      },
    ],
    ['a database that is to be absent', { databases: { shop: { state: 'absent' } } }, { databases: { shop } }],
    [
      'a schema with something in it that is to be absent',
      { databases: { shop: { owner: 'shop', schemas: [{ name: 'x', state: 'absent' }] } } },
      {
        databases: { shop },
        inside: {
          shop: { ...inside, schemas: { ...inside.schemas, x: { owner: 'other', grants: [], empty: false } } },
        },
      },
    ],
  ])('%s', (_what, spec, found) => expect(statements(spec, withFacts(found))).toEqual([]));
});

describe('what differs is changed', () => {
  test.each<[string, ObjectSpecs, Partial<ObjectFacts>, string[]]>([
    [
      'attributes, limit, expiry and groups',
      { roles: { a: { password: 'none', connections: 5, in: ['pg_monitor'] } } },
      { roles: { a: { ...role, createdb: true, superuser: true, expires: 5, groups: ['pg_read_all_data'] } } },
      [
        'ALTER ROLE "a" NOCREATEDB NOSUPERUSER CONNECTION LIMIT 5 VALID UNTIL \'infinity\';',
        'GRANT "pg_monitor" TO "a";',
        'REVOKE "pg_read_all_data" FROM "a";',
      ],
    ],
    [
      'a password that nobody should have',
      { roles: { a: { password: 'none' } } },
      { roles: { a: { ...role, verifier: 'x' } } },
      ['ALTER ROLE "a" PASSWORD NULL;'],
    ],
    [
      'settings',
      { roles: { a: { password: 'none', settings: { search_path: '"$user", x', work_mem: '8MB' } } } },
      { roles: { a: { ...role, settings: ['work_mem=8192', 'jit=off'] } } },
      [`ALTER ROLE "a" SET "search_path" TO '$user', 'x';`, 'ALTER ROLE "a" RESET "jit";'],
    ],
    [
      'owner, limit and who may connect',
      { databases: { shop: { connections: 9 } } },
      { databases: { shop: { ...shop, grants: ['public CONNECT'] } }, inside: { shop: inside } },
      [
        'ALTER DATABASE "shop" OWNER TO "app";',
        'ALTER DATABASE "shop" CONNECTION LIMIT 9;',
        'REVOKE ALL ON DATABASE "shop" FROM PUBLIC;',
      ],
    ],
    [
      'an extension at another version and place',
      { databases: { shop: { owner: 'shop', extensions: [{ name: 'a-b', version: '2', schema: 'x' }] } } },
      {
        databases: { shop },
        inside: { shop: { ...inside, extensions: { 'a-b': { version: '1', schema: 'y', tables: true } } } },
      },
      ['\\connect "shop"', `ALTER EXTENSION "a-b" UPDATE TO '2';`, 'ALTER EXTENSION "a-b" SET SCHEMA "x";'],
    ],
    [
      'an empty schema that is to be absent',
      { databases: { shop: { owner: 'shop', schemas: [{ name: 'x', state: 'absent' }] } } },
      {
        databases: { shop },
        inside: { shop: { ...inside, schemas: { ...inside.schemas, x: { owner: 'o', grants: [], empty: true } } } },
      },
      ['\\connect "shop"', 'DROP SCHEMA IF EXISTS "x";'],
    ],
  ])('%s', (_what, spec, found, expected) =>
    expect(statements(spec, withFacts(found)).flatMap((c) => c.statements)).toEqual(expected),
  );
});

test('default roles get what is there and what is to come, of each creator once', () => {
  const spec: ObjectSpecs = {
    defaultRoles: true,
    roles: { shop: { in: ['admin'], password: 'none' } },
    databases: { app: { schemas: ['x'] } },
  };
  const [, app] = statements(spec);
  const creators = ['app', 'admin', 'shop'];
  for (const creator of creators)
    expect(app!.statements).toContain(
      `ALTER DEFAULT PRIVILEGES FOR ROLE "${creator}" GRANT SELECT ON TABLES TO "readonly";`,
    );
  expect(app!.statements).toContain('GRANT SELECT ON ALL TABLES IN SCHEMA "x" TO "readonly";');
  const known = firstObjects().inside.app!;
  const met = withFacts({
    inside: { app: { ...known, defaults: creators.map((name) => `${name} r readonly SELECT`) } },
  });
  expect(
    statements(spec, met)
      .flatMap((c) => c.statements)
      .filter((line) => line.includes(' ON ALL ')),
  ).toEqual([]);
});

describe('what holds data goes by two words only', () => {
  const spec: ObjectSpecs = {
    databases: { shop: { state: 'absent' }, app: { extensions: [{ name: 'cron', state: 'absent' }] } },
  };
  const cron = { version: '1', schema: 'x', tables: true };
  const found = withFacts({
    databases: { shop },
    inside: { app: { ...firstObjects().inside.app!, extensions: { cron } } },
  });

  test('and is kept with a word about it', () => {
    expect(statements(spec, found)).toEqual([]);
    const none = { roles: [], databases: [], schemas: [], extensions: [] };
    expect(keptObjects('acme', wanted(spec), none, found)).toEqual([
      expect.stringMatching(/^database shop is to be absent and stays with its data until .*--drop-data acme\/shop/),
      expect.stringMatching(
        /^extension cron of app is to be absent and stays: it has tables; --drop-data acme\/app\/cron drops it$/,
      ),
    ]);
    expect(keptObjects('acme', wanted({}), { ...none, databases: ['shop', 'never-there'] }, found)).toEqual([
      'database shop is not in the file any more and stays: `state: absent` there drops it',
    ]);
  });

  test('and is dropped', () => {
    const changes = objectChanges(wanted(spec, { dropData: ['shop', 'app/cron'] }), found);
    expect(changes.map(({ id, destructive }) => [id, destructive])).toEqual([
      ['database/app', false],
      ['drop-database/shop', true],
    ]);
    expect(changes[1]!.script.reveal()).toMatch(/DROP DATABASE IF EXISTS "shop" WITH \(FORCE\);$/);
  });

  test('of the tenant alone, and of what is to be absent', () => {
    expect(parseDropData('acme', ['acme/shop', 'acme/app/cron'], spec)).toEqual(['shop', 'app/cron']);
    for (const word of ['shop', 'bolt/shop', 'acme/app'])
      expect(() => parseDropData('acme', [word], spec)).toThrow(/is not to be absent/);
  });
});

test('a role that goes leaves what it owns to the owners of the databases', () => {
  const found = withFacts({ roles: { gone: role }, databases: { shop } });
  const [change] = statements({ roles: { gone: { state: 'absent' } } }, found);
  expect(change!.statements).toEqual([
    `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'gone';`,
    ...[
      ['app', 'app'],
      ['shop', 'shop'],
    ].flatMap(([database, owner]) => [
      `\\connect "${database}"`,
      `SELECT 'REASSIGN OWNED BY "gone" TO "${owner}"' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'gone') \\gexec`,
      `SELECT 'DROP OWNED BY "gone"' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = 'gone') \\gexec`,
    ]),
    'DROP ROLE IF EXISTS "gone";',
  ]);
});

test('an older PgBouncer may come into a new database to ask', () => {
  const [made] = statements({ databases: { x: {} } }, firstObjects(), { postgresMajor: 15 });
  expect(made!.statements).toContain('GRANT CONNECT ON DATABASE "x" TO "pgs_pooler";');
});

describe('extensions', () => {
  const spec: ObjectSpecs = { databases: { shop: { extensions: ['hstore', 'vector', 'strange'] } } };
  const found = {
    h1: parseExtensions('hstore.control\nvector.control\n'),
    h2: parseExtensions('hstore.control\n'),
    h3: null,
  };

  test('that a host does not have are named with host and package; a host that does not answer has nothing said of it', () => {
    const missing = missingExtensions(wantedExtensions(spec), found, 17);
    expect(missing.map((one) => describeMissing(one, 17))).toEqual([
      'extension vector is not on h2: install postgresql-17-pgvector there',
      expect.stringMatching(/^extension strange is not on h1, h2: no package that pgs knows/),
    ]);
    expect(missing[0]!.path).toEqual(['databases', 'shop', 'extensions', 1]);
  });

  test('that a host does not have are not made', () => {
    const lines = statements(spec, firstObjects(), { missing: ['shop/vector', 'shop/strange'] }).flatMap(
      (c) => c.statements,
    );
    expect(lines.filter((line) => line.startsWith('CREATE EXTENSION'))).toEqual([
      'CREATE EXTENSION IF NOT EXISTS "hstore" CASCADE;',
    ]);
  });
});

test('names in a search path are compared one by one', () => {
  expect(roleSettingDifferences({ search_path: 'a, "B c"' }, ['search_path=a, "B c"'])).toEqual([]);
  expect(roleSettingDifferences({ statement_timeout: '30s' }, ['statement_timeout=30000'])).toEqual([]);
});

test('who has a generated password', () => {
  expect(
    generatedRoles({ roles: { a: {}, b: { login: false }, c: { password: 'none' }, d: { state: 'absent' }, app: {} } }),
  ).toEqual(['a']);
});

test('the read of the catalogues asks for databases that are there, and its answer is a line of each', () => {
  expect(objectFactsScript(['shop'])).toMatch(/datname = 'shop' \\gset\n\\if :there\n\\connect "shop"\n[^]*\\endif$/);
  const facts = firstObjects();
  const printed = `${JSON.stringify({ roles: facts.roles, databases: facts.databases })}\n${JSON.stringify({ database: 'app', ...facts.inside.app })}\n`;
  expect(parseObjectFacts(printed)).toEqual(facts);
});
