import { describe, expect, test } from 'vitest';
import type { HostFacts, ReachableHost } from '../../../src/host/facts.js';
import { contentHash } from '../../../src/host/resource-rules.js';
import { createAuthority, issueCertificate, type Authority } from '../../../src/pki/authority.js';
import { judgePlaced, tenantCertificates, type PlacedCertificate } from '../../../src/reconcile/certificate-list.js';
import { clusterOf, fakeSecrets } from '../../fixtures/fleet.js';
import { emptyHost } from '../../fixtures/hosts.js';

const now = new Date('2026-11-21T12:00:00Z');
const inDays = (days: number) => new Date(now.getTime() + days * 86_400_000);
const ca: Authority = await createAuthority('acme rest', 3650, inDays(-900));
const path = '/etc/pgs/tenants/acme/tls/rest.crt';
const unit = 'pgs-patroni@acme.service';

async function pem(days: number, madeDaysAgo = 800): Promise<string> {
  const subject = { organization: 'pgs', unit: 'acme', commonName: 'h1' };
  const request = { subject, dnsNames: [], ipAddresses: [], usages: ['server' as const], days: madeDaysAgo + days };
  return (await issueCertificate(ca, request, inDays(-madeDaysAgo))).certPem;
}

function placed(certPem: string): PlacedCertificate {
  const file = { path, content: certPem, units: [unit] };
  return { what: 'Patroni REST', tenant: 'acme', host: 'h1', certPem, file };
}

function hostWith(content: string, loaded = content): ReachableHost {
  const owned = { owner: 'pgs-acme', group: 'pgs-acme', mode: '0600' };
  const active = { load: 'loaded', active: 'active', enabled: true, needsDaemonReload: false, startedAtS: 1 };
  return {
    ...emptyHost(),
    paths: { [path]: { kind: 'file', ...owned, sha256: contentHash(content), content } },
    units: { [unit]: { ...active, loaded: { [path]: contentHash(loaded) } } },
  };
}

const judge = (certificate: PlacedCertificate, host: HostFacts | null) => judgePlaced(certificate, host, now);

describe('a certificate', () => {
  test('that the process has loaded is in force', async () => {
    const certPem = await pem(100);
    const found = judge(placed(certPem), hostWith(certPem));
    expect(found).toMatchObject({ state: 'in force', daysLeft: 100, verdict: 'fine', issuer: 'acme rest' });
  });

  test('that is written and not loaded is only stored', async () => {
    const certPem = await pem(100);
    expect(judge(placed(certPem), hostWith(certPem, 'before')).state).toBe('stored');
  });

  test('that is newer than the one on the host ends when that one does', async () => {
    const [stored, there] = [await pem(800), await pem(3)];
    expect(judge(placed(stored), hostWith(there))).toMatchObject({ state: 'stored', daysLeft: 3, verdict: 'near' });
  });

  test('that has ended, or ends within 30 days, is said to', async () => {
    for (const [days, verdict] of [
      [-1, 'ended'],
      [29, 'near'],
      [30, 'fine'],
    ] as const) {
      const certPem = await pem(days);
      expect(judge(placed(certPem), hostWith(certPem)).verdict, String(days)).toBe(verdict);
    }
  });

  test('on a host that could not be looked at is unknown, and one that pgs keeps is on none', async () => {
    const certPem = await pem(100);
    expect(judge(placed(certPem), { reachable: false, why: 'no answer' }).state).toBe('unknown');
    expect(judge({ ...placed(certPem), file: null, host: null }, null).state).toBe('kept');
  });
});

test('of a tenant each is listed where it is: members, entries, pgs', () => {
  const cluster = clusterOf();
  const all = tenantCertificates({ cluster, secrets: fakeSecrets() });
  const on = (what: string) => all.filter((one) => one.what === what).map(({ host }) => host);
  const members = cluster.members.map(({ host }) => host.name);
  for (const what of ['Patroni REST', 'PostgreSQL', 'Patroni to etcd', 'poolers to PostgreSQL'])
    expect(on(what)).toEqual(members);
  expect(on('HAProxy to Patroni REST')).toEqual(cluster.entries.map(({ name }) => name));
  expect(on('CA of SQL')).toEqual([null]);
});
