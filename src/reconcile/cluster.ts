// One tenant's cluster at the edge: its record and secrets from the DCS, and everything that is found of it.

import { desiredDoor, type DoorCertificates } from '../../haproxy/desired-door.js';
import { absentRouting, desiredHaproxy, routingByEntry } from '../../haproxy/desired.js';
import { PgsError } from '../errors.js';
import { tenantAccessFacts, readTenantKeys } from '../etcd/tenants.js';
import { dcsAccess } from '../etcd/access.js';
import { giveAgain } from '../drills/daemon-secrets.js';
import type { HostFacts } from '../host/facts.js';
import { gatherHostFacts, mergeWanted, wantedFor } from '../host/gather.js';
import { desiredLimits } from '../host/limits.js';
import type { Resource } from '../host/resource.js';
import type { PatroniClient } from '../patroni/client.js';
import type { DcsEndpoints } from '../patroni/desired.js';
import { findLeader, type PatroniFacts } from '../patroni/facts.js';
import { gatherObjects, gatherSqlFacts } from '../postgres/client.js';
import { generatedRoles } from '../postgres/desired-objects.js';
import { listExtensions, parseExtensions, wantedExtensions, type ExtensionFacts } from '../postgres/extensions.js';
import type { SqlFacts } from '../postgres/desired.js';
import { ensureRoleSecrets } from '../secrets/role-secrets.js';
import { loginsOf } from '../secrets/rotation.js';
import {
  ensureTenantSecrets,
  sealTenantSecrets,
  unsealTenantSecrets,
  type StoredTenantSecrets,
  type TenantSecrets,
} from '../secrets/tenant-secrets.js';
import type { TenantLock } from '../state/lock.js';
import { layOutCluster, type Cluster } from '../topology/cluster.js';
import type { TenantRecord } from '../topology/tenant.js';
import { readGivenCertificate } from './given-certificate.js';
import { absentMember, desiredMember } from './member.js';
import { askedDatabases, hasObjects } from './plan-objects.js';
import type { ClusterFacts } from './plan-cluster.js';
import type { Session } from './session.js';

export interface OpenCluster {
  record: TenantRecord;
  cluster: Cluster;
  secrets: TenantSecrets;
  /** Secrets were completed or certificates renewed, and are not stored yet. */
  secretsChanged: boolean;
  dcs: DcsEndpoints;
  door: DoorCertificates;
  patroni: PatroniClient;
}

/**
 * A tenant that is in the DCS, with secrets for every member: what is missing is generated but not stored (`storeSecrets` does).
 * @throws PgsError `usage` when there is none of that name
 */
export async function openCluster(session: Session, tenant: string): Promise<OpenCluster> {
  const store = await session.store();
  const stored = await store.getTenant(tenant);
  if (!stored || stored.record.phase === 'retired') throw await noSuchTenant(session, tenant);
  return assembleCluster(session, stored.record, stored.sealedSecrets);
}

/** The same from a record that need not be stored, as a dry run has it. */
export async function assembleCluster(
  session: Session,
  record: TenantRecord,
  sealed: string | null,
): Promise<OpenCluster> {
  const { inventory, fleetKey, fleetSecrets } = session;
  const { tenant } = record.spec;
  const cluster = layOutCluster(record, inventory);
  const known = sealed === null ? null : unsealTenantSecrets(fleetKey, tenant, sealed);
  const hosts = cluster.members.map((m) => m.host);
  const secrets =
    session.rights === 'daemon'
      ? givenSecrets(tenant, known)
      : ensureRoleSecrets(
          await ensureTenantSecrets(tenant, hosts, inventory, fleetSecrets, known, new Date()),
          generatedRoles(record.spec),
        );
  return {
    record,
    cluster,
    secrets,
    secretsChanged: session.rights === 'operator' && secrets !== known,
    dcs: await dcsEndpoints(session),
    door: { nobody: fleetSecrets.door ?? secrets.door, given: await readGivenCertificate(cluster) },
    patroni: session.patroni(cluster, secrets),
  };
}

/** A daemon completes nothing: it has what it was given. */
function givenSecrets(tenant: string, known: StoredTenantSecrets | null): TenantSecrets {
  const { pooler, door = pooler } = known ?? {};
  if (known && pooler && door) return { ...known, pooler, door };
  throw new PgsError('configuration', {
    doing: `opening the secrets of ${tenant}`,
    found: 'the daemon was given none of this tenant',
    hint: 'Run `pgs daemon grant` where the fleet key is: it gives those of all tenants that have a schedule.',
  });
}

/** Opens a tenant for `work`, and closes it whatever comes of that. @throws PgsError as `openCluster` */
export async function withCluster<T>(
  session: Session,
  tenant: string,
  work: (open: OpenCluster) => Promise<T>,
): Promise<T> {
  const open = await openCluster(session, tenant);
  try {
    return await work(open);
  } finally {
    open.patroni.close();
  }
}

async function noSuchTenant(session: Session, tenant: string): Promise<PgsError> {
  const names = (await (await session.store()).listTenants())
    .filter((t) => t.record.phase !== 'retired')
    .map((t) => t.record.spec.tenant);
  return new PgsError('usage', {
    doing: `looking for tenant ${tenant}`,
    found:
      names.length > 0
        ? `there is none of that name; the fleet has ${names.join(', ')}`
        : 'the fleet has no tenants yet',
    hint: `Make it with \`pgs cluster create ${tenant}\`.`,
  });
}

async function dcsEndpoints({ inventory, fleetSecrets }: Session): Promise<DcsEndpoints> {
  const access = await dcsAccess(inventory, fleetSecrets);
  return {
    hosts: access.endpoints.map((e) => e.url.replace('https://', '')),
    caPem: access.caPem,
    clientCertificate: inventory.etcd.kind === 'fleet',
  };
}

export async function storeSecrets(session: Session, open: OpenCluster, lock: TenantLock): Promise<void> {
  if (!open.secretsChanged) return;
  const store = await session.store();
  await store.putSecrets(
    open.cluster.tenant,
    sealTenantSecrets(session.fleetKey, open.cluster.tenant, open.secrets),
    lock,
  );
  await giveAgain(await session.dcs(), session.fleetKey, open.cluster.tenant);
  open.secretsChanged = false;
}

/** Everything that a plan for the cluster compares. Hosts that cannot be reached are unknown. */
export async function gatherCluster(session: Session, open: OpenCluster): Promise<ClusterFacts> {
  const { cluster, patroni } = open;
  const dcs = await session.dcs();
  const members = patroni.gather();
  const goers = cluster.leaving.map(async (m) => [m.name, await patroni.member(m)] as const);
  const [hosts, patroniFacts, sql, inside, access, keys, leaving] = await Promise.all([
    gatherHosts(session, open),
    members,
    members.then((facts) => gatherSql(session, open, facts)),
    members.then((facts) => gatherInside(session, open, facts)),
    tenantAccessFacts(
      dcs,
      cluster.tenant,
      undefined,
      loginsOf(open.secrets, 'etcd').map(({ user }) => user),
    ),
    readTenantKeys(dcs, cluster.tenant),
    Promise.all(goers),
  ]);
  const leader = findLeader(patroniFacts)?.name;
  return {
    hosts,
    dcsAccess: access,
    dcsKeys: keys.present,
    foreignKeys: keys.foreign,
    settings: keys.settings,
    patroni: patroniFacts,
    ...(leaving.length > 0 ? { leaving: Object.fromEntries(leaving) } : {}),
    ...inside,
    sql: sql[leader ?? ''] ?? null,
    parameters: Object.fromEntries(Object.entries(sql).map(([name, found]) => [name, found?.parameters ?? null])),
  };
}

/** By member; null for one whose PostgreSQL does not serve or does not answer. */
export async function gatherSql(
  session: Session,
  { cluster }: OpenCluster,
  { members }: PatroniFacts,
): Promise<Record<string, SqlFacts | null>> {
  const asked = cluster.members.map(async ({ name, host }) => {
    const fact = members[name];
    const serves = fact?.reachable && fact.role !== 'other';
    return [name, serves ? await gatherSqlFacts(session.hosts.get(host.name), cluster) : null] as const;
  });
  return Object.fromEntries(await Promise.all(asked));
}

/** What a file may be about; nothing is asked for a tenant whose file never was. */
async function gatherInside(
  session: Session,
  { cluster, record: { left } }: OpenCluster,
  patroni: PatroniFacts,
): Promise<Pick<ClusterFacts, 'objects' | 'extensions'>> {
  if (!hasObjects(cluster.spec, left)) return {};
  const leader = cluster.members.find(({ name }) => name === findLeader(patroni)?.name);
  const wantsExtensions = wantedExtensions(cluster.spec).length > 0;
  const [objects, extensions] = await Promise.all([
    leader ? gatherObjects(session.hosts.get(leader.host.name), cluster, askedDatabases(cluster.spec, left)) : null,
    wantsExtensions ? gatherExtensions(session, cluster) : undefined,
  ]);
  return { objects, ...(extensions ? { extensions } : {}) };
}

/** Names of the extensions that can be made, by member's host; null for one that does not answer. */
export async function gatherExtensions(session: Session, { members, spec }: Cluster): Promise<ExtensionFacts> {
  const asked = members.map(async ({ host }) => {
    const result = await session.hosts
      .get(host.name)
      .run(listExtensions(spec.postgres))
      .catch(() => null);
    return [host.name, result?.code === 0 ? parseExtensions(result.stdout) : null] as const;
  });
  return Object.fromEntries(await Promise.all(asked));
}

/** A member left it, or is about to. */
function mayHoldSomething({ leaving, allocation }: Cluster, host: string): boolean {
  return leaving.some((m) => m.host.name === host) || (allocation.keptOn ?? []).includes(host);
}

async function gatherHosts(
  session: Session,
  { cluster, secrets, dcs, door }: OpenCluster,
): Promise<Record<string, HostFacts>> {
  const routingOn = routingByEntry(cluster, secrets, door);
  const entries = cluster.entries.map(async (entry) => {
    const member = cluster.members.find((m) => m.host.name === entry.name);
    const resources: Resource[] = [
      ...desiredHaproxy(entry),
      ...desiredDoor(cluster, entry, door),
      ...routingOn(entry),
      ...absentRouting(cluster.tenant),
      ...(member ? [...desiredMember(cluster, member, secrets, dcs), ...desiredLimits(cluster.spec)] : []),
      ...(member || mayHoldSomething(cluster, entry.name) ? absentMember(cluster, true) : []),
    ];
    return [
      entry.name,
      await gatherHostFacts(session.hosts.get(entry.name), mergeWanted([wantedFor(resources)])),
    ] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}
