// Servers of a tenant that are just enough for a front door: PostgreSQL and PgBouncer that speak TLS only when asked, and say who they
// are to every query; Patroni that says who leads.

import { createServer as createHttps } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Issued } from '../../src/pki/authority.js';

/** What came to a server, as it saw it: the oracle for whether a connection went to whom it named. */
export interface Arrival {
  server: string;
  /** The name in the TLS handshake; null when none came. */
  name: string | null;
}

export interface DatabaseOptions {
  /** What it answers to every query. */
  identity: string;
  address: string;
  port: number;
  certificate: Issued;
  /** PostgreSQL 17 names the protocol; PgBouncer does not. */
  alpn: boolean;
  arrivals: Arrival[];
}

const sslRequest = '0000000804d2162f';
/** As PostgreSQL's authentication_timeout: who does not go on is closed, milliseconds. */
const loginLimitMs = 3000;

export async function startDatabase(options: DatabaseOptions): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (first) => {
      // As PostgreSQL: an SSLRequest alone, and nothing behind it before it is answered.
      if (first.toString('hex') !== sslRequest) return socket.destroy();
      socket.write('S');
      speakTls(socket, options);
    });
  });
  return listen(server, options.port, options.address);
}

function speakTls(socket: Socket, { identity, certificate, alpn, arrivals }: DatabaseOptions): void {
  let name: string | null = null;
  const tls = new TLSSocket(socket, {
    isServer: true,
    key: certificate.keyPem.reveal(),
    cert: certificate.certPem,
    ...(alpn ? { ALPNProtocols: ['postgresql'] } : {}),
    SNICallback: (asked, done) => {
      name = asked;
      arrivals.push({ server: identity, name });
      done(null);
    },
  });
  tls.on('error', () => undefined);
  const late = setTimeout(() => socket.destroy(), loginLimitMs);
  let started = false;
  tls.on('data', (data: Buffer) => {
    if (!started) {
      started = true;
      clearTimeout(late);
      if (name === null) arrivals.push({ server: identity, name });
      tls.write(greeting);
    } else if (data[0] === 0x51) {
      tls.write(answer(identity));
    } else if (data[0] === 0x58) {
      tls.end();
    }
  });
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const ready = message('Z', Buffer.from('I'));
const greeting = Buffer.concat([
  message('R', Buffer.alloc(4)),
  message('S', Buffer.from('server_version\x0017.0\0')),
  message('S', Buffer.from('client_encoding\0UTF8\0')),
  message('S', Buffer.from('standard_conforming_strings\0on\0')),
  message('K', Buffer.alloc(8)),
  ready,
]);

function answer(text: string): Buffer {
  const column = Buffer.concat([Buffer.from([0, 1]), Buffer.from('who\0'), Buffer.alloc(18)]);
  // Type text, of any length.
  column.writeUInt32BE(25, 2 + 4 + 6);
  column.writeInt16BE(-1, 2 + 4 + 10);
  column.writeInt32BE(-1, 2 + 4 + 12);
  const row = Buffer.alloc(6);
  row.writeUInt16BE(1, 0);
  row.writeUInt32BE(text.length, 2);
  return Buffer.concat([
    message('T', column),
    message('D', Buffer.concat([row, Buffer.from(text)])),
    message('C', Buffer.from('SELECT 1\0')),
    ready,
  ]);
}

export interface Role {
  leads: boolean;
}

/** Patroni's REST API as far as HAProxy asks it; what the role says may change at any time. */
export async function startPatroni(address: string, port: number, certificate: Issued, role: Role): Promise<Server> {
  const server = createHttps({ key: certificate.keyPem.reveal(), cert: certificate.certPem }, (request, response) => {
    const asked = request.url?.startsWith('/primary') ? role.leads : !role.leads;
    response.writeHead(asked ? 200 : 503).end(JSON.stringify({ role: role.leads ? 'primary' : 'replica' }));
  });
  server.on('clientError', () => undefined);
  return listen(server, port, address);
}

function listen<T extends Server>(server: T, port: number, address: string): Promise<T> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => resolve(server));
  });
}

/** A port and the nine after it that nobody listens on at any address of these. */
export async function freeBlock(addresses: string[], blocks: number): Promise<number> {
  for (let base = 21_000; base < 32_000; base += 10 * blocks) {
    const tries = Array.from({ length: 10 * blocks }, (_, i) => addresses.map((address) => isFree(base + i, address)));
    if ((await Promise.all(tries.flat())).every(Boolean)) return base;
  }
  throw new Error('no ports are free');
}

function isFree(port: number, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, address, () => {
      const { port: got } = server.address() as AddressInfo;
      server.close(() => resolve(got === port));
    });
  });
}
