// `pgs update`: looks what the hosts' sources have, refuses before anything is changed where that cannot end well, and carries the plans
// out: what all tenants share under the locks of all of them, a tenant's own under its lock.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError, PgsErrors, toPgsError } from '../errors.js';
import { gatherPrograms } from '../host/programs.js';
import { refreshLists } from '../host/update-packages.js';
import { supportedReleases } from '../host/packages.js';
import { patroniUnit } from '../patroni/desired.js';
import { findLeader, lagBytes, streamingReplicas } from '../patroni/facts.js';
import { candidateLagBytesMax } from '../patroni/switchover.js';
import { longTransactions } from '../postgres/wal.js';
import { runSuperuserSql } from '../postgres/client.js';
import { acquireTenantLock } from '../state/lock.js';
import type { TenantRecord } from '../topology/tenant.js';
import { refuseNotReady, refusePaused, withTenantLock, type ChangeOptions } from './change.js';
import { gatherCluster, withCluster, type OpenCluster } from './cluster.js';
import { createEffects } from './effects.js';
import { executePlan } from './execute.js';
import { refuseOtherJob } from './job.js';
import { memberOf } from './leader-change.js';
import type { ClusterFacts } from './plan-cluster.js';
import {
  planSharedUpdate,
  planTenantUpdate,
  sharedPackages,
  targetVersions,
  tenantPackages,
  type HostPrograms,
} from './plan-update.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';
import { longTransactionS } from './switchover.js';
import { createSharedEffects } from './update-effects.js';

/** From a restart to streaming: as long as Patroni's slowest preset looks twice at its settings. */
const comingLimitMs = 60_000;

/** A plan shows what a host has now; nothing is stored or installed. @throws PgsError as `updateTenant` */
export async function planUpdate(session: Session, tenant: string): Promise<Plan> {
  return withCluster(session, tenant, async (open) => (await prepareTenant(session, open, tenant)).plan);
}

/**
 * @throws PgsError `unfit` when a package is not to be had on each host, `unreachable` when a host does not answer, `endangers` while a
 * member does not stream or transactions are open for long, and as `executePlan` for the host that does not come back
 */
export async function updateTenant(session: Session, tenant: string, options: ChangeOptions): Promise<Plan> {
  return withTenantLock(session, tenant, `update ${tenant}`, options.signal, (lock, signal) =>
    withCluster(session, tenant, async (open) => {
      if (open.record.phase === 'ready') await waitForComing(session, open, signal);
      const { plan, facts } = await prepareTenant(session, open, tenant);
      if (plan.steps.length > 0 && open.record.phase === 'ready') {
        refusePaused(tenant, plan, facts);
        refuseUnready(open, facts);
        if (plan.steps.some(({ action }) => action.kind === 'switchover') && !options.force) {
          await refuseLongTransactions(session, open, facts);
        }
      }
      options.onPlan?.(plan);
      const effects = createEffects(session, open, lock, options.force);
      await executePlan(plan, effects, { onEvent: options.onEvent, signal });
      return plan;
    }),
  );
}

async function prepareTenant(
  session: Session,
  open: OpenCluster,
  tenant: string,
): Promise<{ plan: Plan; facts: ClusterFacts }> {
  const { cluster, record } = open;
  const doing = `updating ${tenant}`;
  if (record.phase !== 'stopped') refuseNotReady(record.phase, tenant, doing);
  refuseOtherJob(record, doing);
  const packages = tenantPackages(cluster.spec.postgres);
  const hosts = cluster.members.map(({ host }) => host.name);
  const [facts, programs, tenants] = await Promise.all([
    gatherCluster(session, open),
    lookEverywhere(session, hosts, [...packages, 'etcd-server']),
    session.store().then((store) => store.listTenants()),
  ]);
  const plan = planTenantUpdate({
    cluster,
    facts,
    programs,
    targets: targetVersions(programs, packages),
    stopped: record.phase === 'stopped',
    neighbours: neighboursOf(tenants.map((t) => t.record).filter(({ spec }) => spec.tenant !== tenant)),
  });
  return { plan, facts };
}

function neighboursOf(records: TenantRecord[]): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const { spec, allocation, phase } of records) {
    if (phase === 'retired') continue;
    for (const { host } of allocation.members) (found[host] ??= []).push(spec.tenant);
  }
  return found;
}

/** Lists of packages are fetched first: what a host could have had is no answer. @throws PgsError of each host that cannot say */
async function lookEverywhere(session: Session, hosts: string[], packages: string[]): Promise<HostPrograms> {
  const errors: PgsError[] = [];
  const asked = hosts.map(async (name) => {
    const host = session.hosts.get(name);
    try {
      await refreshLists(host);
      return [[name, await gatherPrograms(host, packages, 'candidates')] as const];
    } catch (thrown) {
      errors.push(toPgsError(thrown, 'looking at the packages'));
      return [];
    }
  });
  const found = (await Promise.all(asked)).flat();
  if (errors.length > 1) throw new PgsErrors('looking at the packages', errors);
  if (errors[0]) throw errors[0];
  return Object.fromEntries(found);
}

/** A member that an update before this one has just restarted is given time to come back. One whose unit does not run is not waited for. */
async function waitForComing(session: Session, open: OpenCluster, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + comingLimitMs;
  for (;;) {
    const facts = await gatherCluster(session, open);
    const { fallen, leader } = fallenOf(open, facts);
    const waits = leader === null ? open.cluster.members.map((m) => m.name) : fallen;
    const coming = waits.every((name) => {
      const found = facts.hosts[memberOf(open, name).host.name];
      return (
        found?.reachable &&
        /^(active|activating|reloading)$/.test(found.units[patroniUnit(open.cluster.tenant)]?.active ?? '')
      );
    });
    if (waits.length === 0 || !coming || signal.aborted || performance.now() > deadlineMs) return;
    await sleep(500);
  }
}

function fallenOf({ cluster }: OpenCluster, { patroni }: ClusterFacts) {
  const leader = findLeader(patroni);
  const streaming = streamingReplicas(patroni);
  const fallen = cluster.members
    .map((m) => m.name)
    .filter((name) => name !== leader?.name && !streaming.includes(name));
  return { leader, streaming, fallen };
}

/** While a host is updated, all others have to serve. */
function refuseUnready(open: OpenCluster, facts: ClusterFacts): void {
  const { tenant } = open.cluster;
  const { patroni } = facts;
  const { leader, streaming, fallen } = fallenOf(open, facts);
  const behind = streaming.filter((name) => {
    const fact = patroni.members[name];
    return leader && fact?.reachable && (lagBytes(fact, leader.fact) ?? 0) > candidateLagBytesMax;
  });
  if (leader !== null && fallen.length === 0 && behind.length === 0) return;
  const found =
    leader === null
      ? 'no member leads'
      : fallen.length > 0
        ? `${fallen.join(', ')} ${fallen.length > 1 ? 'do' : 'does'} not stream`
        : `${behind.join(', ')} ${behind.length > 1 ? 'are' : 'is'} more than 16 MB behind`;
  throw new PgsError('endangers', {
    doing: `updating ${tenant}`,
    found,
    hint: `See what is wrong, and the command that mends it: \`pgs doctor ${tenant}\`. Then run the same command again; nothing was changed by this one.`,
  });
}

async function refuseLongTransactions(session: Session, open: OpenCluster, { patroni }: ClusterFacts): Promise<void> {
  const { cluster } = open;
  const leader = findLeader(patroni)!.name;
  const host = session.hosts.get(memberOf(open, leader).host.name);
  const doing = 'looking for long transactions';
  const rows = (await runSuperuserSql(host, cluster, doing, longTransactions(longTransactionS), 10_000))
    .split('\n')
    .filter((row) => row !== '');
  if (rows.length === 0) return;
  const lines = rows.map((row) => {
    const t = JSON.parse(row) as { pid: number; user: string; database: string; state: string; ageS: number };
    return `process ${t.pid}, ${t.user} in ${t.database}: ${t.state}, open for ${t.ageS} s`;
  });
  throw new PgsError('endangers', {
    doing: `updating ${cluster.tenant}`,
    found: [`transactions are open for longer than ${longTransactionS} s on the leader:`, ...lines].join('\n'),
    hint: 'Wait for them, or run it with --force, which ends them with an error. Nothing was changed.',
  });
}

export interface FleetUpdate {
  shared: Plan;
  tenants: Plan[];
}

/** Every host and tenant. @throws PgsError as `updateFleet` */
export async function planFleetUpdate(session: Session): Promise<FleetUpdate> {
  const shared = await planShared(session);
  const tenants: Plan[] = [];
  for (const { spec } of await livingTenants(session)) tenants.push(await planUpdate(session, spec.tenant));
  return { shared, tenants };
}

/**
 * What all tenants share first, then the tenants, one after the other. The packages of all of them are looked for on every host before
 * anything is changed.
 * @throws PgsError as `updateTenant`; `held` while somebody changes a tenant
 */
export async function updateFleet(session: Session, options: ChangeOptions): Promise<FleetUpdate> {
  const { onEvent, force } = options;
  const shared = await withEveryLock(session, options.signal, async (signal) => {
    const plan = await planShared(session);
    options.onPlan?.(plan);
    await executePlan(plan, createSharedEffects(session), { onEvent, signal });
    return plan;
  });
  const tenants: Plan[] = [];
  for (const { spec } of await livingTenants(session)) {
    const more = force === undefined ? {} : { force };
    tenants.push(await updateTenant(session, spec.tenant, { onEvent, signal: options.signal, ...more }));
  }
  return { shared, tenants };
}

async function livingTenants(session: Session): Promise<TenantRecord[]> {
  const found = await (await session.store()).listTenants();
  return found.map(({ record }) => record).filter(({ phase }) => phase === 'ready' || phase === 'stopped');
}

async function planShared(session: Session): Promise<Plan> {
  const { inventory } = session;
  const hosts = inventory.hosts.map(({ name }) => name);
  const majors = supportedReleases.map(({ postgres }) => postgres);
  const tenants = await livingTenants(session);
  const all = [
    ...new Set([...sharedPackages, ...[...majors, ...tenants.map((t) => t.spec.postgres)].flatMap(tenantPackages)]),
  ];
  const [programs, etcd] = await Promise.all([
    lookEverywhere(session, hosts, all),
    session.dcs().then((dcs) => dcs.maintenance.statuses()),
  ]);
  const targets = targetVersions(programs, all);
  const shared = Object.fromEntries(Object.entries(targets).filter(([name]) => sharedPackages.includes(name)));
  const etcdHosts = inventory.etcd.kind === 'fleet' ? inventory.etcd.members : [];
  return planSharedUpdate({ etcdHosts, etcd, entries: hosts, programs, targets: shared });
}

/** A restart of etcd in the middle of somebody's switchover would be one loss too many. */
async function withEveryLock<T>(
  session: Session,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const dcs = await session.dcs();
  const locks = [];
  try {
    for (const { spec } of await livingTenants(session)) {
      locks.push(await acquireTenantLock(dcs, spec.tenant, { command: 'update --fleet' }));
    }
    return await work(AbortSignal.any([signal, ...locks.map((lock) => lock.signal)]));
  } finally {
    for (const lock of locks) await lock.release();
  }
}
