// The certificate that an operator gives for a tenant's names at the front door: read when it is needed, so that a renewed file is found
// by the next apply, and refused when it would not serve.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { PgsError } from '../errors.js';
import type { Issued } from '../pki/authority.js';
import { daysLeft } from '../pki/certificate.js';
import { Secret } from '../secrets/secret.js';
import { givenCertificate, serviceHost, serviceNames, type Cluster } from '../topology/cluster.js';

/**
 * Null when none is given.
 * @throws PgsError `configuration` for one that is not there, has ended, lacks a name or does not fit its key
 */
export async function readGivenCertificate(cluster: Cluster, now = new Date()): Promise<Issued | null> {
  const given = givenCertificate(cluster);
  if (given === null) return null;
  const doing = `reading the certificate of ${cluster.tenant} for the front door`;
  const read = (path: string) =>
    readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      throw new PgsError('configuration', { doing, found: cause.message, hint: 'See `door` in pgs.yaml.' });
    });
  const issued = { certPem: await read(given.certPath), keyPem: new Secret(await read(given.keyPath)) };
  const fault = faultOf(issued, cluster, now);
  if (fault === null) return issued;
  throw new PgsError('configuration', {
    doing,
    found: `${given.certPath}: ${fault}`,
    hint: 'Give another one under `door` in pgs.yaml, or none; nothing was changed.',
  });
}

function faultOf({ certPem, keyPem }: Issued, { tenant, domain }: Cluster, now: Date): string | null {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certPem);
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem.reveal())))
      return 'the key is that of another certificate';
  } catch {
    return 'it is no certificate in PEM, or its key is none without a password';
  }
  if (daysLeft(certPem, now) < 0) return `it ended at ${certificate.validTo}`;
  const missing = serviceNames
    .map((name) => serviceHost(tenant, name, domain))
    .filter((name) => !certificate.checkHost(name));
  return missing.length === 0 ? null : `it is not for ${missing.join(', ')}`;
}
