// `pgs cluster scale` and `replace`: members are added, and others leave. What was decided is stored first; the members' own moves are part
// of applying it (`applyCluster`), so that an interrupted one is finished by the same command, or by an apply.

import { PgsError } from '../errors.js';
import { findLeader, streamingReplicas, type ReachableMember } from '../patroni/facts.js';
import type { Cluster } from '../topology/cluster.js';
import { lastNumberOf, numberOfMember, stayingMembers, withJoining, withLeaving } from '../topology/membership.js';
import { placeJoining } from '../topology/placement.js';
import { refuseSettings } from '../topology/settings.js';
import type { Allocation, DataFate, LeavingMember, Member, TenantRecord, TenantSpec } from '../topology/tenant.js';
import { applyCluster, planOf, refuseNotReady, withTenantLock, type ChangeOptions } from './change.js';
import { assembleCluster, gatherCluster, withCluster, type OpenCluster } from './cluster.js';
import { refuseMoving, refuseOtherJob } from './job.js';
import { isPaused, type ClusterFacts } from './plan-cluster.js';
import { leavingSteps } from './plan-leaving.js';
import { isBeyondReach, isServing, leavingOf } from './plan-moves.js';
import { switchoverStep } from './plan-restarts.js';
import type { Session } from './session.js';
import type { Plan, Step } from './step.js';
import { gatherSupply, judgeSupply, quorumCommitFit } from './supply.js';

export interface ScaleRequest {
  kind: 'scale';
  replicas: number;
  /** Of the members to add, as the operator named them; null: pgs chooses. */
  hosts: string[] | null;
  data: DataFate;
}

export interface ReplaceRequest {
  kind: 'replace';
  member: string;
  /** Null: pgs chooses. */
  to: string | null;
  data: DataFate;
}

export type MembersRequest = ScaleRequest | ReplaceRequest;

export interface MembersChange {
  plan: Plan;
  /** Members that come, and those that leave once they follow, or at once. */
  joining: Member[];
  leaving: Pick<LeavingMember, 'name' | 'host'>[];
}

/** With nothing stored: also what is done once who joins follows. @throws PgsError as `changeMembers` */
export async function planMembers(session: Session, tenant: string, request: MembersRequest): Promise<MembersChange> {
  return withCluster(session, tenant, async (before) => {
    const facts = await gatherCluster(session, before);
    const record = await decideMembers(session, before, facts, request);
    const stored = await (await session.store()).getTenant(tenant);
    const after = await assembleCluster(session, record, stored?.sealedSecrets ?? null);
    try {
      const plan = planOf(after, await gatherCluster(session, after));
      const steps = [...plan.steps, ...laterSteps(after, facts, plan.steps)];
      return { plan: { ...plan, steps }, ...movesIn(record.allocation) };
    } finally {
      after.patroni.close();
    }
  });
}

/**
 * @throws PgsError `endangers` for a cluster in no state for it, `unfit` with no host to go to, `usage` for names that cannot be meant, and
 * as `applyCluster`
 */
export async function changeMembers(
  session: Session,
  tenant: string,
  request: MembersRequest,
  options: ChangeOptions,
): Promise<MembersChange> {
  const command =
    request.kind === 'scale'
      ? `cluster scale ${tenant} --replicas ${request.replicas}`
      : `cluster replace ${request.member}`;
  return withTenantLock(session, tenant, command, options.signal, async (lock, signal) => {
    const record = await withCluster(session, tenant, async (open) =>
      decideMembers(session, open, await gatherCluster(session, open), request),
    );
    const { spec, allocation } = record;
    const store = await session.store();
    await store.updateTenant(tenant, (before) => ({ ...before, spec, allocation }), lock);
    return withCluster(session, tenant, async (open) => {
      const plan = await applyCluster(session, open, lock, { ...options, signal });
      return { plan, ...movesIn(allocation) };
    });
  });
}

function movesIn({ members, leaving = [] }: Allocation): Pick<MembersChange, 'joining' | 'leaving'> {
  const joining = members.filter((m) => m.joining);
  const replaced = members.filter((m) => joining.some((j) => j.joining!.replaces === m.name));
  return { joining, leaving: [...leaving, ...replaced].map(({ name, host }) => ({ name, host })) };
}

/** What is done when the plan's own steps are: for a dry run only. */
function laterSteps({ cluster }: OpenCluster, facts: ClusterFacts, steps: Step[]): Step[] {
  const { tenant, members, allocation } = cluster;
  const replaced = allocation.members.flatMap((m) =>
    m.joining?.replaces ? [{ name: m.joining.replaces, ...m.joining }] : [],
  );
  const needs = steps.map((s) => s.id);
  const leader = findLeader(facts.patroni)?.name;
  return replaced.flatMap(({ name, data }) => {
    const handOver =
      name === leader ? [{ ...switchoverStep(tenant, name, `${name} leads and is replaced`), needs }] : [];
    const gone = members.flatMap((m) => (m.name === name ? [{ ...m, data }] : []));
    const before = [...needs, ...handOver.map((s) => s.id)];
    return [...handOver, ...leavingSteps({ cluster: { ...cluster, leaving: gone }, facts }, before)];
  });
}

/** The record with what is asked for decided. @throws PgsError as `changeMembers` */
export async function decideMembers(
  session: Session,
  open: OpenCluster,
  facts: ClusterFacts,
  request: MembersRequest,
): Promise<TenantRecord> {
  const { record, cluster } = open;
  const doing = request.kind === 'scale' ? `scaling ${cluster.tenant}` : `replacing ${request.member}`;
  refuseNotReady(record.phase, cluster.tenant, doing);
  refuseOtherJob(record, doing);
  const place = async (hosts: string[] | null, count: number) => {
    const supply = await gatherSupply(session);
    const others = (await (await session.store()).listTenants()).map((t) => t.record);
    const judged = judgeSupply(supply, record.spec, session.inventory);
    return placeJoining({
      tenant: cluster.tenant,
      allocation: record.allocation,
      hosts,
      supply: record.allocation.quorumCommit ? quorumCommitFit(supply, judged) : judged,
      others: others.filter((o) => o.spec.tenant !== cluster.tenant),
      staying:
        request.kind === 'scale'
          ? record.allocation.members
          : record.allocation.members.filter((m) => m.name !== request.member),
      count,
    });
  };
  return request.kind === 'scale'
    ? decideScale(record, cluster, facts, request, place)
    : decideReplace(record, cluster, facts, request, place);
}

type Place = (hosts: string[] | null, count: number) => Promise<string[]>;

/** @throws PgsError `endangers` when those that stay would not all serve, or `strict` durability would be left without a replica */
export async function decideScale(
  record: TenantRecord,
  cluster: Cluster,
  facts: ClusterFacts,
  { replicas, hosts, data }: ScaleRequest,
  place: Place,
): Promise<TenantRecord> {
  const { allocation } = record;
  const { tenant } = cluster;
  const spec: TenantSpec = { ...record.spec, replicas };
  const now = stayingMembers(allocation).length - 1;
  if (replicas === now) return { ...record, spec };
  const doing = `scaling ${tenant} from ${now} to ${replicas} replicas`;
  refuseWhilePausedOrLeaderless(cluster, facts, doing);
  refuseMoving(record, doing);
  refuseSettings(spec, 'its spec');
  if (replicas > now) {
    const chosen = await place(hosts, replicas - now);
    return { ...record, spec, allocation: withJoining(tenant, allocation, chosen, { replaces: null, data: 'keep' }) };
  }
  if (replicas === 0 && spec.durability === 'strict') {
    throw new PgsError('endangers', {
      doing,
      found: 'its durability is strict: with no replica every write would wait for ever',
      hint: `Change that first: \`pgs cluster set ${tenant} durability=available\`. Nothing was changed.`,
    });
  }
  const leaving = chooseLeaving(cluster, facts, now - replicas, doing);
  return {
    ...record,
    spec,
    allocation: withLeaving(
      allocation,
      leaving.map((m) => leavingOf(m, data, facts)),
    ),
  };
}

/**
 * Never the leader: first who does not serve, then who shares its zone with others, then who is no synchronous standby, then the last one.
 * @throws PgsError `endangers` when one of those that stay does not serve, or one that leaves cannot be stopped
 */
export function chooseLeaving(cluster: Cluster, facts: ClusterFacts, count: number, doing: string): Member[] {
  const { tenant, members } = cluster;
  const leader = findLeader(facts.patroni)?.name;
  const zoneUse = (zone: string) => members.filter((m) => m.host.zone === zone).length;
  const synchronous = (name: string) =>
    (facts.patroni.members[name] as ReachableMember | undefined)?.synchronous === true;
  const rank = (m: Cluster['members'][number]) => [
    isServing(facts, m.name) ? 1 : 0,
    -zoneUse(m.host.zone),
    synchronous(m.name) ? 1 : 0,
    -numberOfMember(m.name),
  ];
  const ordered = members
    .filter((m) => m.name !== leader)
    .map((m) => ({ member: m, rank: rank(m) }))
    .sort((a, b) => a.rank.reduce((found, value, i) => found || value - b.rank[i]!, 0));
  const leaving = ordered.slice(0, count).map(({ member }) => ({ name: member.name, host: member.host.name }));
  const staying = ordered.slice(count).map(({ member }) => member.name);
  refuseFallen(tenant, facts, staying, doing);
  for (const member of leaving) refuseBeyondReach(member, facts, doing);
  return leaving;
}

/** @throws PgsError `endangers` while another member does not serve, `usage` for a name that is no member's */
export async function decideReplace(
  record: TenantRecord,
  cluster: Cluster,
  facts: ClusterFacts,
  { member, to, data }: ReplaceRequest,
  place: Place,
): Promise<TenantRecord> {
  const { allocation } = record;
  const { tenant } = cluster;
  const doing = `replacing ${member}`;
  const begun = allocation.members.find((m) => m.joining?.replaces === member);
  if (begun && to !== null && to !== begun.host) {
    const found = `${begun.name} joins on ${begun.host} in its place already`;
    throw new PgsError('usage', {
      doing,
      found,
      hint: `Leave --to out, or finish it with \`pgs apply ${tenant}\` first.`,
    });
  }
  if (begun || wasMember(cluster, member)) return record;
  const there = allocation.members.find((m) => m.name === member);
  if (!there) {
    const names = allocation.members.map((m) => m.name).join(', ');
    throw new PgsError('usage', { doing, found: `there is no member ${member}; ${tenant} has ${names}` });
  }
  refuseWhilePausedOrLeaderless(cluster, facts, doing);
  const others = allocation.members.filter((m) => m.name !== member);
  refuseFallen(
    tenant,
    facts,
    others.map((m) => m.name),
    doing,
  );
  refuseBeyondReach(there, facts, doing);
  const hosts = await place(to === null ? null : [to], 1);
  return { ...record, allocation: withJoining(tenant, allocation, hosts, { replaces: member, data }) };
}

/** It left, or is about to: the same command again finishes that, or finds nothing to do. */
function wasMember({ tenant, allocation }: Cluster, name: string): boolean {
  if (allocation.leaving?.some((m) => m.name === name)) return true;
  const number = numberOfMember(name);
  const isPast = name === `${tenant}-${number}` && number >= 1 && number <= lastNumberOf(allocation);
  return isPast && !allocation.members.some((m) => m.name === name);
}

function refuseWhilePausedOrLeaderless(cluster: Cluster, facts: ClusterFacts, doing: string): void {
  const { tenant } = cluster;
  if (isPaused(facts)) {
    const hint = `Resume it first: \`pgs cluster resume ${tenant}\`. Nothing was changed.`;
    throw new PgsError('endangers', { doing, found: 'Patroni is paused', hint });
  }
  const leaves = Object.values(facts.leaving ?? {}).some((fact) => fact.reachable && fact.role === 'leader');
  if (findLeader(facts.patroni) || leaves) return;
  throw new PgsError('endangers', {
    doing,
    found: 'no member leads, so there is nobody to copy from',
    hint: `See \`pgs cluster status ${tenant}\`; \`pgs apply ${tenant}\` starts what does not run. Nothing was changed.`,
  });
}

/** While a member goes or is copied, all others have to serve: otherwise what is acknowledged meanwhile has one copy. */
function refuseFallen(tenant: string, facts: ClusterFacts, names: string[], doing: string): void {
  const streaming = streamingReplicas(facts.patroni);
  const leader = findLeader(facts.patroni)?.name;
  const fallen = names.filter((name) => name !== leader && !streaming.includes(name));
  if (fallen.length === 0) return;
  const ways = [
    `\`pgs apply ${tenant}\` starts what does not run`,
    `\`pgs cluster reinit ${tenant} --member ${fallen[0]}\` copies it anew`,
    `\`pgs cluster replace ${fallen[0]}\` gives up one whose host is lost`,
    `\`pgs cluster scale ${tenant} --replicas ${streaming.length}\` gives up all that do not stream`,
  ];
  throw new PgsError('endangers', {
    doing,
    found: `${fallen.join(', ')} ${fallen.length > 1 ? 'do' : 'does'} not stream`,
    hint: `Mend that first: ${ways.join(', ')}. Nothing was changed.`,
  });
}

function refuseBeyondReach(member: Member, facts: ClusterFacts, doing: string): void {
  if (!isBeyondReach(member, facts)) return;
  throw new PgsError('endangers', {
    doing,
    host: member.host,
    found: `its Patroni answers, and ssh does not: it could not be stopped`,
    hint: `Bring ssh to ${member.host} back, or switch the host off. Nothing was changed.`,
  });
}
