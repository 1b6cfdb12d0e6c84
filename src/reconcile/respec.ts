// A tenant whose spec changes: what may change by applying, and what is a job of its own.

import { PgsError } from '../errors.js';
import type { Cluster } from '../topology/cluster.js';
import { hbaLines } from '../topology/hba.js';
import { leftAfter, withLeft } from '../topology/left-objects.js';
import { completeSpec } from '../topology/spec.js';
import type { TenantRecord, TenantSpec } from '../topology/tenant.js';
import { applyCluster, planOf, refuseWhilePaused, withTenantLock, type ChangeOptions } from './change.js';
import { assembleCluster, gatherCluster, withCluster, type OpenCluster } from './cluster.js';
import { decideMembers } from './scale.js';
import { refuseMissingPackages, refuseUnreachableRules } from './refuse-objects.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';

/** The cluster with another spec. @throws PgsError `configuration` for changes that an apply cannot make */
function withSpec(open: OpenCluster, given: Record<string, unknown>, source: string): OpenCluster {
  const { spec: before } = open.record;
  const spec = completeSpec(given, before, source);
  if (spec.postgres !== before.postgres) {
    throw new PgsError('configuration', {
      doing: `reading ${source}`,
      found: `postgres is ${before.postgres} and cannot become ${spec.postgres} by applying`,
      hint: 'Leave it as it is, or make a new cluster.',
    });
  }
  const left = leftAfter(before, open.record.left, spec);
  return { ...open, record: withLeft({ ...open.record, spec }, left), cluster: { ...open.cluster, spec } };
}

/** Where another spec comes from. */
export interface Respec {
  tenant: string;
  /** What was run, for whoever finds the tenant locked. */
  command: string;
  /** File or command line, for errors. */
  source: string;
  /** Its fields, in their YAML names. */
  given: (before: TenantSpec) => Record<string, unknown>;
}

/** What another spec would change, with nothing stored. @throws PgsError as `respecCluster` */
export async function planRespec(session: Session, respec: Respec, dropData: string[] = []): Promise<Plan> {
  return withCluster(session, respec.tenant, async (before) => {
    const record = await respecced(session, before, respec);
    const stored = await (await session.store()).getTenant(respec.tenant);
    const open = await assembleCluster(session, record, stored?.sealedSecrets ?? null);
    try {
      const plan = planOf(open, await gatherCluster(session, open), dropData);
      return { ...plan, notes: [...(plan.notes ?? []), ...hbaDifferences(before.cluster, open.cluster)] };
    } finally {
      open.patroni.close();
    }
  });
}

/** Lines of pg_hba lie in a file with passwords, of which a plan shows nothing. */
function hbaDifferences(before: Cluster, after: Cluster): string[] {
  const [had, has] = [hbaLines(before), hbaLines(after)];
  const gone = had.filter((line) => !has.includes(line)).map((line) => `access rule goes: ${line}`);
  return [...gone, ...has.filter((line) => !had.includes(line)).map((line) => `access rule comes: ${line}`)];
}

/** The record with the other spec; another number of replicas brings members or lets some leave. */
async function respecced(session: Session, before: OpenCluster, { given, source }: Respec): Promise<TenantRecord> {
  const open = withSpec(before, given(before.record.spec), source);
  refuseUnreachableRules(open, source, before.record.spec);
  await refuseMissingPackages(session, open, source, before.record.spec);
  const { replicas } = open.record.spec;
  if (replicas === before.record.spec.replicas) return open.record;
  const facts = await gatherCluster(session, before);
  return decideMembers(session, open, facts, { kind: 'scale', replicas, hosts: null, data: 'keep' });
}

/** Stores the new spec and applies it, under the tenant's lock. */
export async function respecCluster(session: Session, respec: Respec, options: ChangeOptions): Promise<Plan> {
  const { tenant, command } = respec;
  return withTenantLock(session, tenant, command, options.signal, async (lock, signal) => {
    await withCluster(session, tenant, async (before) => {
      const record = await respecced(session, before, respec);
      await refuseWhilePaused(session, { ...before, record, cluster: { ...before.cluster, spec: record.spec } });
      const { spec, allocation, left } = record;
      const store = await session.store();
      await store.updateTenant(tenant, (now) => withLeft({ ...now, spec, allocation }, left), lock);
    });
    return withCluster(session, tenant, (open) => applyCluster(session, open, lock, { ...options, signal }));
  });
}
