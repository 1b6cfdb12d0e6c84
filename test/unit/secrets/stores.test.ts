import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Host } from '../../../src/inventory/inventory.js';
import { dayMs, describeCertificate, isIssuedBy } from '../../../src/pki/certificate.js';
import { createFleetKey, type FleetKey } from '../../../src/secrets/fleet-key.js';
import {
  completeFleetSecrets,
  ensureFleetSecrets,
  fleetSecretsPath,
  loadFleetSecrets,
  type FleetSecrets,
} from '../../../src/secrets/fleet-secrets.js';
import { Secret } from '../../../src/secrets/secret.js';
import { allSecretTexts } from '../../../src/secrets/shape.js';
import {
  ensureTenantSecrets,
  sealTenantSecrets,
  unsealTenantSecrets,
  type StoredTenantSecrets,
  type TenantSecrets,
} from '../../../src/secrets/tenant-secrets.js';

const host = (n: number, address = `10.0.0.${n}`): Host => ({ name: `h${n}`, address, zone: `h${n}` });
const hosts = [host(1), host(2), host(3)];
const now = new Date();
const later = (days: number) => new Date(now.getTime() + days * dayMs);
const key: FleetKey = new Secret(Buffer.alloc(32, 1).toString('base64'));

let fleet: FleetSecrets;
let tenant: TenantSecrets;
const place = { domain: 'main.internal', hosts };
beforeAll(async () => {
  fleet = await completeFleetSecrets(null, { fleet: 'main', hosts }, now);
  tenant = await ensureTenantSecrets('demo', hosts, place, fleet, null, now);
});

describe('the secrets of a fleet', () => {
  test('hold a server and a peer certificate per host, of two CAs, and none has a CN', () => {
    expect(Object.keys(fleet.hosts)).toEqual(['h1', 'h2', 'h3']);
    for (const { name, address } of hosts) {
      const { etcdServer, etcdPeer } = fleet.hosts[name]!;
      for (const issued of [etcdServer, etcdPeer]) {
        expect(describeCertificate(issued.certPem)).toMatchObject({
          commonName: null,
          dnsNames: [name, 'localhost'],
          ipAddresses: [address, '127.0.0.1'],
          usages: ['server', 'client'],
        });
      }
      expect(isIssuedBy(etcdServer.certPem, fleet.etcdClientCa.certPem)).toBe(true);
      expect(isIssuedBy(etcdServer.certPem, fleet.etcdPeerCa.certPem)).toBe(false);
      expect(isIssuedBy(etcdPeer.certPem, fleet.etcdPeerCa.certPem)).toBe(true);
      expect(isIssuedBy(etcdPeer.certPem, fleet.etcdClientCa.certPem)).toBe(false);
    }
    expect(describeCertificate(fleet.operatorEtcdClient.certPem)).toMatchObject({
      commonName: null,
      usages: ['client'],
    });
    expect(isIssuedBy(fleet.operatorEtcdClient.certPem, fleet.etcdClientCa.certPem)).toBe(true);
  });

  test('are the same object while nothing is to do', async () => {
    expect(await completeFleetSecrets(fleet, { fleet: 'main', hosts }, later(700))).toBe(fleet);
  });

  test('gain a new host and change nothing of the others', async () => {
    const grown = await completeFleetSecrets(fleet, { fleet: 'main', hosts: [...hosts, host(4)] }, now);
    expect(Object.keys(grown.hosts)).toEqual(['h1', 'h2', 'h3', 'h4']);
    expect(grown).toEqual({ ...fleet, hosts: { ...fleet.hosts, h4: grown.hosts.h4 } });
    expect(grown.hosts.h1).toBe(fleet.hosts.h1);
  });

  test('keep the certificates of a host that is gone from pgs.yaml for a moment', async () => {
    expect(await completeFleetSecrets(fleet, { fleet: 'main', hosts: hosts.slice(1) }, now)).toBe(fleet);
  });

  test('get a new certificate for a host that moved, from the same CAs', async () => {
    const moved = await completeFleetSecrets(
      fleet,
      { fleet: 'main', hosts: [host(1, '10.9.9.9'), ...hosts.slice(1)] },
      now,
    );
    expect(describeCertificate(moved.hosts.h1!.etcdServer.certPem).ipAddresses).toContain('10.9.9.9');
    expect(moved.hosts.h1!.etcdServer.keyPem.reveal()).not.toBe(fleet.hosts.h1!.etcdServer.keyPem.reveal());
    expect(moved.hosts.h2).toBe(fleet.hosts.h2);
    expect(moved.etcdClientCa).toBe(fleet.etcdClientCa);
    expect(moved.etcdRootPassword).toBe(fleet.etcdRootPassword);
  });

  test('get new certificates within 30 days of the end, not before', async () => {
    expect(await completeFleetSecrets(fleet, { fleet: 'main', hosts }, later(794))).toBe(fleet);
    const renewed = await completeFleetSecrets(fleet, { fleet: 'main', hosts }, later(796));
    for (const name of ['h1', 'h2', 'h3']) {
      expect(renewed.hosts[name]!.etcdServer).not.toBe(fleet.hosts[name]!.etcdServer);
      expect(renewed.hosts[name]!.etcdPeer).not.toBe(fleet.hosts[name]!.etcdPeer);
    }
    expect(renewed.operatorEtcdClient).not.toBe(fleet.operatorEtcdClient);
    expect(await completeFleetSecrets(renewed, { fleet: 'main', hosts }, later(796))).toBe(renewed);
  });

  test('are not renewed over and over when the CA itself is near its end', async () => {
    const near = later(3640);
    const once = await completeFleetSecrets(fleet, { fleet: 'main', hosts }, near);
    expect(once).not.toBe(fleet);
    expect(await completeFleetSecrets(once, { fleet: 'main', hosts }, near)).toBe(once);
  });
});

describe('the file of the fleet secrets', () => {
  let stateDir: string;
  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'pgs-fleet-'));
  });
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));
  const bytes = () => readFileSync(fleetSecretsPath(stateDir), 'utf8');

  test('is 0600, shows no secret, and keeps its bytes while nothing is to do', async () => {
    const { key: own } = await createFleetKey(stateDir);
    const made = await ensureFleetSecrets({ fleet: 'main', stateDir, hosts }, own);
    expect(made.changed).toBe(true);
    expect(statSync(fleetSecretsPath(stateDir)).mode & 0o777).toBe(0o600);
    for (const text of allSecretTexts(made.secrets)) expect(bytes()).not.toContain(text);
    const before = bytes();
    const again = await loadFleetSecrets({ fleet: 'main', stateDir, hosts }, own);
    expect(again.changed).toBe(false);
    expect(bytes()).toBe(before);
    expect(allSecretTexts(again.secrets)).toEqual(allSecretTexts(made.secrets));
    expect(again.secrets.fleetId).toBe(made.secrets.fleetId);
    expect((await loadFleetSecrets({ fleet: 'main', stateDir, hosts: [...hosts, host(4)] }, own)).changed).toBe(true);
    expect(bytes()).not.toBe(before);
    expect(readdirSync(stateDir).sort()).toEqual(['fleet-secrets.json', 'fleet.key']);
  });

  test('made by two at once has one set of CAs', async () => {
    const both = await Promise.all([1, 2].map(() => ensureFleetSecrets({ fleet: 'main', stateDir, hosts }, key)));
    expect(both[0]!.secrets.etcdClientCa.certPem).toBe(both[1]!.secrets.etcdClientCa.certPem);
    expect(both.filter(({ changed }) => changed)).toHaveLength(1);
  });

  test('is taken over from a pgs that was killed while it held the lock', async () => {
    writeFileSync(`${fleetSecretsPath(stateDir)}.lock`, '4194999\n');
    expect((await ensureFleetSecrets({ fleet: 'main', stateDir, hosts }, key)).changed).toBe(true);
  });

  test('is never made anew for a fleet that only lost it', async () => {
    await expect(loadFleetSecrets({ fleet: 'main', stateDir, hosts }, key)).rejects.toMatchObject({
      code: 'configuration',
    });
    expect(readdirSync(stateDir)).toEqual([]);
  });

  test('does not open with another key, nor when it is damaged, and is then left alone', async () => {
    await ensureFleetSecrets({ fleet: 'main', stateDir, hosts }, key);
    const other = new Secret(Buffer.alloc(32, 2).toString('base64'));
    const before = bytes();
    await expect(ensureFleetSecrets({ fleet: 'main', stateDir, hosts }, other)).rejects.toMatchObject({
      code: 'configuration',
    });
    expect(bytes()).toBe(before);
    writeFileSync(fleetSecretsPath(stateDir), before.slice(0, 100));
    await expect(ensureFleetSecrets({ fleet: 'main', stateDir, hosts }, key)).rejects.toThrow('damaged');
  });
});

describe('the secrets of a tenant', () => {
  test('hold three certificates per member, each from its own CA', () => {
    expect(Object.keys(tenant.certificates)).toEqual(['h1', 'h2', 'h3']);
    const authorities = {
      rest: tenant.restCa.certPem,
      sql: tenant.sqlCa.certPem,
      etcd: fleet.etcdClientCa.certPem,
      peer: fleet.etcdPeerCa.certPem,
    };
    const issuers = (pem: string) =>
      Object.entries(authorities).flatMap(([name, authority]) => (isIssuedBy(pem, authority) ? [name] : []));
    for (const issued of Object.values(tenant.certificates)) {
      expect(issuers(issued.rest.certPem)).toEqual(['rest']);
      expect(issuers(issued.sql.certPem)).toEqual(['sql']);
      expect(issuers(issued.etcd.certPem)).toEqual(['etcd']);
    }
    expect(issuers(tenant.restChecks.certPem)).toEqual(['rest']);
    expect(issuers(tenant.restOperator.certPem)).toEqual(['rest']);
  });

  test('name in each certificate what its door needs', () => {
    const { rest, sql, etcd } = tenant.certificates.h2!;
    expect(describeCertificate(rest.certPem)).toMatchObject({
      dnsNames: ['h2', 'localhost'],
      ipAddresses: ['10.0.0.2', '127.0.0.1'],
      usages: ['server', 'client'],
    });
    expect(describeCertificate(sql.certPem)).toMatchObject({
      dnsNames: ['demo', 'demo-ro', 'demo-direct', 'demo-direct-ro']
        .map((name) => `${name}.main.internal`)
        .concat('h1', 'h2', 'h3', 'localhost'),
      ipAddresses: ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
      usages: ['server'],
    });
    expect(describeCertificate(etcd.certPem)).toMatchObject({ commonName: null, usages: ['client'] });
    expect(describeCertificate(tenant.restChecks.certPem).usages).toEqual(['client']);
  });

  test('have passwords of their own, and verifiers that are those of the passwords', () => {
    const passwords = Object.values(tenant.passwords).map(({ password }) => password.reveal());
    expect(new Set(passwords).size).toBe(6);
    expect(tenant.passwords.etcd.user).toBe('pgs-demo');
    expect(tenant.appScram.reveal()).toMatch(/^SCRAM-SHA-256\$4096:/);
    expect(tenant.appScram.reveal()).not.toBe(tenant.probeScram.reveal());
  });

  test('share nothing with those of another tenant', async () => {
    const other = await ensureTenantSecrets('other', hosts, place, fleet, null, now);
    // The first line of a private key is mostly the same ASN.1 header; whole keys and passwords are compared.
    const own = new Set(allSecretTexts(tenant));
    expect(allSecretTexts(other).filter((text) => own.has(text))).toEqual([]);
    expect(isIssuedBy(other.certificates.h1!.sql.certPem, tenant.sqlCa.certPem)).toBe(false);
    expect(isIssuedBy(other.certificates.h1!.rest.certPem, tenant.restCa.certPem)).toBe(false);
  });

  test('are the same object while nothing is to do, after a round through the store too', async () => {
    expect(await ensureTenantSecrets('demo', hosts, place, fleet, tenant, later(700))).toBe(tenant);
    const stored = unsealTenantSecrets(key, 'demo', sealTenantSecrets(key, 'demo', tenant));
    expect(allSecretTexts(stored)).toEqual(allSecretTexts(tenant));
    expect(await ensureTenantSecrets('demo', hosts, place, fleet, stored, now)).toBe(stored);
  });

  test('get a new SQL certificate on every member when the fleet gains a host, and nothing else', async () => {
    const grown = await ensureTenantSecrets(
      'demo',
      hosts,
      { ...place, hosts: [...hosts, host(4)] },
      fleet,
      tenant,
      now,
    );
    for (const name of ['h1', 'h2', 'h3']) {
      expect(describeCertificate(grown.certificates[name]!.sql.certPem).ipAddresses).toContain('10.0.0.4');
      expect(grown.certificates[name]!.rest).toBe(tenant.certificates[name]!.rest);
      expect(grown.certificates[name]!.etcd).toBe(tenant.certificates[name]!.etcd);
    }
    expect({ ...grown, certificates: null }).toEqual({ ...tenant, certificates: null });
  });

  test('follow the members: a new one gets its certificates, one that left loses them', async () => {
    const four = { ...place, hosts: [...hosts, host(4)] };
    const moved = await ensureTenantSecrets('demo', [host(1), host(2), host(4)], four, fleet, tenant, now);
    expect(Object.keys(moved.certificates)).toEqual(['h1', 'h2', 'h4']);
    expect(moved.passwords).toBe(tenant.passwords);
  });

  test('get new certificates within 30 days of the end', async () => {
    const renewed = await ensureTenantSecrets('demo', hosts, place, fleet, tenant, later(796));
    expect(renewed.certificates.h1!.rest).not.toBe(tenant.certificates.h1!.rest);
    expect(renewed.restChecks).not.toBe(tenant.restChecks);
    expect(renewed.sqlCa).toBe(tenant.sqlCa);
    expect(renewed.passwords).toBe(tenant.passwords);
  });

  test('of before there were poolers get a certificate for them, and nothing else', async () => {
    const before: StoredTenantSecrets = { ...tenant };
    delete before.pooler;
    const completed = await ensureTenantSecrets('demo', hosts, place, fleet, before, now);
    expect({ ...completed, pooler: null }).toEqual({ ...tenant, pooler: null });
    expect(describeCertificate(completed.pooler.certPem)).toMatchObject({
      commonName: 'pgs_pooler',
      usages: ['client'],
    });
    expect(isIssuedBy(completed.pooler.certPem, tenant.sqlCa.certPem)).toBe(true);
  });

  test('do not open as those of another tenant', () => {
    const sealed = sealTenantSecrets(key, 'acme', tenant);
    expect(() => unsealTenantSecrets(key, 'acme2', sealed)).toThrow('moved');
  });
});

describe('secrets in memory', () => {
  test('stay hidden when printed or put into JSON', () => {
    const shown = inspect({ fleet, tenant }, { depth: 20, maxStringLength: null }) + JSON.stringify({ fleet, tenant });
    expect(shown).toContain('[secret]');
    for (const text of [...allSecretTexts(fleet), ...allSecretTexts(tenant)]) expect(shown).not.toContain(text);
  });

  test('are all found by the search list: passwords, verifiers, and keys whole and by line', () => {
    const texts = allSecretTexts(tenant);
    // Two CAs, three certificates on each of three members, three clients, the front door: a key is its text and some of its lines.
    expect(texts.filter((text) => text.startsWith('-----BEGIN'))).toHaveLength(15);
    expect(texts).toContain(tenant.passwords.app.password.reveal());
    expect(texts).toContain(tenant.probeScram.reveal());
    const [, first, second] = tenant.sqlCa.keyPem.reveal().split('\n');
    expect(texts).toEqual(expect.arrayContaining([first, second]));
    expect(texts.every((text) => text.length >= 24)).toBe(true);
  });
});
