// Everything that the checks judge, gathered side by side: two looks a host, one at etcd, one at each tenant. What cannot be asked is a
// fact too.

import { toPgsError } from '../errors.js';
import { dcsAccess } from '../etcd/access.js';
import { gatherCertificateEnds } from '../etcd/certificates.js';
import { lookAtDcs, type Dcs } from '../etcd/client.js';
import { quorumOf } from '../etcd/facts.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { drillLockable } from '../drills/store.js';
import type { HostAccess } from '../host/command.js';
import { packagesFor, supportedReleases } from '../host/packages.js';
import { gatherPrograms, type ProgramFacts } from '../host/programs.js';
import { readTemplate } from '../host/template.js';
import type { Inventory } from '../inventory/inventory.js';
import { binDir, patroniUnit } from '../patroni/desired.js';
import { poolerUnit } from '../pgbouncer/desired.js';
import { judgeCertificates } from '../reconcile/certificates.js';
import { withCluster } from '../reconcile/cluster.js';
import { lookAtCluster } from '../reconcile/gather-status.js';
import type { Session } from '../reconcile/session.js';
import { parseHolder } from '../state/holder.js';
import { stateKeys } from '../state/store.js';
import { pathsOf, osUserOf, poolerPort, portsOf } from '../topology/cluster.js';
import type { TenantRecord } from '../topology/tenant.js';
import type { DoctorFacts, EtcdFacts, TenantFacts } from './finding.js';
import { foreignKeys } from './foreign-keys.js';
import { parseHostLook } from './host-facts.js';

const lookTimeoutMs = 30_000;

/**
 * @param tenant null: all of them
 * @throws PgsError `usage` when there is no tenant of that name
 */
export async function gatherDoctor(session: Session, tenant: string | null): Promise<DoctorFacts> {
  const { inventory } = session;
  const { records, why } = await readRecords(session);
  const meant = records.filter(({ spec }) => tenant === null || spec.tenant === tenant);
  // Says which tenants there are.
  if (tenant !== null && why === null && meant.length === 0)
    await withCluster(session, tenant, () => Promise.resolve());
  const alive = records.filter(({ phase }) => phase !== 'retired');
  const [hosts, programs, looks, etcd, drill] = await Promise.all([
    eachHost(inventory, (name) => lookAtHost(session.hosts.get(name), inventory, alive)),
    eachHost(inventory, (name) => lookAtPrograms(session.hosts.get(name), inventory)),
    Promise.all(meant.filter(({ phase }) => phase !== 'retired').map(({ spec }) => lookAtTenant(session, spec.tenant))),
    lookAtEtcd(session),
    why === null ? session.dcs().then((dcs) => holderOf(dcs, drillLockable.key)) : null,
  ]);
  const opened = looks.flatMap((look) => ('why' in look ? [] : [look]));
  const inTenants = opened.flatMap((look) => look.foreign);
  const tenants = records.map(({ spec }) => spec.tenant);
  return {
    fleet: inventory,
    now: new Date(),
    hosts,
    programs,
    etcd: { ...etcd.facts, foreignKeys: etcd.keys && why === null ? foreignKeys(etcd.keys, tenants, inTenants) : null },
    tenants: opened.map(({ facts }) => facts),
    unopened: [...(why === null ? [] : [{ tenant, why }]), ...looks.flatMap((look) => ('why' in look ? [look] : []))],
    drill,
  };
}

async function readRecords(session: Session): Promise<{ records: TenantRecord[]; why: string | null }> {
  try {
    const found = await (await session.store()).listTenants();
    return { records: found.map(({ record }) => record), why: null };
  } catch (thrown) {
    return { records: [], why: toPgsError(thrown, 'reading the tenants').message };
  }
}

async function eachHost<T>(inventory: Inventory, look: (name: string) => Promise<T>): Promise<Record<string, T>> {
  const asked = inventory.hosts.map(async ({ name }) => [name, await look(name)] as const);
  return Object.fromEntries(await Promise.all(asked));
}

/** What the script is told: the tenants that have a member on the host, and units that should be there. */
function questionFor(host: string, inventory: Inventory, records: TenantRecord[]): string {
  const here = records.filter(({ allocation }) => allocation.members.some((m) => m.host === host));
  const about = here.map(({ spec: { tenant, postgres, pool }, allocation }) => {
    const [paths, ports] = [pathsOf(tenant), portsOf(allocation.slot, inventory.ports)];
    return {
      tenant,
      user: osUserOf(tenant),
      data: paths.data,
      run: paths.run,
      bin: binDir(postgres),
      port: ports.postgres,
      pooler: poolerPort(ports, 'primary'),
      pooled: pool !== 'off',
      unit: patroniUnit(tenant),
    };
  });
  const units = here.flatMap(({ spec: { tenant, pool } }) => [
    patroniUnit(tenant),
    ...(pool === 'off' ? [] : [poolerUnit(tenant, 'primary'), poolerUnit(tenant, 'replica')]),
  ]);
  return JSON.stringify({ tenants: about, units, sql: readTemplate('doctor/member.sql') });
}

async function lookAtHost(
  access: HostAccess,
  inventory: Inventory,
  records: TenantRecord[],
): Promise<DoctorFacts['hosts'][string]> {
  const atMs = Date.now();
  try {
    const { code, stdout, stderr } = await access.run({
      argv: ['python3', '-I', '-c', readTemplate('doctor/look.py')],
      stdin: questionFor(access.name, inventory, records),
      timeoutMs: lookTimeoutMs,
    });
    const asked = { atMs, answeredAtMs: Date.now() };
    if (code === 0) return { reachable: true, ...parseHostLook(stdout, asked) };
    return {
      reachable: false,
      why: `looking at it ended with code ${code}: ${stderr.trim().split('\n').at(-1) ?? ''}`,
    };
  } catch (thrown) {
    return { reachable: false, why: toPgsError(thrown, 'looking at the host').details.found };
  }
}

async function lookAtPrograms(access: HostAccess, inventory: Inventory): Promise<ProgramFacts | null> {
  const packages = [...new Set(supportedReleases.flatMap((release) => packagesFor(inventory, release).hold))];
  return gatherPrograms(access, packages, 'installed').catch(() => null);
}

type TenantLook = { facts: TenantFacts; foreign: string[] } | { tenant: string; why: string };

async function lookAtTenant(session: Session, tenant: string): Promise<TenantLook> {
  try {
    return await withCluster(session, tenant, async (open) => {
      const dcs = await session.dcs();
      const [{ status, plan, facts }, keys, changing] = await Promise.all([
        lookAtCluster(session, open),
        readTenantKeys(dcs, tenant),
        holderOf(dcs, stateKeys.lock(tenant)),
      ]);
      const { record, cluster } = open;
      return {
        foreign: keys.foreign,
        facts: {
          cluster,
          phase: record.phase,
          job: record.job ?? null,
          status,
          plan,
          patroni: facts.patroni,
          settings: keys.settings,
          initialize: keys.initialize,
          certificates: judgeCertificates(open, session.fleetSecrets, new Date()),
          changing,
        },
      };
    });
  } catch (thrown) {
    return { tenant, why: toPgsError(thrown, `looking at ${tenant}`).message };
  }
}

async function holderOf(dcs: Dcs, key: string): Promise<string | null> {
  const found = await dcs.get(key).catch(() => null);
  if (!found) return null;
  const holder = parseHolder(found.value);
  return holder ? `${holder.operator} on ${holder.host} with ${holder.command}` : 'somebody';
}

/** Members are asked whether there is a quorum or not; the rest needs one. */
async function lookAtEtcd({
  inventory,
  fleetSecrets,
}: Session): Promise<{ facts: Omit<EtcdFacts, 'foreignKeys'>; keys: string[] | null }> {
  const dcs = await lookAtDcs(inventory, fleetSecrets, 'being-set-up');
  try {
    const [members, certificates] = await Promise.all([
      dcs.maintenance.statuses(),
      dcsAccess(inventory, fleetSecrets).then(gatherCertificateEnds),
    ]);
    const blind = { members, certificates, memberNames: null, authentication: 'unknown' as const };
    if (quorumOf(members).state === 'lost') return { facts: blind, keys: null };
    const [memberNames, enabled, keys] = await Promise.all([
      dcs.maintenance.memberNames().catch(() => null),
      dcs.logins.enabled().catch(() => null),
      dcs.getPrefix('/pgs/').catch(() => null),
    ]);
    const authentication = enabled === null ? ('unknown' as const) : enabled ? ('on' as const) : ('off' as const);
    return { facts: { ...blind, memberNames, authentication }, keys: keys?.map(({ key }) => key) ?? null };
  } finally {
    dcs.close();
  }
}
