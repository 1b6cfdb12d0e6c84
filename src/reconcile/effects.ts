// Steps on real hosts: each kind of action and condition is handed to the component that knows it.

import { setTimeout as sleep } from 'node:timers/promises';
import equal from 'fast-deep-equal';
import { setAccess } from '../../haproxy/commands.js';
import { PgsError } from '../errors.js';
import {
  ensureTenantLogins,
  forgetMember,
  readTenantKeys,
  removeTenantAccess,
  removeTenantKeys,
} from '../etcd/tenants.js';
import { applyResources, performUnit } from '../host/apply-resources.js';
import { runChecked } from '../host/command.js';
import { gatherHostFacts } from '../host/gather.js';
import { desiredLimits, judgeLimits, parseLimits, readLimits } from '../host/limits.js';
import { gatherPrograms } from '../host/programs.js';
import { fetchPackages, updatePackages } from '../host/update-packages.js';
import {
  findLeader,
  judgeRpo,
  lagBytes,
  streamingReplicas,
  type MemberFact,
  type PatroniFacts,
} from '../patroni/facts.js';
import { requestReinit } from '../patroni/reinit.js';
import { runSuperuserSql } from '../postgres/client.js';
import { desiredSql, endClientSessions } from '../postgres/desired.js';
import { withNewEtcdPassword } from '../secrets/etcd-password.js';
import { sealTenantSecrets } from '../secrets/tenant-secrets.js';
import { loginsOf } from '../secrets/rotation.js';
import type { TenantLock } from '../state/lock.js';
import { withoutHosts, type PlacedMember } from '../topology/cluster.js';
import { differencesInForce, type ParameterDifference } from '../topology/in-force.js';
import { withoutLeaving } from '../topology/membership.js';
import type { Allocation } from '../topology/tenant.js';
import { gatherSql, type OpenCluster } from './cluster.js';
import type { Effects, Seen } from './execute.js';
import { handOver } from './hand-over.js';
import { memberOf } from './leader-change.js';
import { wantedParameters } from './plan-restarts.js';
import { restartPostgres } from './restart-postgres.js';
import type { Session } from './session.js';
import type { Condition, Step } from './step.js';

/**
 * Effects on one tenant's cluster, under its lock.
 * @param force transactions of clients that do not end in time are ended with an error, where a leader restarts or hands over
 */
export function createEffects(session: Session, open: OpenCluster, lock: TenantLock, force = false): Effects {
  return {
    perform: (step) => perform(session, open, lock, step, force),
    check: (step) => check(session, open, step.host, step.done),
  };
}

async function perform(
  session: Session,
  open: OpenCluster,
  lock: TenantLock,
  step: Step,
  force: boolean,
): Promise<void> {
  const { action, timeoutMs } = step;
  const { cluster, secrets } = open;
  const { tenant } = cluster;
  switch (action.kind) {
    case 'none':
      return;
    case 'resources':
      await applyResources(session.hosts.get(step.host!), action.resources, timeoutMs);
      return;
    case 'unit':
      await performUnit(session.hosts.get(step.host!), action.unit, action.verb, timeoutMs);
      return;
    case 'dcs-tenant-user': {
      const dcs = await session.dcs();
      if (action.want === 'present') {
        await ensureTenantLogins(dcs, tenant, loginsOf(secrets, 'etcd'));
        return;
      }
      await removeTenantKeys(dcs, tenant);
      await removeTenantAccess(dcs, tenant);
      return;
    }
    case 'patroni-settings':
      await open.patroni.putSettings(action.config);
      return;
    case 'switchover':
      await handOver(session, open, action.from, { limitMs: timeoutMs, force });
      return;
    case 'restart-postgres':
      await restartPostgres(session, open, action.member, action.how, { limitMs: timeoutMs, force });
      return;
    case 'reinit':
      await requestReinit(open.patroni, cluster, memberOf(open, action.member));
      return;
    case 'access': {
      const command = setAccess(action.tenant, action.access, action.sessions);
      const hint = `Mend that, then run the same command again; if the front door does not know it yet, \`pgs apply ${tenant}\`.`;
      await runChecked(session.hosts.get(step.host!), step.title, command, hint);
      return;
    }
    case 'end-sessions': {
      const host = session.hosts.get(await leaderHost(open, timeoutMs / 2));
      await runSuperuserSql(host, cluster, step.title, endClientSessions, timeoutMs);
      return;
    }
    case 'sql': {
      const host = await leaderHost(open, timeoutMs / 2);
      await runSuperuserSql(
        session.hosts.get(host),
        cluster,
        step.title,
        desiredSql(secrets, cluster.spec.postgres),
        timeoutMs,
      );
      return;
    }
    case 'objects': {
      const host = session.hosts.get(await leaderHost(open, timeoutMs / 2));
      await runSuperuserSql(host, cluster, step.title, action.script, timeoutMs);
      return;
    }
    case 'record-phase': {
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, phase: action.phase }), lock);
      return;
    }
    case 'record-job-done': {
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, job: undefined }), lock);
      return;
    }
    case 'record-members': {
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, allocation: action.allocation }), lock);
      return;
    }
    case 'forget-member': {
      const [dcs, store] = [await session.dcs(), await session.store()];
      await forgetMember(dcs, tenant, action.member);
      const forget = (before: Allocation) => withoutLeaving(before, action.member);
      await store.updateTenant(tenant, (record) => ({ ...record, allocation: forget(record.allocation) }), lock);
      return;
    }
    case 'new-etcd-password': {
      const sealed = sealTenantSecrets(session.fleetKey, tenant, withNewEtcdPassword(secrets));
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, allocation: action.allocation }), lock, sealed);
      return;
    }
    case 'record-retire': {
      const store = await session.store();
      if (action.keepsData) await store.updateTenant(tenant, (record) => ({ ...record, phase: 'retired' }), lock);
      else await store.removeTenant(tenant, lock);
      return;
    }
    case 'fetch-packages':
      await fetchPackages(session.hosts.get(step.host!), action.versions);
      return;
    case 'update-packages':
      await updatePackages(session.hosts.get(step.host!), action.versions, timeoutMs);
      return;
    case 'packages':
    case 'dcs-auth-enable':
    case 'etcd-leader-away':
      throw new PgsError('bug', { doing: step.title, found: `a cluster's plan has a step of kind ${action.kind}` });
  }
}

/**
 * A member that led a moment ago may miss one look when its machine is busy, so it is looked for until the time is over.
 * @throws PgsError `unreachable` that says what each member answered
 */
async function leaderHost({ cluster, patroni }: OpenCluster, limitMs: number): Promise<string> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const facts = await patroni.gather();
    const leader = findLeader(facts);
    const member = cluster.members.find((m) => m.name === leader?.name);
    if (member) return member.host.name;
    if (performance.now() > deadlineMs) {
      throw new PgsError('unreachable', {
        doing: `looking for the leader of ${cluster.tenant}`,
        found: `no member leads: ${describeMembers(facts.members)}`,
        hint: `Look at \`pgs cluster logs ${cluster.tenant}\`, then run the same command again: it goes on from here.`,
      });
    }
    await sleep(200);
  }
}

async function check(session: Session, open: OpenCluster, host: string | null, condition: Condition): Promise<Seen> {
  switch (condition.kind) {
    case 'none':
      return { done: true, seen: '' };
    case 'unit':
      return checkUnit(session, host!, condition);
    case 'leader': {
      const [facts, keys] = await Promise.all([
        open.patroni.gather(1500),
        session.dcs().then((dcs) => readTenantKeys(dcs, condition.tenant)),
      ]);
      const name = findLeader(facts)?.name;
      // A first member that is still being made says that it is the primary, and may fail and be made anew: who leads has the key.
      const leads = name !== undefined && name === keys.leader && name !== condition.otherThan;
      return { done: leads, seen: `${describeMembers(facts.members)}; ${keys.leader ?? 'nobody'} has the leader key` };
    }
    case 'streaming': {
      const facts = await open.patroni.gather(1500);
      const covered = !condition.covered || judgeRpo(facts, 0, 'available') === 'holds';
      return {
        done: covered && replicasWithin(facts, condition.lagBytesMax) >= condition.replicas,
        seen: describeMembers(facts.members),
      };
    }
    case 'patroni-settings': {
      const { settings } = await readTenantKeys(await session.dcs(), condition.tenant);
      return { done: equal(settings, condition.config), seen: 'the settings in the DCS are still the old ones' };
    }
    case 'ttl-known': {
      const { members } = withoutHosts(open.cluster, condition.leaveOut);
      const known = await Promise.all(members.map(async (m) => [m.name, await knownTtl(open, m)] as const));
      const others = known.filter(([, ttlS]) => ttlS !== condition.ttlS);
      return { done: others.length === 0, seen: others.map(([name, ttlS]) => `${name} knows ${ttlS} s`).join(', ') };
    }
    case 'paused': {
      const { members } = await open.patroni.gather(1500);
      const others = Object.entries(members).filter(([, fact]) => fact.reachable && fact.paused !== condition.paused);
      const seen = `${others.map(([name]) => name).join(', ')} ${condition.paused ? 'is not paused yet' : 'is still paused'}`;
      return { done: others.length === 0, seen };
    }
    case 'stopped': {
      const { members } = await askMembers(open, condition.leaveOut);
      return { done: Object.values(members).every((fact) => !fact.reachable), seen: describeMembers(members) };
    }
    case 'restarted': {
      const fact = await open.patroni.member(memberOf(open, condition.member), 1500);
      const serves = fact.reachable && (fact.role === 'leader' || fact.streaming);
      return {
        done: serves && fact.postmasterStartedAt !== condition.startedAt,
        seen: describeMembers({ [condition.member]: fact }),
      };
    }
    case 'parameters':
      return checkParameters(session, open, condition);
    case 'limits':
      return checkLimits(session, host!, condition);
    case 'proven':
      return checkProof(session, open, condition.leaveOut);
    case 'updated':
      return checkUpdated(session, host!, condition);
    case 'dcs-healthy':
      throw new PgsError('bug', { doing: 'checking a step', found: "a cluster's plan waits for the DCS" });
  }
}

async function checkUnit(session: Session, host: string, wanted: Extract<Condition, { kind: 'unit' }>): Promise<Seen> {
  const facts = await gatherHostFacts(session.hosts.get(host), { users: [], paths: [], units: [wanted.unit] });
  if (!facts.reachable) return { done: false, seen: facts.why };
  const unit = facts.units[wanted.unit];
  const active = unit?.active === 'active';
  const stale = Object.entries(wanted.loaded).filter(([path, sha]) => (unit?.loaded[path] ?? '') !== sha);
  if (active !== wanted.active) return { done: false, seen: `${wanted.unit} is ${unit?.active ?? 'not there'}` };
  return {
    done: !wanted.active || stale.length === 0,
    seen: `${wanted.unit} has not loaded ${stale.map(([path]) => path).join(', ')}`,
  };
}

/** systemd tells the kernel a moment after it was told. */
const limitsTries = 10;

/**
 * Limits that somebody else changed are told again.
 * @throws PgsError `unfit` for a limit that the kernel does not hold the tenant to even then: waiting would not change that
 */
async function checkLimits(
  session: Session,
  host: string,
  { tenant, slice, unit, limits }: Extract<Condition, { kind: 'limits' }>,
): Promise<Seen> {
  const doing = `limiting what ${tenant} may use`;
  for (let tries = 1; ; tries++) {
    const answer = await runChecked(session.hosts.get(host), doing, readLimits(slice, unit));
    const missing = judgeLimits(limits, parseLimits(answer));
    if (missing.length === 0) return { done: true, seen: '' };
    if (tries === 1) await applyResources(session.hosts.get(host), desiredLimits({ tenant, limits }), 60_000);
    else if (tries < limitsTries) await sleep(200);
    else {
      throw new PgsError('unfit', {
        doing,
        host,
        found: missing.join('\n'),
        hint: `Give the host these controllers (in a container whoever runs it has to delegate them), or take the limits out of the spec; then \`pgs apply ${tenant}\`.`,
      });
    }
  }
}

/** One look is enough: what is not so now will not be so by waiting, but for a program that comes up. */
export async function checkUpdated(
  session: Session,
  host: string,
  { versions, units }: Extract<Condition, { kind: 'updated' }>,
): Promise<Seen> {
  const { packages, programs } = await gatherPrograms(session.hosts.get(host), Object.keys(versions), 'installed');
  const other = Object.entries(versions).filter(([name, version]) => packages[name]?.installed !== version);
  const old = programs.filter(({ unit, replaced }) => replaced && units.includes(unit));
  const seen = [
    ...other.map(([name]) => `${name} is ${packages[name]?.installed ?? 'not installed'}`),
    ...old.map(({ unit, component }) => `${component} of ${unit} runs from the old files`),
  ];
  return { done: seen.length === 0, seen: seen.join('; ') };
}

/** A service that does not answer yet is not done; the last word of it is shown if it never does. */
async function checkProof(session: Session, { cluster, secrets }: OpenCluster, leaveOut: string[]): Promise<Seen> {
  try {
    const missing = await session.prove(withoutHosts(cluster, leaveOut), secrets);
    return { done: missing === null, seen: missing ?? '' };
  } catch (thrown) {
    if (thrown instanceof PgsError && thrown.code === 'unreachable') return { done: false, seen: thrown.message };
    throw thrown;
  }
}

/** Null for one that does not answer. */
async function knownTtl({ patroni }: OpenCluster, member: PlacedMember): Promise<number | null> {
  const answer = await patroni.request(member, 'GET', '/config', undefined, 1500).catch(() => null);
  const ttl = (answer?.body as { ttl?: unknown } | undefined)?.ttl;
  return typeof ttl === 'number' ? ttl : null;
}

async function askMembers({ cluster, patroni }: OpenCluster, leaveOut: string[]): Promise<PatroniFacts> {
  const asked = withoutHosts(cluster, leaveOut).members.map(
    async (m) => [m.name, await patroni.member(m, 1500)] as const,
  );
  return { members: Object.fromEntries(await Promise.all(asked)) };
}

function replicasWithin(facts: PatroniFacts, lagBytesMax: number): number {
  const leader = findLeader(facts)?.fact;
  return streamingReplicas(facts).filter((name) => {
    const fact = facts.members[name];
    return leader && fact?.reachable && (lagBytes(fact, leader) ?? 0) <= lagBytesMax;
  }).length;
}

async function checkParameters(
  session: Session,
  open: OpenCluster,
  { want, names, leaveOut }: Extract<Condition, { kind: 'parameters' }>,
): Promise<Seen> {
  const { cluster } = open;
  const patroni = await open.patroni.gather(1500);
  const sql = await gatherSql(session, open, patroni);
  const wanted = wantedParameters(cluster);
  const missing = cluster.members.flatMap(({ name, host }) => {
    if (leaveOut.includes(host.name)) return [];
    const found = sql[name]?.parameters;
    if (!found) return [`${name} does not say what it runs with`];
    const fact = patroni.members[name];
    const waits = (d: ParameterDifference) =>
      want === 'taken' && d.atStart && (found.pending.includes(d.name) || (fact?.reachable && fact.pendingRestart));
    const differing = differencesInForce(wanted, found).filter((d) => names.includes(d.name) && !waits(d));
    return differing.map(({ name: parameter, has, wants }) => `${name} has ${parameter} ${has}, not ${wants}`);
  });
  return { done: missing.length === 0, seen: missing.join('; ') };
}

function describeMembers(members: Record<string, MemberFact>): string {
  return Object.entries(members)
    .map(([name, fact]) => {
      if (!fact.reachable) return `${name}: ${fact.why}`;
      return `${name}: ${fact.synchronous ? 'synchronous ' : ''}${fact.role} ${fact.state}${fact.timeline ? ` on timeline ${fact.timeline}` : ''}`;
    })
    .join('; ');
}
