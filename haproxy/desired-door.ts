// The front door of an entry host: one port for all tenants, who are told apart by the name in the TLS handshake. It leads into the
// backends of a tenant's services (desired.ts), which it shares with their own ports.

import type { FileResource, Resource } from '../src/host/resource.js';
import { readTemplate, renderTemplate } from '../src/host/template.js';
import type { Host } from '../src/inventory/inventory.js';
import type { Issued } from '../src/pki/authority.js';
import { rememberedFor } from '../src/remembered.js';
import { sqlTrust } from '../src/secrets/rotation.js';
import { Secret } from '../src/secrets/secret.js';
import type { TenantSecrets } from '../src/secrets/tenant-secrets.js';
import { accessMap } from '../src/topology/access.js';
import { givenCertificate, pooledServices, serviceHost, serviceNames, type Cluster } from '../src/topology/cluster.js';
import { holdLimitMs, type RtoPreset } from '../src/topology/presets.js';
import { configDir, globalFile, own, runDir, tenantFile, tlsDir } from './places.js';

// Among the configuration, of which HAProxy reads only *.cfg: so the unit's stamp covers them as well (templates/stamp.sh).
const script = `${configDir}/door.lua`;
const doorFile = `${configDir}/01-door.cfg`;
const nobodyCertificate = `${tlsDir}/door.pem`;

/** From the first byte of a connection until it is known whose it is, or until somebody who is refused knows it. */
export const doorLimitMs = 10_000;

/** The same where TLS ends here and a server is waited for: at most as long as PostgreSQL itself gives a client to log in. */
export function endedLimitMs(rto: RtoPreset): number {
  return Math.min(holdLimitMs(rto) + 5000, 60_000);
}

/** PostgreSQL that takes TLS without being asked for it first; no PgBouncer before 1.25 does. */
const directTlsSince = 17;

export function tenantDoorFile(tenant: string): string {
  return `${configDir}/door-${tenant}.cfg`;
}

export function accessFile(tenant: string): string {
  return `${configDir}/access-${tenant}.map`;
}

export interface DoorCertificates {
  /** Shown to who names no tenant. */
  nobody: Issued;
  /** The operator's own for the tenant; null: that of the tenant's CA. */
  given: Issued | null;
}

/** By the certificate that is shown to nobody's clients, then by what differs between hosts. */
const doorsOf = rememberedFor<Issued, Map<string, Resource[]>>(() => new Map());

/** What all tenants of the host share, made once. */
export function desiredDoor(
  { domain, door: { port } }: Pick<Cluster, 'domain' | 'door'>,
  { address }: Host,
  { nobody }: DoorCertificates,
): Resource[] {
  const known = doorsOf(nobody);
  const key = `${domain} ${port} ${address}`;
  const made = known.get(key) ?? doorOn(domain, port, address, nobody);
  known.set(key, made);
  return made;
}

function doorOn(domain: string, port: number, address: string, nobody: Issued): Resource[] {
  const content = renderTemplate('haproxy/door.cfg.eta', {
    domain,
    script,
    // Never one socket for both families: a client's IPv4 address would come as an IPv6 one, and match no list.
    binds: [`*:${port}`, ...(address.includes(':') ? [`:::${port} v6only`] : [])],
    limitMs: doorLimitMs,
    nobody: `${runDir}/door-nobody.sock`,
    certificate: nobodyCertificate,
  });
  return [
    file(script, readTemplate('haproxy/door.lua')),
    file(nobodyCertificate, pairOf(nobody)),
    { ...file(doorFile, content), validate: [...check, '-f', globalFile, '-f', '{}'] },
  ];
}

/** A tenant's part of it. `stopped`: it says so to whoever comes, and leads nowhere. */
export function desiredTenantDoor(
  cluster: Cluster,
  secrets: TenantSecrets,
  { given }: Pick<DoorCertificates, 'given'>,
  state: 'running' | 'stopped',
): FileResource[] {
  const { tenant } = cluster;
  const paths = pathsOf(tenant);
  // The tenant's own file is beside it, or gone, by the time that HAProxy reads this.
  const beside = [globalFile, doorFile, ...(state === 'stopped' ? [] : [tenantFile(tenant)])];
  return [
    file(paths.certificate, pairOf(given ?? secrets.door)),
    file(paths.ca, sqlTrust(secrets)),
    file(accessFile(tenant), accessMap(cluster.spec.access)),
    {
      ...file(tenantDoorFile(tenant), renderTenantDoor(cluster, state)),
      validate: [...check, ...beside.flatMap((path) => ['-f', path]), '-f', '{}'],
    },
  ];
}

const check = ['/usr/sbin/haproxy', '-c', '-q'];

/** What must be gone with the tenant. */
export function absentTenantDoor(tenant: string): string[] {
  const { certificate, ca, sockets } = pathsOf(tenant);
  return [tenantDoorFile(tenant), accessFile(tenant), certificate, ca, ...Object.values(sockets)];
}

/** Files of the front door that HAProxy must have loaded for a tenant. */
export function doorLoads(tenant: string): string[] {
  const { certificate, ca } = pathsOf(tenant);
  return [script, doorFile, nobodyCertificate, tenantDoorFile(tenant), accessFile(tenant), certificate, ca];
}

export function renderTenantDoor(cluster: Cluster, state: 'running' | 'stopped'): string {
  const { tenant, spec, domain } = cluster;
  const { certificate, ca, sockets } = pathsOf(tenant);
  const limitMs = holdLimitMs(spec.rto);
  return renderTemplate('haproxy/tenant-door.cfg.eta', {
    tenant,
    stopped: state === 'stopped',
    sockets,
    certificate,
    ca,
    accessMap: accessFile(tenant),
    names: serviceNames.map((service) => [service, serviceHost(tenant, service, domain)]),
    pooled: spec.pool !== 'off',
    endsTls: endsTls(cluster),
    limitMs: doorLimitMs,
    endedLimitMs: endedLimitMs(spec.rto),
    hold: {
      inspectDelayMs: limitMs + 5000,
      leader: `lua.pgs_hold_leader ${limitMs} ${tenant}:leader`,
      any: `lua.pgs_hold_any ${limitMs} ${tenant}:replicas ${tenant}:leader`,
    },
  });
}

/** For whom TLS ends at the entry, as conditions: what a service's server cannot do is TLS at once. */
function endsTls(cluster: Cluster): string[] {
  const { spec } = cluster;
  // Nobody else has that certificate.
  if (givenCertificate(cluster) !== null) return ['!inner'];
  const pooled = spec.pool === 'off' ? [] : pooledServices;
  const services = spec.postgres < directTlsSince ? serviceNames : pooled;
  return services.map((service) => `first ${service}`);
}

function pathsOf(tenant: string) {
  const socket = (what: string) => `${runDir}/${tenant}.door${what}.sock`;
  return {
    certificate: `${tlsDir}/${tenant}-door.pem`,
    ca: `${tlsDir}/${tenant}-sql-ca.crt`,
    sockets: {
      asked: socket(''),
      first: socket('-first'),
      inner: socket('-inner'),
      ended: socket('-ended'),
      refused: socket('-refused'),
    },
  };
}

/** The certificate of the tenant's own CA with its key, where it lies unless the operator gave another one. */
export function doorPair(tenant: string, { door }: Pick<TenantSecrets, 'door'>): { path: string; content: Secret } {
  return { path: pathsOf(tenant).certificate, content: pairOf(door) };
}

function file(path: string, content: string | Secret): FileResource {
  return { kind: 'file', path, mode: '0600', ...own, content };
}

function pairOf({ certPem, keyPem }: Issued): Secret {
  return new Secret(`${certPem.trimEnd()}\n${keyPem.reveal()}`);
}
