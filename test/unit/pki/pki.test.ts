import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { createAuthority, issueCertificate, type Authority, type Issued } from '../../../src/pki/authority.js';
import { dayMs, daysLeft, describeCertificate, isIssuedBy } from '../../../src/pki/certificate.js';
import { Secret } from '../../../src/secrets/secret.js';

let authority: Authority;
let stranger: Authority;
let server: Issued;
let client: Issued;
const now = new Date();

const request = {
  subject: { organization: 'pgs', unit: 'demo', commonName: null },
  dnsNames: ['h1', 'localhost'],
  ipAddresses: ['10.0.0.1', '127.0.0.1', 'fd00::1'],
  usages: ['server' as const],
};

beforeAll(async () => {
  authority = await createAuthority('demo sql', undefined, now);
  stranger = await createAuthority('demo sql', undefined, now);
  server = await issueCertificate(authority, request, now);
  client = await issueCertificate(authority, { ...request, usages: ['client'], dnsNames: [], ipAddresses: [] }, now);
});

test('a certificate says what was asked for', () => {
  expect(describeCertificate(server.certPem)).toMatchObject({
    subject: 'O=pgs\nOU=demo',
    commonName: null,
    issuer: 'O=pgs\nCN=demo sql',
    dnsNames: ['h1', 'localhost'],
    ipAddresses: ['10.0.0.1', '127.0.0.1', 'FD00:0:0:0:0:0:0:1'],
    usages: ['server'],
    isAuthority: false,
    fingerprintSha256: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/) as string,
  });
  expect(describeCertificate(client.certPem)).toMatchObject({ usages: ['client'], dnsNames: [], ipAddresses: [] });
});

test('a common name is there only when it was given', async () => {
  const named = await issueCertificate(authority, {
    ...request,
    subject: { ...request.subject, commonName: 'haproxy' },
  });
  expect(describeCertificate(named.certPem).commonName).toBe('haproxy');
});

test('a name cannot smuggle a field in', async () => {
  const subject = { organization: 'pgs, CN=root', unit: 'x+CN=root\nCN=root', commonName: null };
  const { certPem } = await issueCertificate(authority, { ...request, subject });
  const text = execFileSync('openssl', ['x509', '-noout', '-subject', '-nameopt', 'multiline'], {
    input: certPem,
  }).toString();
  expect(text).not.toMatch(/^\s*commonName/m);
});

test('hosts whose clocks are five minutes behind accept it, and it ends when said', () => {
  const { notBefore, notAfter } = describeCertificate(server.certPem);
  const seconds = (date: Date) => Math.floor(date.getTime() / 1000);
  expect(seconds(now) - seconds(notBefore)).toBe(300);
  expect(daysLeft(server.certPem, now)).toBeGreaterThanOrEqual(824);
  expect(daysLeft(server.certPem, now)).toBeLessThanOrEqual(825);
  expect(daysLeft(authority.certPem, now)).toBeGreaterThanOrEqual(3649);
  expect(daysLeft(server.certPem, new Date(notAfter.getTime() + dayMs))).toBe(-1);
});

test('a certificate never outlives its CA', async () => {
  const short = await createAuthority('short', 10, now);
  const { certPem } = await issueCertificate(short, request, now);
  expect(describeCertificate(certPem).notAfter).toEqual(describeCertificate(short.certPem).notAfter);
  await expect(issueCertificate(short, request, new Date(now.getTime() + 11 * dayMs))).rejects.toMatchObject({
    code: 'configuration',
  });
});

test('a CA of the same name did not issue it', () => {
  expect(isIssuedBy(server.certPem, authority.certPem)).toBe(true);
  expect(isIssuedBy(server.certPem, stranger.certPem)).toBe(false);
});

test('keys are PKCS#8 on P-256, in a Secret, and every serial is new', () => {
  expect(server.keyPem).toBeInstanceOf(Secret);
  expect(server.keyPem.reveal()).toMatch(
    /^-----BEGIN PRIVATE KEY-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END PRIVATE KEY-----\n$/,
  );
  const text = execFileSync('openssl', ['pkey', '-noout', '-text'], { input: server.keyPem.reveal() }).toString();
  expect(text).toContain('prime256v1');
  expect(describeCertificate(server.certPem).serial).not.toBe(describeCertificate(client.certPem).serial);
});

describe('OpenSSL', () => {
  const inFiles = (files: Record<string, string>, run: (path: (name: string) => string) => void) => {
    const dir = mkdtempSync(join(tmpdir(), 'pgs-pki-'));
    try {
      for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text, { mode: 0o600 });
      run((name) => join(dir, name));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
  const verify = (...args: string[]) => execFileSync('openssl', ['verify', '-x509_strict', ...args], { stdio: 'pipe' });

  test('accepts the chain strictly, for its purpose and names only', () => {
    inFiles(
      { ca: authority.certPem, other: stranger.certPem, server: server.certPem, client: client.certPem },
      (path) => {
        verify('-CAfile', path('ca'), '-purpose', 'sslserver', '-verify_hostname', 'h1', path('server'));
        verify('-CAfile', path('ca'), '-purpose', 'sslserver', '-verify_ip', 'fd00::1', path('server'));
        verify('-CAfile', path('ca'), '-purpose', 'sslclient', path('client'));
        expect(() => verify('-CAfile', path('ca'), '-purpose', 'sslclient', path('server'))).toThrow();
        expect(() => verify('-CAfile', path('ca'), '-purpose', 'sslserver', path('client'))).toThrow();
        expect(() => verify('-CAfile', path('ca'), '-verify_hostname', 'h2', path('server'))).toThrow();
        expect(() => verify('-CAfile', path('other'), path('server'))).toThrow();
      },
    );
  });

  test('sees critical constraints: a CA of path length 0, and leaves that are none', () => {
    const text = (pem: string) => execFileSync('openssl', ['x509', '-noout', '-text'], { input: pem }).toString();
    expect(text(authority.certPem)).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(text(authority.certPem)).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(text(server.certPem)).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    expect(text(server.certPem)).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(text(server.certPem)).toMatch(/Subject Key Identifier/);
    const identifier = (name: string, pem: string) =>
      new RegExp(`${name} Key Identifier:\\s+([0-9A-F:]+)`).exec(text(pem))?.[1];
    expect(identifier('Authority', server.certPem)).toBe(identifier('Subject', authority.certPem));
  });
});

describe('a TLS connection', () => {
  /** What the client learns: `ok`, or the error that either side raised. */
  const handshake = (trust: Authority, shown: Issued, own: Issued | null): Promise<string> =>
    new Promise((resolve) => {
      const door = createServer(
        {
          cert: server.certPem,
          key: server.keyPem.reveal(),
          ca: authority.certPem,
          requestCert: true,
          rejectUnauthorized: true,
        },
        (socket) => socket.end('welcome'),
      );
      if (shown !== server)
        door.setSecureContext({ cert: shown.certPem, key: shown.keyPem.reveal(), ca: authority.certPem });
      door.on('tlsClientError', () => undefined);
      const done = (text: string) => {
        socket?.destroy();
        door.close();
        resolve(text);
      };
      let socket: TLSSocket | undefined;
      door.listen(0, '127.0.0.1', () => {
        socket = connect({
          ...(door.address() as { port: number }),
          host: '127.0.0.1',
          ca: trust.certPem,
          ...(own === null ? {} : { cert: own.certPem, key: own.keyPem.reveal() }),
        });
        socket.on('data', () => done('ok'));
        socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
        socket.on('close', () => done('closed'));
      });
    });

  test('is made with certificates of the one CA, and with no others', async () => {
    expect(await handshake(authority, server, client)).toBe('ok');
    expect(await handshake(stranger, server, client)).not.toBe('ok');
    expect(await handshake(authority, server, null)).not.toBe('ok');
    const forged = await issueCertificate(stranger, { ...request, usages: ['client'] });
    expect(await handshake(authority, server, forged)).not.toBe('ok');
  });

  test('is refused when a client certificate plays the server, or the other way round', async () => {
    const clientOnly = await issueCertificate(authority, { ...request, usages: ['client'] });
    expect(await handshake(authority, clientOnly, client)).not.toBe('ok');
    expect(await handshake(authority, server, server)).not.toBe('ok');
  });
});

test('text that is no certificate is said to be none', () => {
  expect(() => describeCertificate('nonsense')).toThrow('not an X.509 certificate');
});
