// When a certificate that exists is good enough to be kept. Everything that is kept is kept byte for byte, so that a run
// with nothing to do changes no host.

import { canonicalAddress } from '../inventory/names.js';
import { daysLeft, describeCertificate, isIssuedBy } from '../pki/certificate.js';
import type { Authority, CertificateRequest, Issued } from '../pki/authority.js';

/** Certificates are replaced when they have fewer days left than this; `status` warns from here on. */
export const renewalDays = 30;

/** The existing certificate if it says what `request` asks for and lasts, else a new one. */
export async function keepOrIssue(
  existing: Issued | undefined,
  authority: Authority,
  request: CertificateRequest,
  now: Date,
): Promise<Issued> {
  if (existing !== undefined && !needsIssue(existing, authority, request, now)) return existing;
  const { issueCertificate } = await import('../pki/authority.js');
  return issueCertificate(authority, request, now);
}

function needsIssue(existing: Issued, authority: Authority, request: CertificateRequest, now: Date): boolean {
  const found = describeCertificate(existing.certPem);
  const left = daysLeft(existing.certPem, now);
  // A CA near its own end can give no longer life: issuing again and again would change hosts for nothing.
  const couldLastLonger = daysLeft(authority.certPem, now) > left;
  return (
    (left < renewalDays && couldLastLonger) ||
    found.commonName !== request.subject.commonName ||
    !isSameSet(found.dnsNames, request.dnsNames) ||
    !isSameSet(found.ipAddresses.map(canonicalAddress), request.ipAddresses.map(canonicalAddress)) ||
    !isSameSet(found.usages, request.usages) ||
    !isIssuedBy(existing.certPem, authority.certPem)
  );
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  const [left, right] = [new Set(a), new Set(b)];
  return left.size === right.size && [...left].every((item) => right.has(item));
}
