import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createAuthority, issueCertificate } from '../../../src/pki/authority.js';
import { readGivenCertificate } from '../../../src/reconcile/given-certificate.js';
import { clusterOf } from '../../fixtures/fleet.js';

const directory = mkdtempSync(join(tmpdir(), 'pgs-given-'));
afterAll(() => rmSync(directory, { recursive: true }));

const authority = await createAuthority('somebody else');
const issue = (dnsNames: string[]) =>
  issueCertificate(authority, {
    subject: { organization: 'x', unit: 'x', commonName: null },
    dnsNames,
    ipAddresses: [],
    usages: ['server'],
    days: 10,
  });
const wildcard = await issue(['*.lab.internal']);
const single = await issue(['acme.lab.internal', 'acme-ro.lab.internal']);

function given(certPem: string, keyPem: string) {
  const [certPath, keyPath] = [join(directory, 'given.crt'), join(directory, 'given.key')];
  writeFileSync(certPath, certPem);
  writeFileSync(keyPath, keyPem);
  const cluster = clusterOf();
  return { ...cluster, door: { port: 5432, certificate: { certPath, keyPath, caPath: null } } };
}

test('a wildcard serves all names of a tenant', async () => {
  const read = await readGivenCertificate(given(wildcard.certPem, wildcard.keyPem.reveal()));
  expect(read?.certPem).toBe(wildcard.certPem);
});

test('none is given unless pgs.yaml says so, and a tenant may have its own', async () => {
  expect(await readGivenCertificate(clusterOf())).toBe(null);
  const all = given(single.certPem, single.keyPem.reveal());
  const door = { port: 5432, tenants: { acme: all.door.certificate } };
  await expect(readGivenCertificate({ ...all, door })).rejects.toThrow(/is not for acme-direct\.lab\.internal/);
});

const later = new Date(Date.now() + 20 * 24 * 3600 * 1000);
test.each([
  ['lacks names', single.certPem, single.keyPem, new Date(), /given\.crt: it is not for acme-direct\.lab\.internal/],
  ['has another key', wildcard.certPem, single.keyPem, new Date(), /the key is that of another certificate/],
  ['has ended', wildcard.certPem, wildcard.keyPem, later, /it ended at/],
  ['is none', 'nonsense', wildcard.keyPem, new Date(), /it is no certificate in PEM/],
])('one that %s is refused', async (_, certPem, keyPem, now, why) => {
  const refused = readGivenCertificate(given(certPem, keyPem.reveal()), now);
  await expect(refused).rejects.toMatchObject({ code: 'configuration' });
  await expect(refused).rejects.toThrow(why);
});
