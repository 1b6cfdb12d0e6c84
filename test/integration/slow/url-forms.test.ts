// Every form of `pgs cluster url`, used by the driver that it is for, through a switchover and the loss of an entry host. pgJDBC and
// java are Debian's (libpostgresql-jdbc-java, default-jdk-headless).

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { destroyQuietly, pgsJson, pgsOk, power, psqlOk, root, until, untilHealthy } from '../machines.js';

const tenant = 'forms';
const jdbcJar = '/usr/share/java/postgresql.jar';
const services = ['primary', 'direct'] as const;
const forms = ['libpq', 'jdbc', 'node'] as const;

interface Urls {
  ca: string;
  password: string;
  services: Record<string, { libpq: string; jdbc: string; node: { hosts: string[]; config: object } }>;
}

interface Client {
  who: string;
  service: string;
  process: ChildProcess;
  /** `ok`, or `error …`, one a write. */
  said: string[];
}

const clients: Client[] = [];
let urls: Urls;

beforeAll(async () => {
  expect(existsSync(jdbcJar), `${jdbcJar} is not there: apt-get install libpostgresql-jdbc-java`).toBe(true);
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await psqlOk(tenant, 'direct', 'CREATE TABLE written (who text, at timestamptz DEFAULT clock_timestamp())');
  urls = await pgsJson<Urls>(['cluster', 'url', tenant, '--show-password']);
  for (const service of services) for (const form of forms) clients.push(start(form, service));
  await allWrite('before anything happens');
});

afterAll(async () => {
  for (const client of clients) client.process.kill('SIGKILL');
  await destroyQuietly(tenant);
});

function start(form: (typeof forms)[number], service: string): Client {
  const url = urls.services[service]!;
  const who = `${form} ${service}`;
  const folder = `${root}test/integration/clients`;
  const [program, args, input] = {
    libpq: ['sh', [`${folder}/writer.sh`, url.libpq, who], ''],
    jdbc: ['java', ['-cp', jdbcJar, `${folder}/Writer.java`, url.jdbc, who], `${urls.password}\n`],
    node: ['node', [`${folder}/writer.mjs`, who], JSON.stringify({ ...url.node, config: nodeLogin(url.node.config) })],
  }[form] as [string, string[], string];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(input);
  const said: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => said.push(line));
  return { who, service, process: child, said };
}

/** What the printed program reads from its environment and from the CA's file. */
function nodeLogin(config: object) {
  return { ...config, password: urls.password, ssl: { ca: readFileSync(urls.ca, 'utf8') } };
}

/** Every client has had this many writes acknowledged since now. */
async function allWrite(when: string, count = 3): Promise<void> {
  const before = clients.map(({ said }) => said.length);
  const silent = () =>
    clients.filter(({ said }, i) => said.slice(before[i]).filter((line) => line === 'ok').length < count);
  await until(`every form writes ${when}`, async () => Promise.resolve(silent().length === 0)).catch(
    (thrown: Error) => {
      const why = silent().map(({ who, said }) => `${who}: ${said.slice(-3).join(' | ')}`);
      throw new Error(`${thrown.message}\n${why.join('\n')}`);
    },
  );
}

const errorsSince = (marks: number[], service: string) =>
  clients.flatMap(({ who, said, service: own }, i) =>
    own === service ? said.slice(marks[i]).flatMap((line) => (line === 'ok' ? [] : [`${who}: ${line}`])) : [],
  );

describe('every form', () => {
  test('goes on through a switchover, the pooled ones without an error', async () => {
    const marks = clients.map(({ said }) => said.length);
    await pgsOk(['switchover', tenant]);
    await allWrite('after the switchover');
    expect(errorsSince(marks, 'primary')).toEqual([]);
  });

  test('goes on through the loss of an entry host that others are tried after', async () => {
    const { members, leader } = await untilHealthy(tenant);
    // The first of each string, unless it leads: that would be a failover.
    const lost = members.find((m) => m.name !== leader)!.host;
    await power(lost, 'off');
    try {
      await allWrite(`without ${lost}`);
    } finally {
      await power(lost, 'on');
      await untilHealthy(tenant);
    }
    await allWrite(`with ${lost} again`);
  });

  test('has every write that it was told of', async () => {
    for (const client of clients) client.process.kill('SIGKILL');
    const counted = await psqlOk(tenant, 'direct', 'SELECT who, count(*) FROM written GROUP BY who');
    const written = new Map(counted.split('\n').map((row) => row.split('|') as [string, string]));
    for (const { who, said } of clients)
      expect(Number(written.get(who)), who).toBeGreaterThanOrEqual(said.filter((line) => line === 'ok').length);
  });
});
