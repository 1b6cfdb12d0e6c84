// The front door on real machines: every kind of client comes in by name, is let in and sent away at once, and goes on through a
// switchover. pgJDBC and java are Debian's (libpostgresql-jdbc-java, default-jdk-headless); psql of PostgreSQL 17 is the machines'.

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serviceNames } from '../../../src/topology/cluster.js';
import {
  addresses,
  destroyQuietly,
  on,
  pgs,
  pgsJson,
  pgsOk,
  psqlOk,
  root,
  run,
  until,
  untilHealthy,
} from '../machines.js';

const tenant = 'doors';
const jdbcJar = '/usr/share/java/postgresql.jar';

interface Urls {
  ca: string;
  password: string;
  services: Record<
    string,
    {
      libpq: string;
      jdbc: string;
      node: { hosts: string[]; config: Omit<pg.ClientConfig, 'ssl'> & { ssl: { servername: string } } };
    }
  >;
}

let urls: Urls;
let directory: string;
/** What java asks instead of DNS. */
let hostsFile: string;
const clients: { who: string; process: ChildProcess; said: string[] }[] = [];

beforeAll(async () => {
  expect(existsSync(jdbcJar), `${jdbcJar} is not there: apt-get install libpostgresql-jdbc-java`).toBe(true);
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  urls = await pgsJson<Urls>(['cluster', 'url', tenant, '--door', '--show-password']);
  await psqlOk(tenant, 'direct', 'CREATE TABLE written (who text, at timestamptz DEFAULT clock_timestamp())');
  directory = mkdtempSync(join(tmpdir(), 'pgs-front-door-'));
  hostsFile = join(directory, 'hosts');
  const names = serviceNames.map((service) => urls.services[service]!.node.config.ssl.servername);
  const lines = Object.values(addresses()).flatMap((address) => names.map((name) => `${address} ${name}\n`));
  writeFileSync(hostsFile, lines.join(''));
});

afterAll(async () => {
  for (const { process } of clients) process.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
  await destroyQuietly(tenant);
});

async function psql(service: string, sql = 'SELECT pg_is_in_recovery()'): Promise<string> {
  const ran = await run('psql', ['-XqAt', urls.services[service]!.libpq, '-c', sql]);
  return (ran.stdout || ran.stderr).trim();
}

function nodeConfig(service: string): pg.ClientConfig {
  const { hosts, config } = urls.services[service]!.node;
  const ssl = { ...config.ssl, ca: readFileSync(urls.ca, 'utf8') };
  return { ...config, host: hosts[0]!, password: urls.password, ssl, connectionTimeoutMillis: 5000 };
}

async function session(service: string): Promise<{ client: pg.Client; ended: Promise<void> }> {
  const client = new pg.Client(nodeConfig(service));
  client.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => client.once('end', resolve));
  await client.connect();
  return { client, ended };
}

const closed = `access from outside is closed for "${tenant}"`;

test('a tenant of whom nothing was said is closed, and says so', async () => {
  expect(await psql('primary')).toContain(closed);
  expect(await pgsOk(['cluster', 'list'])).toMatch(/closed/);
});

test('what is enabled is in force on every host when the command ends, and leaves nothing to apply', async () => {
  await pgsOk(['access', 'enable', tenant]);
  for (const service of serviceNames) {
    const replica = service === 'replica' || service === 'direct-ro' ? 't' : 'f';
    expect(await psql(service), service).toBe(replica);
  }
  expect(await pgsJson(['plan', tenant])).toMatchObject({ changes: 0 });
  expect(await pgsOk(['cluster', 'show', tenant, '-o', 'yaml'])).toContain('enabled: true');
});

describe('psql of PostgreSQL 17', () => {
  test.each(['postgres', 'direct'])('begins with sslnegotiation=%s', async (negotiation) => {
    const [host, other] = Object.keys(addresses());
    await on(host!, 'cat > /run/ca.crt', readFileSync(urls.ca, 'utf8'));
    for (const service of serviceNames) {
      const { servername } = urls.services[service]!.node.config.ssl;
      const binding = service.startsWith('direct') ? 'channel_binding=require' : '';
      const string =
        `host=${servername} hostaddr=${addresses()[other!]} port=5432 user=app dbname=app sslmode=verify-full ` +
        `sslrootcert=/run/ca.crt sslnegotiation=${negotiation} connect_timeout=5 ${binding}`;
      const ran = await on(
        host!,
        `read -r PGPASSWORD; export PGPASSWORD; psql -XqAt "${string}" -c 'SELECT 1'`,
        `${urls.password}\n`,
      );
      expect(ran, service).toMatchObject({ code: 0, stdout: '1\n' });
    }
  });
});

test('the session of a direct service has TLS from end to end', async () => {
  expect(await psql('direct', 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).toBe('t');
});

function start(who: string, program: string, args: string[], input: string): void {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
  clients.push({ who, process: child, said });
}

async function allWrite(when: string): Promise<void> {
  const before = clients.map(({ said }) => said.length);
  const acknowledged = (i: number) => clients[i]!.said.slice(before[i]).filter((line) => line === 'ok').length;
  const all = () => Promise.resolve(clients.every((_, i) => acknowledged(i) >= 3));
  await until(`every client writes ${when}`, all).catch((thrown: Error) => {
    const last = clients.map(({ who, said }) => `${who}: ${said.slice(-3).join(' | ')}`);
    throw new Error(`${thrown.message}\n${last.join('\n')}`);
  });
}

test('psql 15, pgJDBC and node-postgres go on through a switchover, the pooled ones without an error', async () => {
  const folder = `${root}test/integration/clients`;
  for (const service of ['primary', 'direct']) {
    const url = urls.services[service]!;
    start(`libpq ${service}`, 'sh', [`${folder}/writer.sh`, url.libpq, `libpq ${service}`], '');
    const java = [`-Djdk.net.hosts.file=${hostsFile}`, '-cp', jdbcJar, `${folder}/Writer.java`];
    start(`jdbc ${service}`, 'java', [...java, url.jdbc, `jdbc ${service}`], `${urls.password}\n`);
    const node = { hosts: url.node.hosts, config: { ...nodeConfig(service), host: undefined } };
    start(`node ${service}`, 'node', [`${folder}/writer.mjs`, `node ${service}`], JSON.stringify(node));
  }
  await allWrite('before');
  const marks = clients.map(({ said }) => said.length);
  await pgsOk(['switchover', tenant]);
  await allWrite('after the switchover');
  const errors = clients.flatMap(({ who, said }, i) =>
    said.slice(marks[i]).flatMap((line) => (line === 'ok' ? [] : [`${who}: ${line}`])),
  );
  expect(errors.filter((line) => line.includes(' primary: '))).toEqual([]);
  for (const { process } of clients) process.kill('SIGKILL');
  const rows = await psqlOk(tenant, 'direct', 'SELECT who, count(*) FROM written GROUP BY who');
  const written = new Map(rows.split('\n').map((row) => row.split('|') as [string, string]));
  for (const { who, said } of clients)
    expect(Number(written.get(who)), who).toBeGreaterThanOrEqual(said.filter((line) => line === 'ok').length);
});

test('what is disabled is in force when the command ends: sessions are gone, or kept when that is asked for', async () => {
  await untilHealthy(tenant);
  const kept = await session('direct');
  await pgsOk(['access', 'disable', tenant, '--keep-sessions']);
  expect((await kept.client.query('SELECT 1')).rowCount).toBe(1);
  expect(await psql('direct')).toContain(closed);
  await pgsOk(['access', 'enable', tenant]);
  const pooled = await session('primary');
  await pgsOk(['access', 'disable', tenant]);
  await Promise.all([kept.ended, pooled.ended]);
  // The tenant's own ports are another way.
  expect(await psqlOk(tenant, 'primary', 'SELECT 1')).toBe('1');
  expect(await pgsJson(['plan', tenant])).toMatchObject({ changes: 0 });
});

test('a list of networks is enforced, and what is no network is refused with its name', async () => {
  await pgsOk(['access', 'enable', tenant, '--from', '192.0.2.0/24']);
  expect(await psql('primary')).toMatch(/access from [\d.]+ is not permitted/);
  const own = Object.values(addresses())[0]!.replace(/\d+$/, '0/24');
  await pgsOk(['access', 'enable', tenant, '--from', own]);
  expect(await psql('primary')).toBe('f');
  const refused = await pgs(['access', 'enable', tenant, '--from', '10.0.0.0/8,10.1.0.0/16']);
  expect({ code: refused.code, stderr: refused.stderr }).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('10.1.0.0/16 overlaps 10.0.0.0/8') as string,
  });
});

test('a stopped tenant says so, and serves again when it is started', async () => {
  await pgsOk(['cluster', 'stop', tenant, '--yes']);
  expect(await psql('primary')).toContain(`"${tenant}" is stopped`);
  expect(await pgsJson(['plan', tenant])).toMatchObject({ changes: 0 });
  await pgsOk(['cluster', 'start', tenant]);
  expect(await psql('direct')).toBe('f');
});
