// Hosts that come and go: every tenant's member moves by the tenant's own job (`changeMembers`), a bounded number of tenants at a time.
// What is left to do is seen in the tenants' records, so that an interrupted drain is finished by the same command.

import { absentHaproxy } from '../../haproxy/desired.js';
import { PgsError, PgsErrors, toPgsError } from '../errors.js';
import { absentEtcd } from '../etcd/desired.js';
import { gatherHostFacts, mergeWanted, wantedFor } from '../host/gather.js';
import { planResources } from '../host/plan-resources.js';
import type { HostChange } from '../inventory/hosts.js';
import { readHostNotes, writeHostNote } from '../state/hosts.js';
import { isMoving } from '../topology/membership.js';
import type { TenantRecord } from '../topology/tenant.js';
import { runBounded, type Bounds, type Ended } from './bounded.js';
import { applyCluster, refuseNotReady, withTenantLock } from './change.js';
import { gatherCluster, withCluster } from './cluster.js';
import { createDcsEffects } from './dcs.js';
import { createEffects } from './effects.js';
import { executePlan } from './execute.js';
import { unrouteSteps } from './plan-stop.js';
import { changeMembers, decideMembers, type ReplaceRequest } from './scale.js';
import type { Session } from './session.js';
import type { StepEvent } from './step.js';

/** Tenants that are looked at side by side: each is a look at all its hosts. */
const looksMax = 4;

export interface HostsOptions extends Required<Bounds> {
  force: boolean;
  onEvent: (tenant: string, event: StepEvent) => void;
}

export interface TenantDone {
  tenant: string;
  /** Null: it was only brought up to date. */
  member: string | null;
  tookMs: number;
}

/** What of a host is in tenants' records. */
export interface HostUse {
  /** Members that are there, or are about to leave it, by tenant. */
  members: { tenant: string; member: string; phase: TenantRecord['phase']; begun: boolean }[];
  /** Tenants of which data of an earlier member is kept there. */
  keeps: string[];
}

export function useOf(records: TenantRecord[], host: string): HostUse {
  const members = records.flatMap(({ spec: { tenant }, allocation, phase }) => {
    const begun = (name: string) => allocation.members.some((m) => m.joining?.replaces === name);
    const there = allocation.members.filter((m) => m.host === host);
    const leaving = (allocation.leaving ?? []).filter((m) => m.host === host && m.login !== 'changed');
    return [
      ...there.map((m) => ({ tenant, member: m.name, phase, begun: begun(m.name) })),
      ...leaving.map((m) => ({ tenant, member: m.name, phase, begun: true })),
    ];
  });
  const keeps = records.filter((r) => r.allocation.keptOn?.includes(host)).map((r) => r.spec.tenant);
  return { members, keeps };
}

export async function recordsOf(session: Session): Promise<TenantRecord[]> {
  return (await (await session.store()).listTenants()).map((t) => t.record);
}

/**
 * What is refused before anything is changed: every tenant is looked at, and its new place decided.
 * @throws PgsErrors, or a PgsError, of the tenants that cannot move
 */
export async function planDrain(session: Session, host: string, to: string | null): Promise<ReplaceRequest[]> {
  const { members } = useOf(await recordsOf(session), host);
  const ended = await allOf(members, { parallel: looksMax }, `moving members off ${host}`, (use) =>
    requestFor(session, use, to),
  );
  return ended.map(({ value }) => value);
}

/** Before anything is changed: a tenant that does not run has nobody to copy from. @throws PgsErrors, or a PgsError */
export async function refuseUnready(session: Session, host: string): Promise<void> {
  const errors: PgsError[] = [];
  for (const { tenant, member, phase } of useOf(await recordsOf(session), host).members) {
    try {
      refuseUnreadyTenant(tenant, member, phase);
    } catch (thrown) {
      errors.push(toPgsError(thrown));
    }
  }
  throwAll(errors, `moving members off ${host}`);
}

function refuseUnreadyTenant(tenant: string, member: string, phase: TenantRecord['phase']): void {
  const doing = `replacing ${member}`;
  if (phase !== 'retired') return refuseNotReady(phase, tenant, doing);
  throw new PgsError('endangers', {
    doing,
    found: `${tenant} was destroyed, and its data is kept there`,
    hint: `Remove it with \`pgs cluster destroy ${tenant} --purge-data\`, or take it over: \`pgs cluster create ${tenant} --reuse-data\`.`,
  });
}

async function requestFor(
  session: Session,
  { tenant, member, phase, begun }: HostUse['members'][number],
  to: string | null,
): Promise<ReplaceRequest> {
  const request: ReplaceRequest = { kind: 'replace', member, to: null, data: 'keep' };
  refuseUnreadyTenant(tenant, member, phase);
  if (begun) return request;
  return withCluster(session, tenant, async (open) => {
    const taken = open.record.allocation.members.some((m) => m.host === to);
    const asked = { ...request, to: taken ? null : to };
    await decideMembers(session, open, await gatherCluster(session, open), asked);
    return asked;
  });
}

/**
 * Moves every tenant's member off the host. Nothing new goes there from now on.
 * @throws PgsErrors of the tenants that could not be moved; the others are
 */
export async function drainHost(
  session: Session,
  host: string,
  to: string | null,
  options: HostsOptions,
): Promise<TenantDone[]> {
  const requests = await planDrain(session, host, to);
  const { address } = session.inventory.hosts.find((h) => h.name === host)!;
  await writeHostNote(await session.dcs(), host, { state: 'draining', since: new Date().toISOString(), address });
  return eachTenant(requests, options, `moving members off ${host}`, async (request) => {
    const tenant = tenantOf(request);
    await changeMembers(session, tenant, request, changeOptions(tenant, options));
    return { tenant, member: request.member };
  });
}

function tenantOf({ member }: ReplaceRequest): string {
  return member.replace(/-\d+$/, '');
}

/** Members may go there again. */
export async function undoDrain(session: Session, host: string): Promise<boolean> {
  const dcs = await session.dcs();
  if ((await readHostNotes(dcs))[host]?.state !== 'draining') return false;
  await writeHostNote(dcs, host, null);
  return true;
}

/** Brings every tenant that runs up to date with the fleet's hosts: entries, certificates, etcd's endpoints. */
export async function applyEverywhere(session: Session, options: HostsOptions): Promise<TenantDone[]> {
  const records = (await recordsOf(session)).filter((r) => ['ready', 'stopped'].includes(r.phase));
  const tenants = records.map((r) => r.spec.tenant);
  return eachTenant(tenants, options, 'bringing the tenants up to date', async (tenant) => {
    await withTenantLock(session, tenant, `apply ${tenant}`, options.signal, (lock, signal) =>
      withCluster(session, tenant, (open) =>
        applyCluster(session, open, lock, { ...changeOptions(tenant, options), signal }),
      ),
    );
    return { tenant, member: null };
  });
}

function changeOptions(tenant: string, { signal, force, onEvent }: HostsOptions) {
  return { signal, force, onEvent: (event: StepEvent) => onEvent(tenant, event) };
}

/** @throws PgsErrors, or a PgsError, once all others are done; `unknown-result` when it was interrupted */
async function eachTenant<T>(
  items: T[],
  bounds: Required<Bounds>,
  doing: string,
  work: (item: T) => Promise<Omit<TenantDone, 'tookMs'>>,
): Promise<TenantDone[]> {
  const ended = await allOf(items, bounds, doing, work);
  if (bounds.signal.aborted) {
    throw new PgsError('unknown-result', {
      doing,
      found: 'interrupted',
      hint: 'Run the same command again: it goes on from here.',
    });
  }
  return ended.map(({ value, tookMs }) => ({ ...value, tookMs }));
}

/** What was done. @throws PgsErrors, or a PgsError, of those that failed, once all others are done */
async function allOf<I, T>(
  items: I[],
  bounds: Bounds,
  doing: string,
  work: (item: I) => Promise<T>,
): Promise<Extract<Ended<T>, { state: 'done' }>[]> {
  const ended = await runBounded(items, bounds, doing, work);
  throwAll(
    ended.flatMap((e) => (e.state === 'failed' ? [e.error] : [])),
    doing,
  );
  return ended.filter((e) => e.state === 'done');
}

function throwAll(errors: PgsError[], doing: string): void {
  if (errors.length > 1) throw new PgsErrors(doing, errors);
  if (errors[0]) throw errors[0];
}

/**
 * What keeps a host in the fleet.
 * @throws PgsError `endangers` with the way out; `configuration` when pgs.yaml could not do without it
 */
export async function refuseInUse(session: Session, host: string, data: 'keep' | 'forget'): Promise<void> {
  const { members, keeps } = useOf(await recordsOf(session), host);
  const { etcd, hosts } = session.inventory;
  const found = [
    ...members.map((m) => `${m.member} of ${m.tenant}`),
    ...(etcd.kind === 'fleet' && etcd.members.includes(host) ? ['a member of etcd'] : []),
    ...(data === 'keep' ? keeps.map((tenant) => `kept data of ${tenant}`) : []),
  ];
  const doing = `taking ${host} out of the fleet`;
  if (found.length > 0) {
    const ways = [
      ...(members.length > 0 ? [`\`pgs host drain ${host}\` moves the members`] : []),
      ...(etcd.kind === 'fleet' && etcd.members.includes(host)
        ? [`\`pgs host replace ${host} --with <host>\` moves etcd's member too`]
        : []),
      ...(keeps.length > 0 ? ['--forget-data leaves kept data behind'] : []),
    ];
    throw new PgsError('endangers', {
      doing,
      host,
      found: `it has ${found.join(', ')}`,
      hint: `${ways.join('; ')}. Nothing was changed.`,
    });
  }
  if (etcd.kind === 'fleet' && hosts.length <= 3) {
    const hint = 'Add a host first: `pgs host add`.';
    throw new PgsError('endangers', { doing, found: 'a fleet has at least three hosts', hint });
  }
}

/**
 * Takes what is there of a host that leaves: its entries, and in the records what was to be looked for there. A host that does not answer
 * keeps its files; its certificates still open what reads only, and no login of its works.
 */
export async function clearHost(session: Session, host: string, options: HostsOptions): Promise<'cleared' | 'silent'> {
  const access = session.hosts.get(host);
  const answers = await access.run({ argv: ['true'], timeoutMs: 10_000 }).then(
    () => true,
    () => false,
  );
  const records = await recordsOf(session);
  const tenants = records.filter((r) => r.phase !== 'retired').map((r) => r.spec.tenant);
  await eachTenant(tenants, options, `clearing ${host}`, async (tenant) => {
    await withTenantLock(session, tenant, `host remove ${host}`, options.signal, async (lock, signal) => {
      if (answers) {
        await withCluster(session, tenant, async (open) => {
          const facts = await gatherCluster(session, open);
          const steps = unrouteSteps(open.cluster, host, facts.hosts[host]!);
          const plan = { subject: `${tenant} on ${host}`, steps, warnings: [] };
          const onEvent = (event: StepEvent) => options.onEvent(tenant, event);
          await executePlan(plan, createEffects(session, open, lock), { onEvent, signal });
        });
      }
      const store = await session.store();
      await store.updateTenant(
        tenant,
        (record) => ({ ...record, allocation: forgetHost(record.allocation, host) }),
        lock,
      );
    });
    return { tenant, member: null };
  });
  if (!answers) return 'silent';
  const resources = [...absentHaproxy(), ...absentEtcd()];
  const facts = await gatherHostFacts(access, mergeWanted([wantedFor(resources)]));
  const steps = planResources({ host, subject: 'fleet', resources, facts });
  const plan = { subject: `host ${host}`, steps, warnings: [] };
  const onEvent = (event: StepEvent) => options.onEvent('', event);
  await executePlan(plan, createDcsEffects(session), { onEvent, signal: options.signal });
  return 'cleared';
}

function forgetHost(before: TenantRecord['allocation'], host: string): TenantRecord['allocation'] {
  const { leaving = [], keptOn = [], ...rest } = before;
  const [left, kept] = [leaving.filter((m) => m.host !== host), keptOn.filter((h) => h !== host)];
  return { ...rest, ...(left.length > 0 ? { leaving: left } : {}), ...(kept.length > 0 ? { keptOn: kept } : {}) };
}

/** Tenants of which members are still coming or going. */
export function unfinished(records: TenantRecord[]): string[] {
  return records.filter((r) => r.phase === 'ready' && isMoving(r.allocation)).map((r) => r.spec.tenant);
}

/** How a command reaches the fleet while it changes pgs.yaml: each session sees the file as it is then. */
export interface FleetDesk {
  open<T>(work: (session: Session) => Promise<T>): Promise<T>;
  edit(change: HostChange): Promise<void>;
}
