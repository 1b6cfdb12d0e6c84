// `pgs rotate` and `pgs cert renew` of a tenant. The phases are in src/secrets/rotation.ts; here each is stored before it is rolled out, and
// left only when it is in force. So the same command goes on wherever the last one ended.

import { randomBytes } from 'node:crypto';
import { PgsError } from '../errors.js';
import { findLeader, streamingReplicas } from '../patroni/facts.js';
import {
  advanceRotation,
  beginRotation,
  ownTargets,
  type NextAuthorities,
  type Rotation,
  type RotationTarget,
} from '../secrets/rotation.js';
import { ensureTenantSecrets, reissueAll, reissueRest, type TenantSecrets } from '../secrets/tenant-secrets.js';
import type { TenantLock } from '../state/lock.js';
import { applyCluster, planOf, refuseNotReady, withTenantLock, type ChangeOptions } from './change.js';
import { gatherCluster, openCluster, storeSecrets, withCluster, type OpenCluster } from './cluster.js';
import { silentHosts } from './poolers.js';
import { refuseMoving, refuseOtherJob } from './job.js';
import { resumeRotation } from './plan-rotation.js';
import { proveRotation, type Proof } from './prove-rotation.js';
import type { Session } from './session.js';
import { settleRotation } from './settle-rotation.js';
import type { Plan } from './step.js';

export interface RotateRequest {
  /** Null: what was begun, else all that only pgs and the hosts know of. */
  targets: RotationTarget[] | null;
  /** Only go on with what was begun; nothing is done otherwise. */
  onlyResume?: boolean;
  /** Clients have the file with the next CA of SQL beside the present one. */
  clientsTrustNext: boolean;
}

export interface Rotated {
  /** The steps of all phases that were gone through. */
  plan: Plan;
  targets: RotationTarget[];
  /** When it was begun by an earlier run, ISO 8601; null: by this one. */
  resumed: string | null;
  /** Empty while it is not over. */
  proofs: Proof[];
  /** What it waits for; null: it is over. */
  waitsFor: 'clients' | null;
}

/** What the first phase would do, with nothing stored. @throws PgsError as `rotateTenant` */
export async function planRotate(session: Session, tenant: string, request: RotateRequest): Promise<Rotated> {
  return withCluster(session, tenant, async (open) => {
    const { rotation } = open.secrets;
    if (request.onlyResume && !rotation) return nothingBegun(tenant);
    const targets = targetsFor(open, request);
    await refuseUnfit(session, open);
    const secrets = rotation ? open.secrets : await begun(session, open, targets, new Date());
    const facts = await gatherCluster(session, { ...open, secrets });
    const plan = planOf({ ...open, secrets }, facts);
    return { plan, targets, resumed: rotation?.since ?? null, proofs: [], waitsFor: null };
  });
}

/**
 * @throws PgsError `endangers` while a member does not answer or does not stream, or something else is under way; `unknown-result` when a
 * phase was not seen to be in force; and as `applyCluster`
 */
export async function rotateTenant(
  session: Session,
  tenant: string,
  request: RotateRequest,
  options: ChangeOptions,
): Promise<Rotated> {
  return withTenantLock(session, tenant, `rotate ${tenant}`, options.signal, async (lock, signal) => {
    let open = await openCluster(session, tenant);
    try {
      if (request.onlyResume && !open.secrets.rotation) return nothingBegun(tenant);
      const targets = targetsFor(open, request);
      await refuseUnfit(session, open);
      const resumed = open.secrets.rotation?.since ?? null;
      if (!open.secrets.rotation)
        open = await store(session, open, await begun(session, open, targets, new Date()), lock);
      const plans: Plan[] = [];
      let proofs: Proof[] = [];
      for (let { rotation } = open.secrets; rotation; rotation = open.secrets.rotation) {
        plans.push(await applyCluster(session, open, lock, { ...options, signal }));
        await settleRotation(session, open, signal);
        const waits = waitsFor(rotation, request);
        if (waits) return { plan: joined(tenant, plans), targets, resumed, proofs, waitsFor: waits };
        if (rotation.phase === 'drop') proofs = await proveRotation(session, open);
        open = await store(session, open, await advanced(session, open, new Date()), lock);
      }
      return { plan: joined(tenant, plans), targets, resumed, proofs, waitsFor: null };
    } finally {
      open.patroni.close();
    }
  });
}

function nothingBegun(tenant: string): Rotated {
  return { plan: joined(tenant, []), targets: [], resumed: null, proofs: [], waitsFor: null };
}

/** Clients refuse a server whose CA they do not know: they must have the next one first. */
function waitsFor({ phase, targets }: Rotation, { clientsTrustNext }: RotateRequest): 'clients' | null {
  return phase === 'prepare' && targets.includes('ca') && !clientsTrustNext ? 'clients' : null;
}

/** @throws PgsError `endangers` when something else was begun */
function targetsFor(
  { record, secrets, cluster: { tenant } }: OpenCluster,
  { targets }: RotateRequest,
): RotationTarget[] {
  const doing = `replacing secrets of ${tenant}`;
  refuseNotReady(record.phase, tenant, doing);
  refuseOtherJob(record, doing);
  refuseMoving(record, doing);
  const { rotation } = secrets;
  if (!rotation) return targets ?? ownTargets;
  const same = targets === null || [...targets].sort().join() === [...rotation.targets].sort().join();
  if (same) return rotation.targets;
  throw new PgsError('endangers', {
    doing,
    found: `replacing ${rotation.targets.join(', ')} was begun ${rotation.since} and is not finished`,
    hint: `Finish it first: ${resumeRotation(tenant, rotation)}.`,
  });
}

/** A member that misses a phase would be locked out by the next. @throws PgsError `endangers` with the way out */
async function refuseUnfit(session: Session, { cluster, patroni }: OpenCluster): Promise<void> {
  const facts = await patroni.gather();
  const leader = findLeader(facts)?.name;
  const streaming = streamingReplicas(facts);
  const fallen = cluster.members.map((m) => m.name).filter((name) => name !== leader && !streaming.includes(name));
  const silent = await silentHosts(
    session,
    cluster.entries.map((entry) => entry.name),
  );
  const found = [
    ...(leader === undefined ? ['no member leads'] : []),
    ...(leader !== undefined && fallen.length > 0
      ? [`${fallen.join(', ')} ${fallen.length > 1 ? 'do' : 'does'} not stream`]
      : []),
    ...(silent.length > 0 ? [`${silent.join(', ')} ${silent.length > 1 ? 'do' : 'does'} not answer`] : []),
  ];
  if (found.length === 0) return;
  throw new PgsError('endangers', {
    doing: `replacing secrets of ${cluster.tenant}`,
    found: found.join('; '),
    hint: `Mend that first: \`pgs cluster status ${cluster.tenant}\`, \`pgs apply ${cluster.tenant}\`. Nothing was changed.`,
  });
}

async function begun(
  session: Session,
  open: OpenCluster,
  targets: RotationTarget[],
  now: Date,
): Promise<TenantSecrets> {
  const { tenant } = open.cluster;
  const id = randomBytes(4).toString('hex');
  const authorities = targets.includes('ca') ? await newAuthorities(tenant, id, now) : null;
  return withCertificates(session, open, beginRotation(tenant, open.secrets, targets, { now, id, authorities }), now);
}

async function advanced(session: Session, open: OpenCluster, now: Date): Promise<TenantSecrets> {
  const next = advanceRotation(open.secrets);
  return next.rotation ? withCertificates(session, open, next, now) : next;
}

/** Those that the phase needs, and for each member another one for REST: see `settleRotation`. */
async function withCertificates(
  session: Session,
  { cluster }: OpenCluster,
  secrets: TenantSecrets,
  now: Date,
): Promise<TenantSecrets> {
  const { tenant, members } = cluster;
  const { inventory, fleetSecrets } = session;
  const hosts = members.map((m) => m.host);
  const { phase, targets } = secrets.rotation!;
  if (targets.includes('certificates') && phase === 'use')
    return reissueAll(tenant, hosts, inventory, fleetSecrets, secrets, now);
  const complete = await ensureTenantSecrets(tenant, hosts, inventory, fleetSecrets, secrets, now);
  return reissueRest(tenant, hosts, complete, now);
}

/** With names of their own: who trusts both must tell them apart. */
async function newAuthorities(tenant: string, id: string, now: Date): Promise<NextAuthorities> {
  const { createAuthority } = await import('../pki/authority.js');
  return {
    restCa: await createAuthority(`${tenant} rest ${id}`, undefined, now),
    sqlCa: await createAuthority(`${tenant} sql ${id}`, undefined, now),
  };
}

/** Stored before anything follows from it; what pgs itself uses from now on is the new one. */
async function store(
  session: Session,
  open: OpenCluster,
  secrets: TenantSecrets,
  lock: TenantLock,
): Promise<OpenCluster> {
  const next = { ...open, secrets, secretsChanged: true, patroni: session.patroni(open.cluster, secrets) };
  await storeSecrets(session, next, lock);
  open.patroni.close();
  return next;
}

/** Steps of different phases may have the same id, and are different steps. */
function joined(tenant: string, plans: Plan[]): Plan {
  return {
    subject: `cluster ${tenant}`,
    steps: plans.flatMap((plan) => plan.steps),
    warnings: plans.at(-1)?.warnings ?? [],
    notes: [],
  };
}
