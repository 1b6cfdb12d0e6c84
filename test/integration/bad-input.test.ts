// What people type wrongly, or with intent: refused with exit code 2 and a clear word, or taken literally; executed never.

import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addresses, destroyQuietly, fleetDir, on, pgs, pgsJson, pgsOk, psqlOk, run, type Ran } from './machines.js';

const tenant = 'typed';
/** If this file is ever there, something that was typed has been run. */
const canary = '/tmp/pgs-canary';
const touch = `touch ${canary}`;
/** Live in a shell; the planted run below proves it. */
const shellPayloads = [`$(${touch})`, `\`${touch}\``, `x;${touch}`, `x|${touch}`, `x\n${touch}\n`];
const strangeNames = [
  ...shellPayloads,
  `'; ${touch}; '`,
  '../../etc/passwd',
  `-oProxyCommand=${touch}`,
  "x'; DROP DATABASE app; --",
  '!!python/object/apply:os.system ["id"]',
  '%n%s',
  'Acme',
  'a--b',
  'ä',
  '',
  'a'.repeat(29),
  'postgres',
];
/** Settings whose values PostgreSQL takes, and that mean something to every layer in between. */
const literalSettings = {
  search_path: `"$user", "c$(${touch})", "it's; DROP TABLE x --", off, public`,
  log_line_prefix: `%m '$(${touch})' \`${touch}\` \\ # {y: z} & | < > * ! "q" `,
  DateStyle: 'ISO, DMY',
};

let dir: string;

beforeAll(async () => {
  rmSync(canary, { force: true });
  dir = await mkdtemp(join(tmpdir(), 'pgs typed $(id) '));
  const settings = Object.entries(literalSettings).flatMap(([name, value]) => [
    '--set',
    `${name.toLowerCase()}=${value}`,
  ]);
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast', ...settings]);
});

afterAll(async () => {
  await destroyQuietly(tenant);
  await rm(dir, { recursive: true, force: true });
});

function expectRefused(ran: Ran, message = /found: /): void {
  expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code: 2, stderr: expect.stringMatching(message) as string });
}

/** Starts a few at a time: each is a process of its own. */
async function each<T>(items: T[], look: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await look(item);
  };
  await Promise.all([worker(), worker(), worker()]);
}

test('the payloads are live: a shell that gets one makes the canary', () => {
  for (const payload of shellPayloads) {
    execFileSync('sh', ['-c', `: ${payload}`], { stdio: 'ignore' });
    expect(existsSync(canary)).toBe(true);
    rmSync(canary);
  }
});

describe('names', () => {
  test('of tenants that are no DNS labels are refused by create', async () => {
    await each(strangeNames, async (name) => {
      expectRefused(await pgs(['cluster', 'create', '--', name]), /cannot be the name of a tenant: /);
    });
  });

  test('of tenants are judged by every other command as well', async () => {
    const commands = [
      ['cluster', 'status'],
      ['cluster', 'show'],
      ['cluster', 'url'],
      ['cluster', 'psql', '--command', 'SELECT 1'],
      ['cluster', 'psql', '--superuser', '--command', 'SELECT 1'],
      ['cluster', 'logs'],
      ['cluster', 'destroy', '--yes', '--purge-data'],
      ['switchover'],
      ['plan'],
      ['apply'],
      ['use'],
    ];
    await each(commands, async (words) => {
      expectRefused(await pgs([...words, '--', `x;${touch}`]), /cannot be the name of a tenant: /);
    });
  });

  test('of members, hosts and machines are looked up, never used', async () => {
    const payload = `h1;${touch}`;
    const commands: [string[], number][] = [
      [['cluster', 'logs', tenant, '--member', `${tenant}-1;${touch}`], 2],
      [['switchover', tenant, '--to', `$(${touch})`], 2],
      [['cluster', 'create', 'other', '--hosts', `h1,h2,$(${touch})`], 2],
      [['host', 'check', payload], 2],
      [['host', 'prepare', payload], 2],
      [['host', 'trust', '--yes', payload], 2],
      [['sandbox', 'ssh', payload, '--', 'true'], 2],
      [['sandbox', 'power', payload, 'off'], 2],
      [['sandbox', 'power', `-oProxyCommand=${touch}`, 'off'], 2],
      [['cluster', 'logs', tenant, '-n', `1;${touch}`], 2],
      [['cluster', 'url', tenant, '--service', `$(${touch})`], 2],
    ];
    await each(commands, async ([words, code]) => {
      const ran = await pgs(words);
      expect({ words, code: ran.code, said: ran.stderr !== '' }).toEqual({ words, code, said: true });
    });
  });

  test('of a sandbox are refused', async () => {
    expectRefused(await pgs(['sandbox', 'status'], { env: { PGS_SANDBOX: `x;${touch}` } }), /no name for a sandbox/);
  });
});

describe('settings', () => {
  test('with values full of metacharacters arrive literally in PostgreSQL, on every member', async () => {
    for (const [name, value] of Object.entries(literalSettings)) {
      expect(await psqlOk(tenant, 'primary', `SELECT current_setting('${name}')`)).toBe(value.trim());
      expect(await psqlOk(tenant, 'replica', `SELECT current_setting('${name}')`)).toBe(value.trim());
    }
    expect((await pgs(['plan', tenant])).code).toBe(0);
  });

  test.each([
    ['a name with a space', ['work mem=1MB'], /"work mem" is not the name of a PostgreSQL parameter/],
    ['a name with a line feed', ["a\nrestore_command='id'=1"], /is not the name of a PostgreSQL parameter/],
    ['a value with a line feed', ["work_mem=1MB\nrestore_command='id'"], /holds a control character/],
    ['no value', ['work_mem'], /not of the form name=value/],
    ['what pgs keeps', ['port=1', 'fsync=off', 'hba_file=/x'], /port cannot be set.*\n.*fsync.*\n.*hba_file/],
    ['what breaks RPO 0', ['synchronous_commit=off'], /RPO 0 promises/],
  ])('with %s are refused', async (_, given, message) => {
    expectRefused(await pgs(['cluster', 'create', 'other', ...given.flatMap((text) => ['--set', text])]), message);
  });

  test('of a command that runs something are PostgreSQL’s business, and arrive literally too', async () => {
    const file = join(dir, 'settings.yaml');
    const value = `echo '%p' "$(true)"`;
    writeFileSync(file, JSON.stringify({ tenant, settings: { archive_cleanup_command: value } }));
    const ran = await pgs(['plan', '-f', file, '-o', 'json']);
    expect(ran.code).toBe(3);
    expect(ran.stdout).toContain(JSON.stringify(JSON.stringify(value)).slice(1, -1));
  });
});

describe('SQL on the command line', () => {
  const text = `$(${touch}) \`${touch}\` "q" it''s; \\ %s {a: b}`;
  const literal = text.replaceAll("''", "'");

  test('reaches psql literally', async () => {
    const ran = await pgs(['cluster', 'psql', tenant, '--command', `SELECT '${text}'`]);
    expect(ran).toMatchObject({ code: 0 });
    expect(ran.stdout).toContain(literal);
  });

  test('reaches the superuser’s psql literally', async () => {
    const ran = await pgs(['cluster', 'psql', tenant, '--superuser', '--command', `SELECT '${text}'`]);
    expect(ran.stdout.trim()).toBe(literal);
  });
});

describe('numbers and choices', () => {
  test.each([
    [['--replicas', '0'], 2, /replicas/],
    [['--replicas', '-1'], 2, /replicas/],
    [['--replicas', '99'], 2, /replicas/],
    [['--replicas', '1.5'], 2, /"1.5" is not a whole number/],
    [['--replicas', 'abc'], 2, /"abc" is not a whole number/],
    [['--replicas', '3'], 1, /need 4 hosts, one each; 3 of 3 are fit/],
    [['--hosts', 'h1,h2,h1'], 2, /--hosts names h1 twice/],
    [['--hosts', 'h1,h2,h9'], 2, /no host "h9"; the fleet has h1, h2, h3/],
    [['--rto', 'slow'], 2, /fast.*norm.*safe.*wide/],
    [['--rpo', '1MB'], 2, /"1MB" is not a whole number/],
    [['--durability', 'strict', '--rpo', '1000'], 2, /strict/],
    [['--watchdog', 'maybe'], 2, /required.*automatic.*off/],
    [['--postgres', '9'], 1, /PostgreSQL/],
  ])('%j is refused by create', async (words, code, message) => {
    const ran = await pgs(['cluster', 'create', 'other', ...words]);
    expect({ code: ran.code, stderr: ran.stderr }).toEqual({ code, stderr: expect.stringMatching(message) as string });
  });

  test('a create of what is there, on other hosts, is refused', async () => {
    expectRefused(await pgs(['cluster', 'create', tenant, '--rto', 'fast', '--hosts', 'h1,h2']), /is there already/);
  });
});

const overlapping = `tenant: ${tenant}\naccess:\n  enabled: true\n  from: [10.0.0.0/8, 10.1.0.0/16]\n`;

describe('spec files', () => {
  test.each([
    ['a hostile name', `tenant: "x;${touch}"\n`, /cannot be the name of a tenant/],
    ['no name', 'replicas: 2\n', /yaml:1:1: tenant: is missing/],
    ['a list', '- tenant: x\n', /must be a mapping of keys to values, not a list/],
    ['nothing', '', /the file is empty/],
    [
      'unknown keys',
      `tenant: ${tenant}\nreplica: 2\nrot: fast\n`,
      /2:1: replica: unknown key.*\n.*3:1: rot: unknown key/,
    ],
    ['a wrong type', `tenant: ${tenant}\nreplicas: many\n`, /replicas/],
    ['a nested setting', `tenant: ${tenant}\nsettings: { work_mem: { a: 1 } }\n`, /work_mem/],
    ['a key twice', `tenant: ${tenant}\nrto: fast\nrto: norm\n`, /3:1: rto is here a second time/],
    ['broken YAML', `tenant: [${tenant}\n`, /line|flow/i],
    ['a tag that runs code elsewhere', `tenant: !!js/function "() => 1"\n`, /name of a tenant|tag/i],
    ['an alias bomb', bomb(), /tenant|alias/i],
    ['networks that overlap', overlapping, /4:22: access\.from\.1: 10\.1\.0\.0\/16 overlaps 10\.0\.0\.0\/8/],
    [
      'a network that is none',
      `tenant: ${tenant}\naccess: { enabled: true, from: [10/8] }\n`,
      /2:33: .*"10\/8" is refused/,
    ],
    ['a setting that pgs keeps', `tenant: ${tenant}\nsettings: { port: 1 }\n`, /port cannot be set/],
  ])('with %s are refused', async (_, content, message) => {
    const file = join(dir, 'spec $(id).yaml');
    writeFileSync(file, content);
    expectRefused(await pgs(['apply', '-f', file]), message);
  });

  test('that are not there, or directories, are refused', async () => {
    expectRefused(await pgs(['apply', '-f', join(dir, 'none')]), /ENOENT/);
    expectRefused(await pgs(['apply', '-f', dir]), /EISDIR/);
  });

  test('for another tenant than the named one are refused', async () => {
    const file = join(dir, 'other.yaml');
    writeFileSync(file, 'tenant: other\n');
    expectRefused(await pgs(['apply', tenant, '-f', file]), /it is for other, not for typed/);
  });
});

function bomb(): string {
  const levels = Array.from({ length: 12 }, (_, n) => {
    const alias = `*a${n}`;
    return `a${n + 1}: &a${n + 1} [${Array(9).fill(alias).join(', ')}]`;
  });
  return ['a0: &a0 [x]', ...levels, 'tenant: *a12', ''].join('\n');
}

describe('pgs.yaml', () => {
  const hosts = () =>
    Object.entries(addresses())
      .map(([name, address]) => `  ${name}: { address: ${address} }`)
      .join('\n');

  async function check(text: string): Promise<Ran> {
    const path = join(dir, 'pgs.yaml');
    writeFileSync(path, text);
    return pgs(['-c', path, 'host', 'list']);
  }

  test('with unknown keys says line and column of all of them at once, and what was meant', async () => {
    const ran = await check(
      `fleet: main\nhots:\n  h9: {}\nhosts:\n${hosts()}\nssh:\n  usr: root\ndefaults:\n  rtoo: fast\n`,
    );
    expectRefused(ran);
    const places = [...ran.stderr.matchAll(/(\d+):(\d+)/g)].map((m) => `${m[1]}:${m[2]}`);
    expect(places).toEqual(expect.arrayContaining(['2:1', '9:3', '11:3']));
    for (const meant of ['hosts', 'user', 'rto']) expect(ran.stderr).toMatch(new RegExp(`did you mean.*${meant}`, 'i'));
  });

  test.each([
    ['fleet', (payload: string) => `fleet: ${payload}\nhosts:\n${hosts()}\n`],
    ['domain', (payload: string) => `fleet: main\ndomain: ${payload}\nhosts:\n${hosts()}\n`],
    [
      'the name of a host',
      (payload: string) => `fleet: main\nhosts:\n${hosts()}\n  ${payload}: { address: 10.9.9.9 }\n`,
    ],
    ['an address', (payload: string) => `fleet: main\nhosts:\n${hosts()}\n  h9: { address: ${payload} }\n`],
    ['a zone', (payload: string) => `fleet: main\nhosts:\n${hosts()}\n  h9: { address: 10.9.9.9, zone: ${payload} }\n`],
    ['the ssh user', (payload: string) => `fleet: main\nhosts:\n${hosts()}\nssh: { user: ${payload} }\n`],
    [
      'an etcd member',
      (payload: string) => `fleet: main\nhosts:\n${hosts()}\netcd: { members: [h1, h2, ${payload}] }\n`,
    ],
    ['a port', (payload: string) => `fleet: main\nhosts:\n${hosts()}\nports: { from: ${payload} }\n`],
  ])('with metacharacters in %s is refused with the place', async (_, textWith) => {
    const ran = await check(textWith(JSON.stringify(`x;$(${touch})'`)));
    expectRefused(ran, /\d+:\d+/);
  });

  test('with too few hosts is refused', async () => {
    expectRefused(await check('fleet: main\nhosts:\n  h1: { address: 10.0.0.1 }\n'), /1 of the at least 3 hosts/);
  });

  test('with a key whose path is a command only fails to find the key', async () => {
    const ran = await check(`fleet: main\nhosts:\n${hosts()}\nssh: { key: "/tmp/$(${touch}) ;${touch}" }\n`);
    expect(ran.code).toBe(0);
    const looked = await pgs(['-c', join(dir, 'pgs.yaml'), 'host', 'check', 'h1']);
    expect(looked.code).toBe(1);
    expect(looked.stdout).toMatch(/not in|cannot be read/);
  });

  test('in a directory with spaces and a command in its name works, and so do the strings that name it', async () => {
    const copy = join(dir, `fleet $(${touch.replaceAll('/', '_')}) 'q' "r" %41 &`);
    await cp(fleetDir, copy, {
      recursive: true,
      filter: (path) => !/\/(machines|logs|apt-cacher-ng)(\/|$)/.test(path),
    });
    const options = { env: { PGS_CONFIG: join(copy, 'pgs.yaml') } };
    const status = await pgsJson<{ healthy: boolean }>(['cluster', 'status', tenant], options);
    expect(status.healthy).toBe(true);
    const url = (await pgsOk(['cluster', 'url', tenant, '--service', 'primary'], options)).trim();
    expect(await run('psql', ['-XqAt', url, '-c', 'SELECT 1'])).toMatchObject({ code: 0, stdout: '1\n' });
    expect(await pgsOk(['cluster', 'psql', tenant, '--command', 'SELECT 41 + 1'], options)).toMatch(/42/);
  });
});

describe('with -o json', () => {
  test.each([
    [['cluster', 'status', 'nobody'], 2, 'usage'],
    [['cluster', 'create', 'other', '--rto', 'slow'], 2, 'configuration'],
    [['cluster', 'create', 'other', '--replicas', '3'], 1, 'unfit'],
    [['cluster', 'frobnicate'], 2, 'usage'],
    [['-c', '/nonexistent/pgs.yaml', 'cluster', 'list'], 2, 'configuration'],
  ])('%j fails with an error object on standard output', async (words, exitCode, code) => {
    const ran = await pgs([...words, '-o', 'json']);
    expect(ran.code).toBe(exitCode);
    const { error } = JSON.parse(ran.stdout) as { error: Record<string, unknown> };
    expect(error).toMatchObject({ code, exitCode });
    expect(error.found).toEqual(expect.stringMatching(/./));
    expect(error.doing).toEqual(expect.stringMatching(/./));
  });
});

test.each([
  [['frobnicate']],
  [['cluster', 'frobnicate']],
  [['--frobnicate']],
  [['cluster', 'list', '--frob']],
  [['use']],
])('%j, which pgs does not know, ends with 2', async (words) => {
  expectRefused(await pgs(words), /unknown|missing/);
});

test('nothing that was typed was run, here or on a machine, and nothing was made', async () => {
  const { clusters } = await pgsJson<{ clusters: { tenant: string }[] }>(['cluster', 'list']);
  expect(clusters.map((c) => c.tenant)).toEqual([tenant]);
  expect(existsSync(canary)).toBe(false);
  for (const host of Object.keys(addresses())) {
    expect((await on(host, `ls ${canary} /root/pgs-canary 2>&1`)).stdout).not.toMatch(/^\//m);
  }
});
