// A tenant as code on real machines: one file makes roles, databases and access rules, gives itself back, and takes nothing away that holds
// data without a second word.

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scramVerifier } from '../../../src/secrets/password.js';
import { Secret } from '../../../src/secrets/secret.js';
import { addresses, destroyQuietly, onOk, pgs, pgsJson, pgsOk, run, type Ran } from '../machines.js';

const tenant = 'coded';
const givenPassword = 'given-by-somebody-else';
let dir: string;
let file: string;

function spec(change: { roles?: string; databases?: string; more?: string } = {}): string {
  return `tenant: ${tenant}
rto: fast
labels: { team: shop }
default_roles: true
settings: { log_statement: all }
roles:
  shop: { in: [admin] }
  writer: { in: [readwrite] }
  reporting:
    in: [readonly]
    connections: 5
    expires: 2099-01-31
    settings: { statement_timeout: 30s, search_path: 'billing, public' }
    password: ${verifier}
  robot: { in: [readonly], password: none }
${change.roles ?? ''}databases:
  shop:
    owner: shop
    extensions: [pg_trgm, { name: hstore, schema: gis }]
    schemas: [billing, gis]
    connections: 50
    pool: 12
${change.databases ?? '  old: { owner: shop }\n'}hba:
  - { name: robots, auth: cert, addr: world, roles: [robot], services: [direct, direct-ro] }
  - { name: readers, auth: ssl, addr: fleet, roles: [reporting], databases: [shop] }
${change.more ?? ''}`;
}
const verifier = scramVerifier(new Secret(givenPassword)).reveal();

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pgs-coded-'));
  file = join(dir, 'coded.yaml');
  await writeFile(file, spec());
  await pgsOk(['apply', '-f', file]);
});

afterAll(async () => {
  await destroyQuietly(tenant);
  await rm(dir, { recursive: true, force: true });
});

async function urlOf(role: string, service: string, database: string): Promise<string> {
  const { url } = await pgsJson<{ url: string }>(['user', 'password', tenant, role]);
  const { ports } = await pgsJson<{ ports: Record<string, number> }>(['cluster', 'show', tenant]);
  const port = { primary: ports.primary, replica: ports.replica, direct: ports.direct }[service]!;
  return url.replaceAll(`:${ports.primary}`, `:${port}`).replace(/\/[^/?]+\?/, `/${database}?`);
}

async function sql(
  role: string,
  service: string,
  database: string,
  statement: string,
  password?: string,
): Promise<Ran> {
  const env = password === undefined ? {} : { PGPASSWORD: password };
  const url = await urlOf(password === undefined ? role : 'writer', service, database);
  const target = password === undefined ? url : url.replace('//writer@', `//${role}@`).replace(/passfile=[^&]*&/, '');
  return run('psql', ['-XqAt', target, '-c', statement], { env });
}

async function sqlOk(role: string, service: string, database: string, statement: string): Promise<string> {
  const ran = await sql(role, service, database, statement);
  if (ran.code !== 0)
    throw new Error(`${statement} as ${role} through ${service} ended with ${ran.code}: ${ran.stderr}`);
  return ran.stdout.trim();
}

async function superuser(statement: string): Promise<string> {
  return (await pgsOk(['cluster', 'psql', tenant, '--superuser', '--command', statement])).trim();
}

describe('a file that made a tenant', () => {
  test('gives itself back as one that applies to nothing', async () => {
    expect((await pgs(['plan', tenant])).code).toBe(0);
    const shown = join(dir, 'shown.yaml');
    await writeFile(shown, await pgsOk(['cluster', 'show', tenant, '-o', 'yaml']));
    for (const one of [shown, file]) {
      const planned = await pgs(['plan', '-f', one]);
      expect({ code: planned.code, out: planned.stdout }).toMatchObject({ code: 0 });
    }
  });

  test('has roles that do what their groups may, by every service', async () => {
    await sqlOk('shop', 'primary', 'shop', 'CREATE TABLE billing.bill (id int, note text)');
    await sqlOk('writer', 'primary', 'shop', "INSERT INTO billing.bill VALUES (1, 'by the writer')");
    expect((await sql('writer', 'direct', 'shop', 'CREATE TABLE billing.mine (id int)')).stderr).toMatch(
      /permission denied/,
    );
    for (const service of ['primary', 'direct']) {
      const read = await sql('reporting', service, 'shop', 'SELECT note FROM bill', givenPassword);
      expect(read).toMatchObject({ code: 0, stdout: 'by the writer\n' });
      const written = await sql('reporting', service, 'shop', 'DELETE FROM bill', givenPassword);
      expect(written.stderr).toMatch(/permission denied/);
    }
    expect(await superuser("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'reporting'")).toBe('5');
  });

  test('lets in by its rules', async () => {
    // Who is named in a rule comes in by the rules only: reporting has none for `old`.
    expect((await sql('reporting', 'direct', 'old', 'SELECT 1', givenPassword)).stderr).toMatch(/pg_hba.conf rejects/);
    const { url, certificate, key } = await pgsJson<Record<'url' | 'certificate' | 'key', string>>([
      'cert',
      'issue',
      tenant,
      'robot',
      '--days',
      '2',
    ]);
    for (const path of [certificate, key]) expect((await stat(path)).mode & 0o777).toBe(0o600);
    const asShop = url.replace(/\/[^/?]+\?/, '/shop?');
    expect(await run('psql', ['-XqAt', asShop, '-c', 'SELECT current_user'])).toMatchObject({
      code: 0,
      stdout: 'robot\n',
    });
    const without = asShop.replace(/&sslcert=.*$/, '&sslcert=&sslkey=');
    expect((await run('psql', ['-XqAt', without, '-c', 'SELECT 1'])).stderr).toMatch(/certificate/);
  });

  test('bounds the poolers', async () => {
    const ini = await onOk(Object.keys(addresses())[0]!, `cat /etc/pgs/tenants/${tenant}/pgbouncer-primary.ini`);
    expect(ini).toMatch(/^shop = host=\S+ port=\d+ pool_size=4 max_db_connections=4$/m);
  });

  test('brought no password and no verifier into the log of a server that logs all statements', async () => {
    const { password } = await pgsJson<{ password: string }>(['user', 'password', tenant, 'writer', '--show']);
    for (const host of Object.keys(addresses())) {
      const log = await onOk(host, `journalctl --quiet --unit pgs-patroni@${tenant}.service --output cat`);
      expect(log.includes(password) || log.includes(givenPassword) || /SCRAM-SHA-256\$/.test(log)).toBe(false);
    }
    expect(
      await superuser("SELECT count(*) FROM pg_authid WHERE rolpassword LIKE 'SCRAM-SHA-256$%' AND rolname = 'writer'"),
    ).toBe('1');
  });
});

test('a password is replaced, and the one of before refused', async () => {
  const before = await pgsJson<{ password: string }>(['user', 'password', tenant, 'writer', '--show']);
  const after = await pgsJson<{ password: string; proof: { present: string; before: string } }>([
    ...['user', 'password', tenant, 'writer', '--rotate', '--yes', '--show'],
  ]);
  expect(after.password).not.toBe(before.password);
  expect(after.proof).toMatchObject({ present: 'accepted', before: 'refused' });
  expect(await sqlOk('writer', 'primary', 'shop', 'SELECT current_user')).toBe('writer');
  expect((await pgs(['plan', tenant])).code).toBe(0);
}, 120_000);

test('what was changed by hand is changed back', async () => {
  await superuser(
    'ALTER ROLE reporting CREATEDB; REVOKE readwrite FROM writer; GRANT CONNECT ON DATABASE shop TO PUBLIC; ALTER ROLE writer SET work_mem = 1024',
  );
  const planned = await pgs(['plan', tenant]);
  expect(planned.code).toBe(3);
  expect(planned.stdout).toMatch(/role reporting has CREATEDB/);
  expect(planned.stdout).toMatch(/everybody may connect to database shop/);
  await pgsOk(['apply', tenant]);
  expect((await pgs(['plan', tenant])).code).toBe(0);
  expect(await superuser("SELECT rolcreatedb FROM pg_roles WHERE rolname = 'reporting'")).toBe('f');
}, 120_000);

describe('what the file names no more', () => {
  test('stays, and the plan says so', async () => {
    await writeFile(file, spec({ databases: '' }));
    const planned = await pgs(['plan', '-f', file]);
    expect(planned.stdout).not.toMatch(/drop the/);
    expect(planned.stdout).toMatch(/database old is not in the file any more and stays/);
    await pgsOk(['apply', '-f', file]);
    expect(await superuser("SELECT count(*) FROM pg_database WHERE datname = 'old'")).toBe('1');
  }, 120_000);

  test('goes by two explicit words, and by none of them alone', async () => {
    await writeFile(file, spec({ databases: '  old: { state: absent }\n', roles: '  gone: { state: absent }\n' }));
    expect(await pgsOk(['apply', '-f', file])).toMatch(/nothing to change/);
    expect((await pgs(['apply', '-f', file, '--drop-data', `${tenant}/shop`])).code).toBe(2);
    expect(await superuser("SELECT count(*) FROM pg_database WHERE datname = 'old'")).toBe('1');
    await pgsOk(['apply', '-f', file, '--drop-data', `${tenant}/old`]);
    expect(await superuser("SELECT count(*) FROM pg_database WHERE datname = 'old'")).toBe('0');
  }, 120_000);

  test('a role that owns tables is dropped, and its tables are not', async () => {
    await sqlOk('shop', 'direct', 'shop', 'CREATE TABLE public.kept AS SELECT 42 AS answer');
    const text = spec({ databases: '' })
      .replace('  shop: { in: [admin] }', '  shop: { state: absent }')
      .replace('owner: shop\n', 'owner: writer\n');
    await writeFile(file, text);
    await pgsOk(['apply', '-f', file]);
    expect(await superuser("SELECT count(*) FROM pg_roles WHERE rolname = 'shop'")).toBe('0');
    expect(await sqlOk('writer', 'direct', 'shop', 'SELECT answer FROM public.kept')).toBe('42');
    expect((await pgs(['plan', tenant])).code).toBe(0);
  }, 120_000);
});

describe('bad files are refused with key and line, and change nothing', () => {
  test.each<[string, string, RegExp]>([
    [
      'a missing package',
      spec({ databases: '  gis: { extensions: [postgis] }\n' }),
      /coded.yaml:23:\d+: databases.gis.extensions.0: extension postgis is not on h1, h2, h3: install postgresql-\d+-postgis-3/,
    ],
    [
      'a rule by address',
      spec({ more: '  - { name: x, auth: ssl, addr: 10.0.0.0/8, roles: [writer] }\n' }),
      /hba.2.addr: 10.0.0.0\/8 cannot reach PostgreSQL on primary/,
    ],
    ['an @', spec({ roles: '  a@b: {}\n' }), /coded.yaml:16:3: roles.a@b: .*it has an @/],
    ['a newer form', `format: 9\n${spec()}`, /coded.yaml:1:9: format: this file has format 9/],
  ])('%s', async (_what, text, message) => {
    await writeFile(file, text);
    const before = await readFile(file, 'utf8');
    const ran = await pgs(['apply', '-f', file]);
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({
      code: 2,
      stderr: expect.stringMatching(message) as string,
    });
    expect(await readFile(file, 'utf8')).toBe(before);
    expect((await pgs(['plan', tenant])).code).toBe(0);
  });
});
