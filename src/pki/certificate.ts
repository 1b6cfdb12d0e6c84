// Reads certificates. Uses Node's own parser, which is loaded anyway: commands that only look must start fast.

import { X509Certificate } from 'node:crypto';
import { PgsError } from '../errors.js';

export type CertificateUsage = 'server' | 'client';

export interface CertificateFacts {
  /** One `O=…` a line, as OpenSSL shows it. */
  subject: string;
  /** Null where the subject has none; etcd takes it as a login. */
  commonName: string | null;
  issuer: string;
  /** Hex, upper case. */
  serial: string;
  notBefore: Date;
  notAfter: Date;
  /** Hex pairs with colons, upper case. */
  fingerprintSha256: string;
  dnsNames: string[];
  ipAddresses: string[];
  usages: CertificateUsage[];
  isAuthority: boolean;
}

/** @throws PgsError `configuration` if `pem` is no certificate */
export function describeCertificate(pem: string): CertificateFacts {
  const certificate = parse(pem);
  const usages = certificate.keyUsage ?? [];
  return {
    subject: certificate.subject ?? '',
    commonName: /^CN=(.*)$/m.exec(certificate.subject ?? '')?.[1] ?? null,
    issuer: certificate.issuer ?? '',
    serial: certificate.serialNumber,
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
    fingerprintSha256: certificate.fingerprint256,
    dnsNames: alternativeNames(certificate, 'DNS:'),
    ipAddresses: alternativeNames(certificate, 'IP Address:'),
    usages: [
      ...(usages.includes(serverAuthentication) ? ['server' as const] : []),
      ...(usages.includes(clientAuthentication) ? ['client' as const] : []),
    ],
    isAuthority: certificate.ca,
  };
}

/** Whole days until a certificate ends; negative when it has ended. */
export function daysLeft(pem: string, now: Date): number {
  const { notAfter } = describeCertificate(pem);
  return Math.floor((notAfter.getTime() - now.getTime()) / dayMs);
}

/** Whether `authorityPem` signed `pem`. Does not look at dates. */
export function isIssuedBy(pem: string, authorityPem: string): boolean {
  const [certificate, authority] = [parse(pem), parse(authorityPem)];
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

export const dayMs = 24 * 3600 * 1000;

/** RFC 5280, 4.2.1.12. */
export const serverAuthentication = '1.3.6.1.5.5.7.3.1';
export const clientAuthentication = '1.3.6.1.5.5.7.3.2';

function alternativeNames(certificate: X509Certificate, prefix: string): string[] {
  const names = certificate.subjectAltName?.split(', ') ?? [];
  return names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
}

function parse(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (thrown) {
    throw new PgsError('configuration', {
      doing: 'reading a certificate',
      found: 'it is not an X.509 certificate in PEM',
      hint: 'Restore the file from your backup.',
      cause: thrown,
    });
  }
}
