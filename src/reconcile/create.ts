// Making a tenant: decide where it goes, keep that in the DCS, and apply. Run again after any interruption, it goes on.

import equal from 'fast-deep-equal';
import { PgsError } from '../errors.js';
import { parseTenantName } from '../inventory/names.js';
import { loadIssuing } from '../pki/authority.js';
import type { TenantLock } from '../state/lock.js';
import { layOutCluster } from '../topology/cluster.js';
import { placeTenant } from '../topology/placement.js';
import { completeSpec, inventTenantName } from '../topology/spec.js';
import type { TenantRecord, TenantSpec } from '../topology/tenant.js';
import { assembleCluster, gatherCluster, openCluster, type OpenCluster } from './cluster.js';
import { applyCluster, planOf, refuseStopped, withTenantLock, type ChangeOptions } from './change.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';
import { refuseBrokenDcs } from './dcs-fit.js';
import { refuseMissingPackages, refuseUnreachableRules } from './refuse-objects.js';
import { allKnowQuorumCommit, commonPostgresMajor, gatherSupply, judgeSupply, type FleetSupply } from './supply.js';

export interface CreateRequest {
  /** Fields of the spec that were given, in their YAML names; the tenant's name may be missing. */
  given: Record<string, unknown>;
  hosts: string[] | null;
  /** What the values came from, for errors: "the options" or a file's name. */
  source: string;
  /** Take over the data that a destroy kept. */
  reuseData: boolean;
  /** What the hosts can offer, where several creates share one look; absent: they are looked at. */
  supply?: () => Promise<FleetSupply>;
}

export interface Created {
  open: OpenCluster;
  plan: Plan;
}

/** @throws PgsError of every kind; `usage` if the tenant is there with another spec */
export async function createCluster(
  session: Session,
  request: CreateRequest,
  options: ChangeOptions,
): Promise<Created> {
  const tenant = await nameOf(session, request);
  return withTenantLock(session, tenant, `cluster create ${tenant}`, options.signal, async (lock, signal) => {
    const known = await resume(session, tenant, request);
    const record = known ?? (await allocate(session, tenant, request, lock));
    const store = await session.store();
    if (record.phase === 'retired') await store.updateTenant(tenant, (r) => ({ ...r, phase: 'creating' }), lock);
    const current = (await store.getTenant(tenant))!;
    const open = await assembleCluster(session, current.record, current.sealedSecrets);
    return { open, plan: await applyCluster(session, open, lock, { ...options, signal }) };
  });
}

/** The plan of a create, with nothing stored: ports and hosts are what they would be now. */
export async function planCreate(session: Session, request: CreateRequest): Promise<Created> {
  const tenant = await nameOf(session, request);
  const known = await resume(session, tenant, request);
  const open = known ? await openCluster(session, tenant) : await openDraft(session, tenant, request);
  return { open, plan: planOf(open, await gatherCluster(session, open)) };
}

async function openDraft(session: Session, tenant: string, request: CreateRequest): Promise<OpenCluster> {
  const draft = await draftRecord(session, tenant, request);
  await refuseUnfitFile(session, draft, request);
  return assembleCluster(session, draft, null);
}

/** The plan of a tenant's draft (`draftRecord`), with nothing stored. */
export async function planDraft(session: Session, draft: TenantRecord): Promise<Plan> {
  const open = await assembleCluster(session, draft, null);
  try {
    return planOf(open, await gatherCluster(session, open));
  } finally {
    open.patroni.close();
  }
}

/** @throws PgsError as `refuseMissingPackages` and `refuseUnreachableRules`, for the hosts that it would be given now */
async function refuseUnfitFile(session: Session, draft: TenantRecord, { source }: CreateRequest): Promise<void> {
  const cluster = layOutCluster(draft, session.inventory);
  refuseUnreachableRules({ cluster }, source, {});
  await refuseMissingPackages(session, { cluster }, source, {});
}

async function nameOf(session: Session, { given }: CreateRequest): Promise<string> {
  if (typeof given.tenant === 'string') return parseTenantName(given.tenant);
  const taken = (await recordsOf(session)).map(({ spec }) => spec.tenant);
  return inventTenantName(taken);
}

/**
 * The record of a tenant that is there already: the same create again finishes or repairs it, or takes over what a destroy kept.
 * Another spec, or one that is being removed, is refused.
 */
async function resume(session: Session, tenant: string, request: CreateRequest): Promise<TenantRecord | null> {
  const stored = await (await session.store()).getTenant(tenant);
  if (!stored) return null;
  const { record } = stored;
  if (record.phase === 'destroying') {
    throw new PgsError('endangers', {
      doing: `creating ${tenant}`,
      found: 'a tenant of that name is being removed',
      hint: `Finish that first: \`pgs cluster destroy ${tenant}\`.`,
    });
  }
  refuseStopped(record.phase, tenant, `creating ${tenant}`);
  if (record.phase === 'retired' && !request.reuseData) throw keptData(record);
  const wanted = completeSpec({ ...request.given, tenant }, record.spec, request.source);
  refuseOtherHosts(record, request);
  // What was destroyed comes back as it was, unless it is asked for otherwise.
  const revived = record.phase === 'retired';
  const asked = revived ? { ...record.spec, ...pick(wanted, Object.keys(request.given)) } : wanted;
  if (equal(asked, record.spec)) return record;
  throw new PgsError('usage', {
    doing: `creating ${tenant}`,
    found: `${revived ? 'its data was kept' : 'it is there already'} with another spec:\n${specDifferences(record.spec, asked).join('\n')}`,
    hint: revived
      ? 'Leave the options out to take it over as it was; then change it with `pgs apply -f`.'
      : `Change it with \`pgs cluster show ${tenant} -o yaml\` and \`pgs apply -f\`.`,
  });
}

/** Members stay where they are: a create that names other hosts would be obeyed in nothing but its exit code. */
function refuseOtherHosts({ spec, allocation }: TenantRecord, { hosts }: CreateRequest): void {
  const there = allocation.members.map((m) => m.host);
  if (hosts === null || equal([...hosts].sort(), [...there].sort())) return;
  throw new PgsError('usage', {
    doing: `creating ${spec.tenant}`,
    found: `it is there already on ${there.join(', ')}, and --hosts names ${hosts.map((h) => JSON.stringify(h)).join(', ')}`,
    hint: 'Leave --hosts out: members do not move to other hosts by a create.',
  });
}

function keptData(record: TenantRecord): PgsError {
  const { tenant } = record.spec;
  return new PgsError('endangers', {
    doing: `creating ${tenant}`,
    found: `data of an earlier ${tenant} is kept on ${record.allocation.members.map((m) => m.host).join(', ')}`,
    hint: `Take it over with --reuse-data, or remove it for good with \`pgs cluster destroy ${tenant} --purge-data\`.`,
  });
}

function pick(spec: TenantSpec, keys: string[]): Partial<TenantSpec> {
  return Object.fromEntries(Object.entries(spec).filter(([key]) => keys.includes(key)));
}

export function specDifferences(before: TenantSpec, after: TenantSpec): string[] {
  return ([...new Set([...Object.keys(after), ...Object.keys(before)])] as (keyof TenantSpec)[])
    .filter((key) => !equal(before[key], after[key]))
    .map((key) => `${key}: ${shown(before, key)} there, ${shown(after, key)} asked for`);
}

/** Of roles only the names: what they have may be a verifier. */
function shown(spec: TenantSpec, key: keyof TenantSpec): string {
  return JSON.stringify(key === 'roles' && spec.roles ? Object.keys(spec.roles) : spec[key]);
}

/** What a create would store. @param also further tenants that would be there by then */
export async function draftRecord(
  session: Session,
  tenant: string,
  request: CreateRequest,
  also: TenantRecord[] = [],
): Promise<TenantRecord> {
  return (await decider(session, tenant, request))([...(await recordsOf(session)), ...also]);
}

async function recordsOf(session: Session): Promise<TenantRecord[]> {
  return (await (await session.store()).listTenants()).map(({ record }) => record);
}

async function allocate(
  session: Session,
  tenant: string,
  request: CreateRequest,
  lock: TenantLock,
): Promise<TenantRecord> {
  const store = await session.store();
  const decide = await decider(session, tenant, request);
  if (request.given.databases || request.given.hba)
    await refuseUnfitFile(session, decide(await recordsOf(session)), request);
  return (await store.allocateTenant(tenant, (others) => ({ record: decide(others), sealedSecrets: null }), lock))
    .record;
}

/** Looks at the fleet once; what it returns decides purely, as often as other operators' allocations make it. */
async function decider(
  session: Session,
  tenant: string,
  request: CreateRequest,
): Promise<(others: TenantRecord[]) => TenantRecord> {
  const { inventory } = session;
  // The spec is judged before any host is asked: a typing error should not wait for a host that is down.
  const provisional = completeSpec(
    { ...request.given, tenant },
    { ...inventory.defaults, postgres: inventory.defaults.postgres ?? 0 },
    request.source,
  );
  const looking = request.supply ? request.supply() : gatherSupply(session);
  // Takes a quarter of a second of this side's time, which the hosts need for their answers anyway.
  loadIssuing();
  const supply = await looking;
  await refuseBrokenDcs(session, supply);
  const postgres = provisional.postgres || commonPostgresMajor(supply, inventory);
  const spec = { ...provisional, postgres };
  const createdAt = new Date().toISOString();
  return (others) => ({
    version: 1,
    spec,
    allocation: placeTenant({
      spec,
      hosts: request.hosts,
      supply: judgeSupply(supply, spec, inventory),
      others,
      inventory,
      quorumCommit: allKnowQuorumCommit(supply),
    }),
    phase: 'creating',
    createdAt,
  });
}
