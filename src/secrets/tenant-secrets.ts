// The secrets of one tenant: its CAs, certificates and passwords. Made once at create, completed when members or hosts
// change, stored sealed in etcd.

import { z } from 'zod';
import type { Host, Inventory } from '../inventory/inventory.js';
import type { CertificateRequest } from '../pki/authority.js';
import { poolerRole } from '../topology/accounts.js';
import { serviceHost, serviceNames } from '../topology/cluster.js';
import type { FleetKey } from './fleet-key.js';
import type { FleetSecrets } from './fleet-secrets.js';
import { generatePassword, scramVerifier } from './password.js';
import { keepOrIssue } from './renewal.js';
import { rotationShape } from './rotation.js';
import { seal, unseal } from './seal.js';
import { authorityShape, credentialShape, decodeSecrets, encodeSecrets, issuedShape, secretText } from './shape.js';

const memberShape = z.strictObject({
  /** Patroni's REST API; both usages, because Patroni calls the other members with it. */
  rest: issuedShape,
  /** PostgreSQL. */
  sql: issuedShape,
  /** Patroni as a client of etcd. From the fleet's CA, no CN. */
  etcd: issuedShape,
});

const tenantSecretsShape = z.strictObject({
  restCa: authorityShape,
  sqlCa: authorityShape,
  passwords: z.strictObject({
    rest: credentialShape,
    /** User `pgs-<tenant>`. */
    etcd: credentialShape,
    replication: credentialShape,
    rewind: credentialShape,
    probe: credentialShape,
    app: credentialShape,
  }),
  appScram: secretText,
  probeScram: secretText,
  /** By host name, of the members and nobody else. */
  certificates: z.record(z.string(), memberShape),
  /** HAProxy as a client of the members' REST API, on every host. */
  restChecks: issuedShape,
  /** pgs itself as a client of the members' REST API. */
  restOperator: issuedShape,
  /** The poolers as clients of PostgreSQL; the CN is `poolerName`. */
  pooler: issuedShape,
  /** Shown at the front door of every host, where TLS ends there. */
  door: issuedShape,
  /** Absent: the name of their role. */
  poolerName: z.string().optional(),
  /** Verifiers of roles that a rotation made; those that came with the cluster are Patroni's own. */
  replicationScram: secretText.optional(),
  rewindScram: secretText.optional(),
  /** Generated passwords of the roles in the tenant's file, by name. */
  roles: z.record(z.string(), z.strictObject({ password: secretText, scram: secretText })).optional(),
  /** Absent: nothing is being replaced. */
  rotation: rotationShape.optional(),
});
/** What was stored before there were poolers, or a front door, lacks theirs; `ensureTenantSecrets` completes it. */
const storedShape = tenantSecretsShape.partial({ pooler: true, door: true });

export type TenantSecrets = z.output<typeof tenantSecretsShape>;
export type StoredTenantSecrets = z.output<typeof storedShape>;
export type MemberCertificates = z.output<typeof memberShape>;

/**
 * The secrets with everything that the members on `memberHosts` need; the same object if nothing was missing. A
 * certificate is replaced if it ends within 30 days or its names are no longer right, everything else is kept.
 */
export async function ensureTenantSecrets(
  tenant: string,
  memberHosts: Host[],
  inventory: Pick<Inventory, 'domain' | 'hosts'>,
  fleetSecrets: Pick<FleetSecrets, 'etcdClientCa'>,
  existing: StoredTenantSecrets | null,
  now: Date,
): Promise<TenantSecrets> {
  const base = existing ?? (await newTenantSecrets(tenant, now));
  const certificates: TenantSecrets['certificates'] = {};
  for (const host of memberHosts) {
    const old = base.certificates[host.name];
    const issued: MemberCertificates = {
      rest: await keepOrIssue(old?.rest, base.restCa, restRequest(tenant, host), now),
      sql: await keepOrIssue(old?.sql, base.sqlCa, sqlRequest(tenant, inventory), now),
      etcd: await keepOrIssue(old?.etcd, fleetSecrets.etcdClientCa, etcdRequest(tenant), now),
    };
    certificates[host.name] = old !== undefined && isSame(old, issued) ? old : issued;
  }
  const clients = {
    restChecks: await keepOrIssue(base.restChecks, base.restCa, clientRequest(tenant, 'haproxy'), now),
    restOperator: await keepOrIssue(base.restOperator, base.restCa, clientRequest(tenant, 'operator'), now),
    pooler: await keepOrIssue(base.pooler, base.sqlCa, clientRequest(tenant, base.poolerName ?? poolerRole), now),
    door: await keepOrIssue(base.door, base.sqlCa, doorRequest(tenant, inventory), now),
  };
  // Compared first, so that an unchanged map of certificates stays the same object as well.
  const kept = isSame(base.certificates, certificates) ? base.certificates : certificates;
  const complete: TenantSecrets = { ...base, ...clients, certificates: kept };
  return existing && isSame<StoredTenantSecrets>(existing, complete) ? (existing as TenantSecrets) : complete;
}

/** The secrets with the members' REST certificates made anew: that a member shows its new one tells that it has read everything again. */
export async function reissueRest(
  tenant: string,
  memberHosts: Host[],
  secrets: TenantSecrets,
  now: Date,
): Promise<TenantSecrets> {
  const certificates: TenantSecrets['certificates'] = {};
  for (const host of memberHosts) {
    const old = secrets.certificates[host.name];
    const rest = await keepOrIssue(undefined, secrets.restCa, restRequest(tenant, host), now);
    if (old) certificates[host.name] = { ...old, rest };
  }
  return { ...secrets, certificates };
}

/** The secrets with every certificate of the tenant made anew, by the CAs that it has. */
export async function reissueAll(
  tenant: string,
  memberHosts: Host[],
  inventory: Pick<Inventory, 'domain' | 'hosts'>,
  fleetSecrets: Pick<FleetSecrets, 'etcdClientCa'>,
  secrets: TenantSecrets,
  now: Date,
): Promise<TenantSecrets> {
  const client = (ca: TenantSecrets['restCa'], name: string) =>
    keepOrIssue(undefined, ca, clientRequest(tenant, name), now);
  const anew = {
    ...secrets,
    certificates: {},
    restChecks: await client(secrets.restCa, 'haproxy'),
    restOperator: await client(secrets.restCa, 'operator'),
    pooler: await client(secrets.sqlCa, secrets.poolerName ?? poolerRole),
    door: await keepOrIssue(undefined, secrets.sqlCa, doorRequest(tenant, inventory), now),
  };
  return ensureTenantSecrets(tenant, memberHosts, inventory, fleetSecrets, anew, now);
}

export function sealTenantSecrets(key: FleetKey, tenant: string, secrets: TenantSecrets): string {
  return seal(key, encodeSecrets(tenantSecretsShape, secrets), contextOf(tenant));
}

/** @throws PgsError `configuration` if the key is wrong, or the text was changed or is another tenant's */
export function unsealTenantSecrets(key: FleetKey, tenant: string, sealed: string): StoredTenantSecrets {
  return decodeSecrets(storedShape, unseal(key, sealed, contextOf(tenant)), `of tenant ${tenant}`);
}

function contextOf(tenant: string): string {
  return `tenants/${tenant}`;
}

/** `ensureTenantSecrets` adds what depends on the hosts. */
async function newTenantSecrets(tenant: string, now: Date): Promise<StoredTenantSecrets> {
  const { createAuthority, issueCertificate } = await import('../pki/authority.js');
  const restCa = await createAuthority(`${tenant} rest`, undefined, now);
  const login = (user: string) => ({ user, password: generatePassword() });
  const [app, probe] = [login('app'), login('pgs_probe')];
  const sqlCa = await createAuthority(`${tenant} sql`, undefined, now);
  return {
    restCa,
    sqlCa,
    passwords: {
      rest: login('pgs'),
      etcd: login(`pgs-${tenant}`),
      replication: login('pgs_replication'),
      rewind: login('pgs_rewind'),
      probe,
      app,
    },
    appScram: scramVerifier(app.password),
    probeScram: scramVerifier(probe.password),
    certificates: {},
    restChecks: await issueCertificate(restCa, clientRequest(tenant, 'haproxy'), now),
    restOperator: await issueCertificate(restCa, clientRequest(tenant, 'operator'), now),
    pooler: await issueCertificate(sqlCa, clientRequest(tenant, poolerRole), now),
  };
}

function restRequest(tenant: string, host: Host): CertificateRequest {
  return {
    subject: { organization: 'pgs', unit: tenant, commonName: host.name },
    dnsNames: [host.name, 'localhost'],
    ipAddresses: [host.address, '127.0.0.1'],
    usages: ['server', 'client'],
  };
}

/** Any host of the fleet is an entry to any tenant, so the names of all of them are in the certificate of each member. */
function sqlRequest(tenant: string, { domain, hosts }: Pick<Inventory, 'domain' | 'hosts'>): CertificateRequest {
  const request = doorRequest(tenant, { domain });
  return {
    ...request,
    dnsNames: [...request.dnsNames, ...hosts.map((host) => host.name), 'localhost'],
    ipAddresses: hosts.map((host) => host.address),
  };
}

/** At the front door a tenant is reached by its names only. */
function doorRequest(tenant: string, { domain }: Pick<Inventory, 'domain'>): CertificateRequest {
  return {
    subject: { organization: 'pgs', unit: tenant, commonName: null },
    dnsNames: serviceNames.map((service) => serviceHost(tenant, service, domain)),
    ipAddresses: [],
    usages: ['server'],
  };
}

/** No CN: etcd would take it as the login and ask for no password. */
function etcdRequest(tenant: string): CertificateRequest {
  return {
    subject: { organization: 'pgs', unit: tenant, commonName: null },
    dnsNames: [],
    ipAddresses: [],
    usages: ['client'],
  };
}

function clientRequest(tenant: string, commonName: string): CertificateRequest {
  return {
    subject: { organization: 'pgs', unit: tenant, commonName },
    dnsNames: [],
    ipAddresses: [],
    usages: ['client'],
  };
}

/** Same keys, and the very same values. */
function isSame<T extends object>(a: T, b: T): boolean {
  const keys = Object.keys(b) as (keyof T)[];
  return keys.length === Object.keys(a).length && keys.every((key) => a[key] === b[key]);
}
