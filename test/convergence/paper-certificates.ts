// Certificates that cost nothing, for tests that open a fleet's secrets thousands of times: text that says who issued it for what.
// Real ones, and when they are renewed, are tested where they are made.

import type { Authority, CertificateRequest, Issued } from '../../src/pki/authority.js';
import { Secret } from '../../src/secrets/secret.js';

let issued = 0;

/** As `keepOrIssue` of src/secrets/renewal.ts: what says what is asked for is kept. */
export function keepOrIssue(
  existing: Issued | undefined,
  authority: Authority,
  request: CertificateRequest,
): Promise<Issued> {
  const says = `issued by ${issuerOnPaper(authority.certPem)} for ${JSON.stringify(request)}\n`;
  if (existing?.certPem.endsWith(says)) return Promise.resolve(existing);
  issued++;
  return Promise.resolve({ certPem: `certificate ${issued} ${says}`, keyPem: new Secret(`key ${issued}\n`) });
}

/** What of a CA's PEM is its own: the serial number comes first. */
export function issuerOnPaper(pem: string): string {
  return pem.slice(60, 100);
}
