// The front door on a live HAProxy: who is led where by name, who is refused how, and what access changes at once.

import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { doorLimitMs } from '../../haproxy/desired-door.js';
import { serviceHost, serviceNames, type ServiceName } from '../../src/topology/cluster.js';
import { startGround, until, type Ground } from './ground.js';

let ground: Ground;
const domain = 'lab.internal';
const everybody = { enabled: true, from: [] };
const nobody = { enabled: false, from: [] };

beforeAll(async () => {
  // `old` has a PostgreSQL that takes TLS only when it was asked for it; `bare` no pooler; `shut` is closed; `given` has a wildcard.
  const specs = {
    acme: {},
    bare: { pool: 'off' as const },
    old: { postgres: 15 },
    shut: { access: nobody },
    given: {},
  };
  ground = await startGround(specs, 'given');
});
afterAll(async () => ground.close());

/** What psql prints; what went wrong when it fails. */
function psql(name: string, parameters: Record<string, string> = {}): Promise<string> {
  const tenant = name.split(/[-.]/)[0]!;
  const given = {
    host: name,
    hostaddr: '127.0.0.1',
    port: String(ground.port),
    user: 'app',
    dbname: 'app',
    sslmode: 'verify-full',
    sslrootcert: ground.tenants[tenant]?.caPath ?? '/nonexistent',
    ...parameters,
  };
  const words = Object.entries(given).map(([key, value]) => `${key}=${value}`);
  return new Promise((resolve) =>
    execFile('psql', ['-XqAt', words.join(' '), '-c', 'SELECT 1'], { timeout: 20_000 }, (_, stdout, stderr) =>
      resolve((stdout || stderr).trim()),
    ),
  );
}

/** As PostgreSQL 17's clients with sslnegotiation=direct: TLS at once, with the protocol's name. */
async function direct(name: string): Promise<string> {
  const tenant = name.split(/[-.]/)[0]!;
  const ca = readFileSync(ground.tenants[tenant]!.caPath);
  const tls = connectTls({ host: '127.0.0.1', port: ground.port, servername: name, ca, ALPNProtocols: ['postgresql'] });
  try {
    await new Promise((resolve, reject) => tls.once('secureConnect', resolve).once('error', reject));
    expect(tls.alpnProtocol).toBe('postgresql');
    expect(tls.authorized).toBe(true);
    tls.write(startup);
    return await answerOf(tls);
  } finally {
    tls.destroy();
  }
}

const startup = Buffer.concat([Buffer.from([0, 0, 0, 17, 0, 3, 0, 0]), Buffer.from('user\0app\0')]);
const query = Buffer.concat([Buffer.from('Q'), Buffer.from([0, 0, 0, 13]), Buffer.from('SELECT 1\0')]);

/** The only value of the only row among messages of PostgreSQL's protocol. */
function rowOf(messages: Buffer): string {
  let at = 0;
  while (String.fromCharCode(messages[at]!) !== 'D') at += 1 + messages.readUInt32BE(at + 1);
  // Type, length, number of values, length of the first.
  return messages.subarray(at + 1 + 4 + 2 + 4, at + 1 + messages.readUInt32BE(at + 1)).toString();
}

/** The text of an error, or of the row that a query gives. */
function answerOf(stream: NodeJS.ReadWriteStream): Promise<string> {
  return new Promise((resolve) => {
    let said = Buffer.alloc(0);
    stream.on('data', (chunk: Buffer) => {
      said = Buffer.concat([said, chunk]);
      const text = said.toString('latin1');
      if (text.startsWith('E')) resolve(/\0M([^\0]*)/.exec(text)?.[1] ?? text);
      else if (text.includes('SELECT 1')) resolve(rowOf(said));
      else if (text.endsWith('Z\0\0\0\x05I')) stream.write(query);
    });
    stream.on('close', () => resolve('closed'));
    stream.on('error', () => resolve('closed'));
  });
}

const leader = (tenant: string, service: ServiceName) => {
  const { spec } = ground.tenants[tenant]!.cluster;
  const own = { direct: /-1$/, 'direct-ro': /-[23]$/ };
  if (service === 'direct' || service === 'direct-ro') return own[service];
  if (spec.pool === 'off') return service === 'primary' ? /-1$/ : /-[23]$/;
  return service === 'primary' ? / pooler of/ : / replica pooler of/;
};

describe.each(['acme', 'bare', 'old', 'given'])('%s is reached by its names', (tenant) => {
  test.each(serviceNames)('%s, with an SSLRequest first', async (service) => {
    const answer = await psql(serviceHost(tenant, service, domain));
    expect(answer).toMatch(new RegExp(`^${tenant} `));
    expect(answer).toMatch(leader(tenant, service));
  });
  test.each(serviceNames)('%s, with TLS at once', async (service) => {
    const answer = await direct(serviceHost(tenant, service, domain));
    expect(answer).toMatch(new RegExp(`^${tenant} `));
    expect(answer).toMatch(leader(tenant, service));
  });
});

test('names are as DNS has them: their case means nothing', async () => {
  expect(await psql('acme.lab.internal', { host: 'ACME-Direct.Lab.Internal' })).toBe('acme acme-1');
});

test('node-postgres comes in by name', async () => {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: ground.port,
    user: 'app',
    database: 'app',
    password: 'any',
    ssl: { ca: readFileSync(ground.tenants.acme!.caPath, 'utf8'), servername: 'acme-direct.lab.internal' },
  });
  await client.connect();
  expect((await client.query('SELECT 1')).rows).toEqual([{ who: 'acme acme-1' }]);
  await client.end();
});

test('the certificate of a direct service is that of PostgreSQL itself, as channel binding wants it', async () => {
  const { cluster, secrets } = ground.tenants.acme!;
  const own = new X509Certificate(secrets.certificates[cluster.members[0]!.host.name]!.sql.certPem);
  const socket = connectTls({
    host: '127.0.0.1',
    port: ground.port,
    servername: 'acme-direct.lab.internal',
    rejectUnauthorized: false,
    ALPNProtocols: ['postgresql'],
  });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  expect(socket.getPeerX509Certificate()!.fingerprint256).toBe(own.fingerprint256);
  socket.destroy();
});

describe('who is refused is told, once TLS is up', () => {
  test('an unknown name', async () => {
    for (const name of ['nope.lab.internal', 'acme.other.internal', 'lab.internal', 'acme-rw.lab.internal', 'acme'])
      expect(await psql(name, { sslmode: 'require', sslrootcert: '/nonexistent' })).toContain(
        `nobody is served here by the name "${name}"`,
      );
  });
  test('no name', async () => {
    expect(await psql('127.0.0.1', { sslmode: 'require' })).toContain('no server name came with the TLS handshake');
  });
  test('a closed tenant', async () => {
    expect(await psql('shut.lab.internal')).toContain('access from outside is closed for "shut"');
    expect(await direct('shut-direct.lab.internal')).toBe('access from outside is closed for "shut"');
  });
  test('a client without TLS, in the clear that he chose', async () => {
    expect(await psql('acme.lab.internal', { sslmode: 'disable' })).toContain('TLS is required here');
  });
  test('who verifies an unknown name is not deceived', async () => {
    expect(await psql('nope.lab.internal', { sslrootcert: ground.tenants.acme!.caPath })).toContain('verify failed');
  });
});

/** Bytes, and what comes back until the door closes. */
function say(...parts: Buffer[]): Promise<{ said: string; afterMs: number }> {
  return new Promise((resolve) => {
    const begunMs = performance.now();
    let said = '';
    const socket = connectTcp(ground.port, '127.0.0.1', () => parts.forEach((part) => socket.write(part)));
    socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve({ said, afterMs: performance.now() - begunMs }));
  });
}

describe('whatever is no client of PostgreSQL is closed within the limit, and neighbours do not notice', () => {
  const sslRequest = Buffer.from('0000000804d2162f', 'hex');
  const gssRequest = Buffer.from('0000000804d21630', 'hex');
  const cancel = Buffer.concat([Buffer.from('0000001004d2162e', 'hex'), Buffer.alloc(8)]);
  const record = (length: number) => Buffer.from([0x16, 3, 1, length >> 8, length & 255, 1, 0, 255, 255]);
  const cases: [what: string, parts: Buffer[], said: RegExp][] = [
    ['nothing at all', [], /^$/],
    ['half an SSLRequest', [sslRequest.subarray(0, 5)], /^$/],
    ['an SSLRequest and no handshake', [sslRequest], /^S$/],
    ['an SSLRequest with something behind it', [Buffer.concat([sslRequest, Buffer.from('x')])], /^$/],
    ['a second SSLRequest', [sslRequest, sslRequest], /^S?$/],
    ['a GSSENCRequest, and nothing after the no', [gssRequest], /^N$/],
    ['HTTP', [Buffer.from('GET / HTTP/1.1\r\nHost: acme.lab.internal\r\n\r\n')], /^$/],
    ['garbage', [Buffer.alloc(200, 0xa5)], /^$/],
    ['a cancellation in the clear', [cancel], /^$/],
    ['a startup packet that says that it is too long', [Buffer.from([0, 1, 0, 0, 0, 3, 0, 0])], /^$/],
    ['a handshake larger than a record may be', [record(65_535), Buffer.alloc(60_000)], /^$/],
    ['a handshake that never ends', [record(16_000), Buffer.alloc(1000)], /^$/],
  ];
  test('all of them side by side', async () => {
    let [served, failed] = [0, 0];
    let busy = true;
    const neighbour = (async () => {
      while (busy) {
        if ((await direct('acme-direct.lab.internal')) === 'acme acme-1') served++;
        else failed++;
      }
    })();
    const ends = await Promise.all(cases.map(([, parts]) => say(...parts)));
    busy = false;
    await neighbour;
    cases.forEach(([what, , said], i) => {
      expect(ends[i]!.said, what).toMatch(said);
      expect(ends[i]!.afterMs, what).toBeLessThan(doorLimitMs + 3000);
    });
    expect(failed).toBe(0);
    expect(served).toBeGreaterThan(10);
  }, 60_000);
});

/** A session that stays; what ended it, when it ends. */
async function stay(name: string): Promise<{ client: pg.Client; ended: Promise<number>; isOpen(): Promise<boolean> }> {
  const tenant = name.split(/[-.]/)[0]!;
  const client = new pg.Client({
    host: '127.0.0.1',
    port: ground.port,
    user: 'app',
    database: 'app',
    password: 'any',
    ssl: { ca: readFileSync(ground.tenants[tenant]!.caPath, 'utf8'), servername: name },
  });
  client.on('error', () => undefined);
  const ended = new Promise<number>((resolve) => client.once('end', () => resolve(performance.now())));
  await client.connect();
  return {
    client,
    ended,
    isOpen: () =>
      client.query('SELECT 1').then(
        () => true,
        () => false,
      ),
  };
}

describe('access is changed at once, without a reload', () => {
  test('disabled: sessions are cut and new ones refused; enabled: let in again', async () => {
    const pid = ground.pid();
    const sessions = await Promise.all(['acme.lab.internal', 'acme-direct.lab.internal'].map(stay));
    const other = await stay('bare.lab.internal');
    const beganMs = performance.now();
    expect(ground.access('acme', nobody)).toBe('2');
    for (const { ended } of sessions) expect((await ended) - beganMs).toBeLessThan(1000);
    expect(await psql('acme.lab.internal')).toContain('access from outside is closed for "acme"');
    expect(await direct('acme-direct.lab.internal')).toContain('access from outside is closed');
    expect(ground.access('acme', everybody)).toBe('0');
    expect(await psql('acme-direct.lab.internal')).toBe('acme acme-1');
    expect(await other.isOpen()).toBe(true);
    expect(ground.pid()).toBe(pid);
    await other.client.end();
  });

  test('sessions are kept when that is asked for', async () => {
    const session = await stay('acme-direct.lab.internal');
    expect(ground.access('acme', nobody, 'keep')).toBe('0');
    expect(await session.isOpen()).toBe(true);
    ground.access('acme', everybody);
    await session.client.end();
  });

  test('a list is of networks, and judges sessions too', async () => {
    const session = await stay('acme-direct.lab.internal');
    expect(ground.access('acme', { enabled: true, from: ['127.0.0.0/30', '2001:db8::/32'] })).toBe('0');
    expect(await session.isOpen()).toBe(true);
    expect(ground.access('acme', { enabled: true, from: ['10.0.0.0/8', '127.0.0.8/29'] })).toBe('1');
    expect(await psql('acme.lab.internal')).toContain('access from 127.0.0.1 is not permitted for "acme"');
    ground.access('acme', everybody);
    expect(await psql('acme.lab.internal')).toContain('acme pooler');
    await session.ended;
  });

  test('sessions of the worker before a reload are cut, too, and a reload keeps what was changed', async () => {
    const session = await stay('acme-direct.lab.internal');
    await ground.reload();
    expect(await session.isOpen()).toBe(true);
    expect(ground.access('acme', nobody)).toBe('1');
    await session.ended;
    await ground.reload();
    expect(await psql('acme.lab.internal')).toContain('access from outside is closed for "acme"');
    ground.access('acme', everybody);
  });
});

test('a renewed certificate is shown without a session being lost', async () => {
  const sessions = await Promise.all(['acme.lab.internal', 'acme-direct.lab.internal'].map(stay));
  const before = await shown('shut.lab.internal');
  await ground.renew('shut');
  expect(await shown('shut.lab.internal')).not.toBe(before);
  for (const session of sessions) {
    expect(await session.isOpen()).toBe(true);
    await session.client.end();
  }
});

async function shown(name: string): Promise<string> {
  const options = { rejectUnauthorized: false, ALPNProtocols: ['postgresql'] };
  const socket = connectTls({ host: '127.0.0.1', port: ground.port, servername: name, ...options });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const { fingerprint256 } = socket.getPeerX509Certificate()!;
  socket.destroy();
  return fingerprint256;
}

test('while nobody leads, clients of direct wait, and go on with the new leader', async () => {
  const { roles } = ground.tenants.bare!;
  roles['bare-1']!.leads = false;
  await until(
    () => 'HAProxy knows that nobody leads',
    async () => /^bare:leader,BACKEND,.*,DOWN,/m.test(await ground.ask('show stat bare:leader 2 -1')),
  );
  const waiting = [psql('bare-direct.lab.internal'), direct('bare.lab.internal')];
  await sleep(500);
  roles['bare-2']!.leads = true;
  expect(await Promise.all(waiting)).toEqual(['bare bare-2', 'bare bare-2']);
});

test('a stopped tenant says so, and is there again when it is started', async () => {
  await ground.reloadAs('old', 'stopped');
  expect(await psql('old.lab.internal')).toContain('"old" is stopped');
  expect(await direct('old-direct.lab.internal')).toBe('"old" is stopped');
  await ground.reloadAs('old', 'running');
  expect(await psql('old-direct.lab.internal')).toBe('old old-1');
});
