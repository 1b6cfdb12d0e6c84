// The doors of a fleet as a stranger on its network finds them: what a port answers to whoever knocks with a certificate, or without.

import { connect as connectHttp2, constants } from 'node:http2';
import { request as plainRequest } from 'node:http';
import { request } from 'node:https';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import pg from 'pg';
import type { Secret } from '../../src/secrets/secret.js';

export interface Certificate {
  certPem: string;
  keyPem: Secret;
}

export interface Place {
  address: string;
  port: number;
}

export interface Answer {
  status: number;
  body: string;
}

/** `refused`: the connection ended before anything was answered. */
export type Knock<T> = T | 'refused';

/** A stranger presents what it has and checks nothing; old versions and weak ciphers are offered where a test asks for them. */
function presenting(certificate: Certificate | null): ConnectionOptions {
  const own = certificate ? { cert: certificate.certPem, key: certificate.keyPem.reveal() } : {};
  return { rejectUnauthorized: false, servername: '', ...own };
}

export interface HttpCall {
  method: string;
  path: string;
  body?: unknown;
  headers?: Record<string, string>;
  encryption?: 'tls' | 'none';
}

const timeoutMs = 10_000;

/** One request; with the answer of a stream only its first piece. @throws Error if the door does not answer in 10 s */
export function callHttp(place: Place, certificate: Certificate | null, call: HttpCall): Promise<Knock<Answer>> {
  const body = call.body === undefined ? '' : JSON.stringify(call.body);
  const options = {
    host: place.address,
    port: place.port,
    method: call.method,
    path: call.path,
    agent: false,
    headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...call.headers },
  };
  return new Promise((resolve, reject) => {
    const send = call.encryption === 'none' ? plainRequest : request;
    const sent = send({ ...options, ...presenting(certificate) }, (answer) => {
      const status = answer.statusCode ?? 0;
      answer.once('data', (piece: Buffer) => {
        resolve({ status, body: piece.toString() });
        sent.destroy();
      });
      answer.once('end', () => resolve({ status, body: '' }));
    });
    sent.setTimeout(timeoutMs, () => reject(new Error(`${call.path} on ${place.address}:${place.port} hangs`)));
    sent.on('error', () => resolve('refused'));
    sent.end(body);
  });
}

/** The gRPC status of etcd's Range over [key, end) without a login: 0 is an answer with keys. */
export function rangeOverGrpc(
  place: Place,
  certificate: Certificate | null,
  key: string,
  end: string,
): Promise<Knock<number>> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`https://${place.address}:${place.port}`, presenting(certificate));
    const timer = setTimeout(() => {
      session.destroy();
      reject(new Error(`gRPC on ${place.address}:${place.port} hangs`));
    }, timeoutMs);
    const finish = (verdict: Knock<number>) => {
      clearTimeout(timer);
      resolve(verdict);
      session.destroy();
    };
    session.on('error', () => finish('refused'));
    session.on('close', () => finish('refused'));
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: 'POST',
      [constants.HTTP2_HEADER_PATH]: '/etcdserverpb.KV/Range',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    // A call that fails has its status in the headers, one that succeeds in the trailers.
    const onHeaders = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) finish(Number(headers['grpc-status']));
    };
    stream.on('response', onHeaders);
    stream.on('trailers', onHeaders);
    stream.on('error', () => finish('refused'));
    stream.resume();
    stream.end(grpcMessage(Buffer.concat([field(1, key), field(2, end)])));
  });
}

/** A protobuf field of bytes shorter than 128. */
function field(number: number, value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}

function grpcMessage(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

export interface Login {
  user: string;
  database: string;
  password?: Secret;
}

/** Why PostgreSQL let nobody in, or `in`. */
export async function logIn(
  place: Place,
  certificate: Certificate | 'plain text' | null,
  login: Login,
): Promise<string> {
  const client = new pg.Client({
    host: place.address,
    port: place.port,
    user: login.user,
    database: login.database,
    ...(login.password ? { password: login.password.reveal() } : {}),
    ssl: certificate === 'plain text' ? false : presenting(certificate),
    connectionTimeoutMillis: timeoutMs,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return 'in';
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  } finally {
    // Not waited for: after a refused handshake its end is never told.
    void client.end().catch(() => undefined);
  }
}

export interface Handshake {
  protocol: string;
  certificate: Buffer;
}

/** A TLS handshake of one version; PostgreSQL takes it without its own preamble when ALPN says so. */
export function shakeHands(
  place: Place,
  certificate: Certificate | null,
  version: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3',
  alpn?: string,
): Promise<Knock<Handshake>> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      host: place.address,
      port: place.port,
      ...presenting(certificate),
      minVersion: version,
      maxVersion: version,
      // Otherwise this side would refuse the old versions before the door is asked.
      ciphers: 'DEFAULT@SECLEVEL=0',
      ...(alpn ? { ALPNProtocols: [alpn] } : {}),
    });
    socket.setTimeout(timeoutMs, () => reject(new Error(`TLS on ${place.address}:${place.port} hangs`)));
    socket.on('error', () => resolve('refused'));
    socket.on('close', () => resolve('refused'));
    socket.on('secureConnect', () => {
      resolve({ protocol: socket.getProtocol() ?? '', certificate: socket.getPeerX509Certificate()!.raw });
      socket.destroy();
    });
  });
}
