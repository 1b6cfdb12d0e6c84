// Which certificate a running process shows: asked of itself, since the file on its host may be newer, or not loaded.

import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** How TLS begins: at once, or after PostgreSQL's SSLRequest. */
export type TlsStart = 'at once' | 'postgres';

export interface ShownAt {
  address: string;
  port: number;
  start: TlsStart;
  /** Of a server that asks for one: without, the handshake fails on its side. */
  client?: { certPem: string; keyPem: { reveal(): string } };
}

const limitMs = 3000;
/** For the server's side of the handshake. */
const goodbyeMs = 50;

/** Length 8 and the code of SSLRequest (PostgreSQL's documentation, message formats). */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** PEM; null when nobody shows one within 3 s. Nothing is trusted or said over the connection. */
export function shownCertificate({ address, port, start, client }: ShownAt): Promise<string | null> {
  return new Promise((resolve) => {
    const tcp = connectTcp({ host: address, port });
    const end = (pem: string | null) => {
      clearTimeout(timer);
      tcp.destroy();
      resolve(pem);
    };
    const timer = setTimeout(() => end(null), limitMs);
    tcp.on('error', () => end(null));
    const greet = () => {
      const tls = connectTls({
        socket: tcp,
        // One that ended or names another host is to be reported, not refused.
        rejectUnauthorized: false,
        ...(client ? { cert: client.certPem, key: client.keyPem.reveal() } : {}),
      });
      tls.on('error', () => end(null));
      tls.on('secureConnect', () => {
        const { raw } = tls.getPeerCertificate() as { raw?: Buffer };
        // In order: a server that is hung up on within its handshake fills its log with that.
        tls.end(() => setTimeout(() => end(raw ? pemOf(raw) : null), goodbyeMs));
      });
    };
    tcp.on('connect', () => {
      if (start === 'at once') greet();
      else askForTls(tcp, greet, () => end(null));
    });
  });
}

function askForTls(tcp: Socket, granted: () => void, refused: () => void): void {
  tcp.once('data', (answer) => (answer.toString('latin1') === 'S' ? granted() : refused()));
  tcp.write(sslRequest);
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** Whether two PEMs hold the same certificate, however their lines are broken. */
export function isSameCertificate(a: string, b: string): boolean {
  const bare = (pem: string) => pem.replace(/\s/g, '');
  return bare(a) === bare(b);
}
