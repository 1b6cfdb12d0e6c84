// Makes certificate authorities and issues certificates: ECDSA P-256, PKCS#8 keys, extensions as RFC 5280 asks for.

import { randomBytes, webcrypto } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as X509 from '@peculiar/x509';
import { PgsError } from '../errors.js';
import { Secret } from '../secrets/secret.js';
import {
  clientAuthentication,
  dayMs,
  describeCertificate,
  serverAuthentication,
  type CertificateUsage,
} from './certificate.js';

export interface Issued {
  certPem: string;
  /** PKCS#8. */
  keyPem: Secret;
}

/** A CA: its certificate and the key that signs. */
export interface Authority extends Issued {
  readonly kind: 'authority';
}

export interface Subject {
  organization: string;
  unit: string;
  /**
   * Said in every case: null is a certificate without a CN. etcd takes the CN of a client certificate as the login and
   * needs no password then, so certificates that etcd sees as a client's have null.
   */
  commonName: string | null;
}

export interface CertificateRequest {
  subject: Subject;
  dnsNames: string[];
  ipAddresses: string[];
  usages: CertificateUsage[];
  /** Default 825, which is what the strictest clients still take. Never outlives the CA. */
  days?: number;
}

/** Hosts' clocks may be behind the operator's by this much. */
const backdateMs = 5 * 60 * 1000;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** A self-signed CA that can issue leaves only (path length 0). */
export async function createAuthority(commonName: string, days = 3650, now = new Date()): Promise<Authority> {
  const x509 = loadX509();
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: newSerial(),
      name: new x509.Name([{ O: ['pgs'] }, { CN: [commonName] }]),
      ...validity(now, days, null),
      signingAlgorithm: algorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto,
  );
  return { kind: 'authority', certPem: pemOf(certificate), keyPem: await exportKey(keys.privateKey) };
}

export async function issueCertificate(
  authority: Authority,
  request: CertificateRequest,
  now = new Date(),
): Promise<Issued> {
  const x509 = loadX509();
  const issuer = new x509.X509Certificate(authority.certPem);
  const keys = await generateKeys();
  const usages = request.usages.map((usage) => (usage === 'server' ? serverAuthentication : clientAuthentication));
  const names = [
    ...request.dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...request.ipAddresses.map((value) => ({ type: 'ip' as const, value })),
  ];
  const { organization, unit, commonName } = request.subject;
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: newSerial(),
      // As data, not as a string: a name can then hold no further field.
      subject: new x509.Name([
        { O: [organization] },
        { OU: [unit] },
        ...(commonName === null ? [] : [{ CN: [commonName] }]),
      ]),
      issuer: issuer.subjectName,
      ...validity(now, request.days ?? 825, describeCertificate(authority.certPem).notAfter),
      signingAlgorithm: algorithm,
      publicKey: keys.publicKey,
      signingKey: await importKey(authority.keyPem),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(usages, false),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      ],
    },
    webcrypto,
  );
  return { certPem: pemOf(certificate), keyPem: await exportKey(keys.privateKey) };
}

/** Loads ahead of time what `createAuthority` and `issueCertificate` need. */
export function loadIssuing(): void {
  loadX509();
}

const require = createRequire(import.meta.url);

/**
 * It takes long to load, so only what issues does; its CommonJS form takes 0.12 s, that of ES modules in many files 0.2 s.
 * `reflect-metadata` must come first.
 */
function loadX509(): typeof X509 {
  require('reflect-metadata');
  return require('@peculiar/x509') as typeof X509;
}

function validity(now: Date, days: number, endsMax: Date | null): { notBefore: Date; notAfter: Date } {
  const notAfter = new Date(Math.min(now.getTime() + days * dayMs, endsMax?.getTime() ?? Infinity));
  if (notAfter <= now) {
    throw new PgsError('configuration', {
      doing: 'issuing a certificate',
      found: `the CA ended at ${notAfter.toISOString()}`,
      hint: 'Check the clock of this machine; if it is right, the CA has to be replaced.',
    });
  }
  return { notBefore: new Date(now.getTime() - backdateMs), notAfter };
}

/** 126 random bits, positive and without a leading zero byte in DER. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<Secret> {
  const base64 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return new Secret(
    `-----BEGIN PRIVATE KEY-----\n${base64.replace(/.{64}(?=.)/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
  );
}

async function importKey(pem: Secret): Promise<webcrypto.CryptoKey> {
  const der = Buffer.from(pem.reveal().replace(/-----[^-]+-----/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}

function pemOf(certificate: { toString(format: 'pem'): string }): string {
  return `${certificate.toString('pem').trim()}\n`;
}
