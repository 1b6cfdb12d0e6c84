// Every certificate of a fleet and of its tenants: until when, on which host, and whether the process there has it. Pure but for the
// gathering at the end.

import { daysLeft, describeCertificate } from '../pki/certificate.js';
import { etcdTls } from '../etcd/desired.js';
import { hostPair, haproxyUnit } from '../../haproxy/desired.js';
import { doorPair } from '../../haproxy/desired-door.js';
import type { HostFacts } from '../host/facts.js';
import { gatherHostFacts, type WantedFacts } from '../host/gather.js';
import { contentHash } from '../host/resource-rules.js';
import { patroniUnit } from '../patroni/desired.js';
import { poolerUnit } from '../pgbouncer/desired.js';
import type { Inventory } from '../inventory/inventory.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import type { Secret } from '../secrets/secret.js';
import { renewalDays } from '../secrets/renewal.js';
import { givenCertificate, pooledServices } from '../topology/cluster.js';
import { openCluster, type OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** Where a certificate is, and who has to have it. */
export interface PlacedCertificate {
  what: string;
  /** Null: the fleet's own. */
  tenant: string | null;
  /** Null: with pgs, on no host. */
  host: string | null;
  certPem: string;
  /** `content` that the file has to have; `units` have it in force when they have loaded it, none: whoever reads the file has. */
  file: { path: string; content: string | Secret; units: string[] } | null;
}

/**
 * `in force`: the process on the host has it. `stored`: pgs has it, and the host an older one or none. `unknown`: the host could not be
 * looked at. `kept`: it belongs on no host.
 */
export type CertificateState = 'in force' | 'stored' | 'unknown' | 'kept';

export interface ListedCertificate {
  what: string;
  tenant: string | null;
  host: string | null;
  issuer: string;
  state: CertificateState;
  /** Of the one that is in force where that is another one and can be read, else of the stored one; ISO 8601. */
  ends: string;
  daysLeft: number;
  verdict: 'fine' | 'near' | 'ended';
}

export function judgePlaced(placed: PlacedCertificate, host: HostFacts | null, now: Date): ListedCertificate {
  const { what, tenant, certPem, file } = placed;
  const state = stateOf(file, host);
  const onHost = state === 'stored' && file && host?.reachable ? readable(host, file.path) : null;
  const pem = onHost ?? certPem;
  const days = daysLeft(pem, now);
  const { issuer, notAfter } = describeCertificate(pem);
  return {
    ...{ what, tenant, host: placed.host, state },
    issuer: /^CN=(.*)$/m.exec(issuer)?.[1] ?? issuer.replace('\n', ', '),
    ends: notAfter.toISOString(),
    daysLeft: days,
    verdict: days < 0 ? 'ended' : days < renewalDays ? 'near' : 'fine',
  };
}

function stateOf(file: PlacedCertificate['file'], host: HostFacts | null): CertificateState {
  if (!file) return 'kept';
  if (!host?.reachable) return 'unknown';
  const wanted = contentHash(file.content);
  const found = host.paths[file.path];
  if (found?.kind !== 'file' || found.sha256 !== wanted) return 'stored';
  return file.units.every((unit) => host.units[unit]?.loaded[file.path] === wanted) ? 'in force' : 'stored';
}

/** The certificate in a file of the host, if there is one that may be read. */
function readable(host: Extract<HostFacts, { reachable: true }>, path: string): string | null {
  const found = host.paths[path];
  const content = found?.kind === 'file' ? found.content : undefined;
  return content?.startsWith('-----BEGIN CERTIFICATE-----') ? content : null;
}

/** The fleet's own: etcd's, and that with which pgs reaches it. */
export function fleetCertificates(inventory: Inventory, secrets: FleetSecrets): PlacedCertificate[] {
  if (inventory.etcd.kind === 'external') return [];
  const kept = (what: string, certPem: string) => ({ what, certPem, tenant: null, host: null, file: null });
  const members = inventory.etcd.members.flatMap((host): PlacedCertificate[] => {
    const issued = secrets.hosts[host];
    const at = (what: string, name: string, certPem: string): PlacedCertificate => {
      // etcd reads its certificates again for every connection.
      return { what, tenant: null, host, certPem, file: { path: `${etcdTls}/${name}`, content: certPem, units: [] } };
    };
    if (!issued) return [];
    return [
      at('etcd to clients', 'server.crt', issued.etcdServer.certPem),
      at('etcd to its peers', 'peer.crt', issued.etcdPeer.certPem),
    ];
  });
  return [
    kept("CA of etcd's clients", secrets.etcdClientCa.certPem),
    kept("CA of etcd's peers", secrets.etcdPeerCa.certPem),
    kept('pgs to etcd', secrets.operatorEtcdClient.certPem),
    ...members,
  ];
}

export function tenantCertificates({
  cluster,
  secrets,
}: Pick<OpenCluster, 'cluster' | 'secrets'>): PlacedCertificate[] {
  const { tenant, paths } = cluster;
  const kept = (what: string, certPem: string) => ({ what, certPem, tenant, host: null, file: null });
  const patroni = patroniUnit(tenant);
  const poolers = cluster.spec.pool === 'off' ? [] : pooledServices.map((service) => poolerUnit(tenant, service));
  const members = cluster.members.flatMap(({ host: { name: host } }): PlacedCertificate[] => {
    const issued = secrets.certificates[host]!;
    const at = (what: string, name: string, certPem: string, units: string[]): PlacedCertificate => {
      return { what, tenant, host, certPem, file: { path: `${paths.tls}/${name}`, content: certPem, units } };
    };
    return [
      at('Patroni REST', 'rest.crt', issued.rest.certPem, [patroni]),
      at('PostgreSQL', 'sql.crt', issued.sql.certPem, [patroni, ...poolers]),
      at('Patroni to etcd', 'etcd.crt', issued.etcd.certPem, [patroni]),
      ...(poolers.length > 0 ? [at('poolers to PostgreSQL', 'pooler.crt', secrets.pooler.certPem, poolers)] : []),
    ];
  });
  const checks = cluster.entries.map(({ name: host }): PlacedCertificate => ({
    ...{ what: 'HAProxy to Patroni REST', tenant, host, certPem: secrets.restChecks.certPem },
    file: { ...hostPair(tenant, secrets), units: [haproxyUnit] },
  }));
  const doors = cluster.entries.map(({ name: host }): PlacedCertificate => ({
    ...{ what: 'front door', tenant, host, certPem: secrets.door.certPem },
    file: givenCertificate(cluster) ? null : { ...doorPair(tenant, secrets), units: [haproxyUnit] },
  }));
  return [
    kept('CA of SQL', secrets.sqlCa.certPem),
    kept('CA of Patroni REST', secrets.restCa.certPem),
    kept('pgs to Patroni REST', secrets.restOperator.certPem),
    ...members,
    ...checks,
    ...doors,
  ];
}

/**
 * All of the fleet, or of one tenant with what is the fleet's.
 * @param tenant null: all tenants; one whose removal was begun, or that is kept as data only, has none
 */
export async function listCertificates(
  session: Session,
  tenant: string | null,
  now: Date,
): Promise<ListedCertificate[]> {
  const placed = [
    ...fleetCertificates(session.inventory, session.fleetSecrets),
    ...(await tenantsOf(session, tenant)).flatMap(tenantCertificates),
  ];
  const hosts = await gatherPlaced(session, placed);
  return placed.map((one) => judgePlaced(one, one.host === null ? null : hosts[one.host]!, now));
}

async function tenantsOf(session: Session, tenant: string | null): Promise<OpenCluster[]> {
  const stored = tenant === null ? await (await session.store()).listTenants() : [];
  const alive = stored.filter(({ record: { phase } }) => phase !== 'retired' && phase !== 'destroying');
  const names = tenant === null ? alive.map(({ record }) => record.spec.tenant) : [tenant];
  const open = await Promise.all(names.map((name) => openCluster(session, name)));
  open.forEach(({ patroni }) => patroni.close());
  return open;
}

async function gatherPlaced(session: Session, placed: PlacedCertificate[]): Promise<Record<string, HostFacts>> {
  const hosts = [...new Set(placed.flatMap(({ host }) => host ?? []))];
  const looked = hosts.map(async (host) => {
    const files = placed.flatMap((one) => (one.host === host && one.file ? [one.file] : []));
    const wanted: WantedFacts = {
      users: [],
      paths: files.map(({ path, content }) => ({ path, public: typeof content === 'string' })),
      units: [...new Set(files.flatMap(({ units }) => units))],
    };
    return [host, await gatherHostFacts(session.hosts.get(host), wanted)] as const;
  });
  return Object.fromEntries(await Promise.all(looked));
}
