// Thousands of first packets that are wrong in some way, against a live HAProxy: it does not crash, nothing is left of them, nobody
// comes to another tenant than the one he named, and the neighbours do not notice. FUZZ_SEED=<n> repeats a run.

import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { doorLimitMs, endedLimitMs } from '../../haproxy/desired-door.js';
import { serviceHost, serviceNames } from '../../src/topology/cluster.js';
import { startGround, until, type Ground } from './ground.js';

const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1e9);
const packets = Number(process.env.FUZZ_PACKETS ?? 5000);
const atOnce = 100;
/** Who has not answered by then waits for more, and is left; every so often one is waited for until the door closes. */
const patienceMs = 150;
/** The longest limit of all, and then some. */
const closedMs = endedLimitMs('fast') + doorLimitMs;
const domain = 'lab.internal';
const sslRequest = Buffer.from('0000000804d2162f', 'hex');

let ground: Ground;
// Names that are one mistake away from each other.
beforeAll(async () => (ground = await startGround({ acme: {}, acne: {}, 'acme-2': { pool: 'off' } })));
afterAll(async () => ground.close());

/** mulberry32 */
function randomFrom(start: number): (below: number) => number {
  let state = start;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** The handshake of a client of that name, as it comes over the wire. */
async function helloOf(name: string, alpn: boolean): Promise<Buffer> {
  const sink = createServer();
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  const hello = new Promise<Buffer>((resolve) => sink.once('connection', (socket) => socket.once('data', resolve)));
  const { port } = sink.address() as AddressInfo;
  const options = alpn ? { ALPNProtocols: ['postgresql'] } : {};
  const client = connectTls({ host: '127.0.0.1', port, servername: name, ...options });
  client.on('error', () => undefined);
  const bytes = await hello;
  client.destroy();
  sink.close();
  return bytes;
}

type Mutation = (packet: Buffer, random: (below: number) => number, hellos: Buffer[]) => Buffer;

const words = ['acme', 'acne', 'acme-2', '-ro', '-direct', '.lab.internal', 'lab', '\0', '.', 'ACME', '%s', '\xff'];
const mutations: Mutation[] = [
  (packet) => packet,
  (packet, random) => packet.subarray(0, random(packet.length)),
  function flip(packet, random) {
    const changed = Buffer.from(packet);
    for (let i = 0; i <= random(4); i++) changed[random(packet.length)]! ^= 1 << random(8);
    return changed;
  },
  function overwrite(packet, random) {
    const changed = Buffer.from(packet);
    for (let i = 0; i <= random(8); i++) changed[random(packet.length)] = random(256);
    return changed;
  },
  // Lengths are in the beginning, and before each extension.
  function lengths(packet, random) {
    const changed = Buffer.from(packet);
    changed.writeUInt16BE([0, 1, 255, 16_384, 65_535, random(65_536)][random(6)]!, 1 + random(packet.length - 3));
    return changed;
  },
  function name(packet, random) {
    const text = packet.toString('latin1');
    const at = text.indexOf('ac');
    const word = words[random(words.length)]!;
    return Buffer.from(text.slice(0, at) + word + text.slice(at + word.length), 'latin1');
  },
  function insert(packet, random) {
    const at = random(packet.length);
    const more = Buffer.from(Array.from({ length: random(300) }, () => random(256)));
    return Buffer.concat([packet.subarray(0, at), more, packet.subarray(at)]);
  },
  function splice(packet, random, hellos) {
    const other = hellos[random(hellos.length)]!;
    return Buffer.concat([packet.subarray(0, random(packet.length)), other.subarray(random(other.length))]);
  },
  function twice(packet, random, hellos) {
    return Buffer.concat([packet, hellos[random(hellos.length)]!]);
  },
  (_, random) => Buffer.from(Array.from({ length: random(2000) }, () => random(256))),
  (packet, random) => Buffer.concat([packet, Buffer.alloc(random(40_000), random(256))]),
  (packet) => Buffer.concat([sslRequest, packet]),
];

interface Try {
  /** With an SSLRequest before. */
  asks: boolean;
  packet: Buffer;
  /** It is cut in two there. */
  at: number;
  untilClosed: boolean;
}

function makeTry(hellos: Buffer[], random: (below: number) => number): Try {
  let packet = hellos[random(hellos.length)]!;
  for (let i = 0; i <= random(2); i++) {
    if (packet.length > 10) packet = mutations[random(mutations.length)]!(packet, random, hellos);
  }
  return { asks: random(2) === 0, packet, at: random(packet.length + 1), untilClosed: random(100) === 0 };
}

/** Resolves when the connection is over. @throws when nobody closes it in time */
function perform({ asks, packet, at, untilClosed }: Try): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(ground.port, '127.0.0.1');
    const send = () => {
      socket.write(packet.subarray(0, at));
      setImmediate(() => socket.write(packet.subarray(at)));
    };
    socket.on('connect', () => (asks ? socket.write(sslRequest) : send()));
    socket.once('data', () => asks && send());
    socket.on('data', () => undefined);
    socket.on('error', () => undefined);
    const never = () => reject(new Error(`never closed (seed ${seed}): ${packet.toString('hex')}`));
    const timer = setTimeout(untilClosed ? never : () => socket.destroy(), untilClosed ? closedMs : patienceMs);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function inParallel(tries: Try[]): Promise<void> {
  const left = [...tries];
  const work = async () => {
    for (let next = left.pop(); next; next = left.pop()) await perform(next);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

/** What a name entitles to, by its form alone. */
function belongsTo(name: string, server: string): boolean {
  const names = Object.values(ground.tenants).flatMap(({ cluster }) =>
    serviceNames.map((service) => [serviceHost(cluster.tenant, service, domain), cluster.tenant, service] as const),
  );
  const found = names.find(([known]) => known === name.toLowerCase());
  if (!found) return false;
  const [, tenant, service] = found;
  const pooled = ground.tenants[tenant]!.cluster.spec.pool !== 'off';
  if (pooled && service === 'primary') return server.startsWith(`${tenant} pooler of`);
  if (pooled && service === 'replica') return server.startsWith(`${tenant} replica pooler of`);
  return server.startsWith(`${tenant} ${tenant}-${service === 'primary' || service === 'direct' ? '1' : ''}`);
}

interface Held {
  descriptors: number;
  residentKiB: number;
}

function held(): Held {
  const status = readFileSync(`/proc/${ground.pid()}/status`, 'utf8');
  return {
    descriptors: readdirSync(`/proc/${ground.pid()}/fd`).length,
    residentKiB: Number(/^VmRSS:\s+(\d+)/m.exec(status)![1]),
  };
}

const connections = async () => Number(/^CurrConns: (\d+)/m.exec(await ground.ask('show info'))![1]);

/** Once all is quiet: nobody is connected but who asks. */
async function heldAfterwards(): Promise<Held> {
  await until(
    () => `nobody is left at the front door (seed ${seed})`,
    async () => (await connections()) <= 1,
    60_000,
  );
  return held();
}

async function neighbour(name: string, ca: Buffer): Promise<boolean> {
  const options = { host: '127.0.0.1', port: ground.port, servername: name, ca, ALPNProtocols: ['postgresql'] };
  const socket = connectTls(options);
  try {
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    return socket.authorized;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

test(`${packets} wrong first packets (seed ${seed})`, async () => {
  const names = ['acme', 'acne', 'acme-2'].flatMap((t) => serviceNames.map((s) => serviceHost(t, s, domain)));
  const hellos = await Promise.all(
    [...names, 'acme.lab.internak'].flatMap((n) => [helloOf(n, true), helloOf(n, false)]),
  );
  const random = randomFrom(seed);
  const tries = Array.from({ length: packets }, () => makeTry(hellos, random));
  const pid = ground.pid();

  let busy = true;
  let [served, failed] = [0, 0];
  const ca = readFileSync(ground.tenants.acne!.caPath);
  const neighbours = (async () => {
    while (busy) {
      if (await neighbour('acne-direct.lab.internal', ca)) served++;
      else failed++;
    }
  })();
  // The first half warms up what HAProxy keeps for later.
  await inParallel(tries.slice(0, packets / 2));
  const before = await connections().then(() => held());
  await inParallel(tries.slice(packets / 2));
  busy = false;
  await neighbours;
  const after = await heldAfterwards();

  const misled = ground.arrivals.filter(({ name, server }) => name === null || !belongsTo(name, server));
  expect(misled, `seed ${seed}`).toEqual([]);
  expect(ground.arrivals.length).toBeGreaterThan(packets / 20);
  expect([...new Set(ground.arrivals.map(({ server }) => server.split(' ')[0]))].sort()).toEqual([
    'acme',
    'acme-2',
    'acne',
  ]);
  expect(failed, `seed ${seed}`).toBe(0);
  expect(served).toBeGreaterThan(50);
  expect(ground.pid()).toBe(pid);
  const complaints = ground
    .log()
    .split('\n')
    .filter((line) => /ALERT|Lua|runtime error|exited/.test(line))
    // This process, which also plays the servers, may be too busy for their checks.
    .filter((line) => !line.includes('has no server available'));
  expect(complaints).toEqual([]);
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
  expect(after.residentKiB - before.residentKiB).toBeLessThan(8 * 1024);
}, 200_000);
