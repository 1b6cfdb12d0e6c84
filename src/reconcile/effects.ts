// Steps on real hosts: each kind of action and condition is handed to the component that knows it.

import { setTimeout as sleep } from 'node:timers/promises';
import equal from 'fast-deep-equal';
import { PgsError } from '../errors.js';
import { ensureTenantAccess, readTenantKeys, removeTenantAccess, removeTenantKeys } from '../etcd/tenants.js';
import { applyResources, performUnit } from '../host/apply-resources.js';
import { gatherHostFacts } from '../host/gather.js';
import { findLeader, judgeRpo, streamingReplicas, type MemberFact } from '../patroni/facts.js';
import { runSuperuserSql } from '../postgres/client.js';
import { desiredSql } from '../postgres/desired.js';
import type { TenantLock } from '../state/lock.js';
import { withoutHosts } from '../topology/cluster.js';
import type { OpenCluster } from './cluster.js';
import type { Effects, Seen } from './execute.js';
import { handOver } from './hand-over.js';
import type { Session } from './session.js';
import type { Condition, Step } from './step.js';

/** Effects on one tenant's cluster, under its lock. */
export function createEffects(session: Session, open: OpenCluster, lock: TenantLock): Effects {
  return {
    perform: (step) => perform(session, open, lock, step),
    check: (step) => check(session, open, step.host, step.done),
  };
}

async function perform(session: Session, open: OpenCluster, lock: TenantLock, step: Step): Promise<void> {
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
        await ensureTenantAccess(dcs, tenant, secrets.passwords.etcd.password);
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
      await handOver(session, open, action.from, timeoutMs);
      return;
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
    case 'record-phase': {
      const store = await session.store();
      await store.updateTenant(tenant, (record) => ({ ...record, phase: action.phase }), lock);
      return;
    }
    case 'record-retire': {
      const store = await session.store();
      if (action.keepsData) await store.updateTenant(tenant, (record) => ({ ...record, phase: 'retired' }), lock);
      else await store.removeTenant(tenant, lock);
      return;
    }
    case 'packages':
    case 'dcs-auth-enable':
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
      const facts = await open.patroni.gather(1500);
      const name = findLeader(facts)?.name;
      return { done: name !== undefined && name !== condition.otherThan, seen: describeMembers(facts.members) };
    }
    case 'streaming': {
      const facts = await open.patroni.gather(1500);
      const covered = !condition.covered || judgeRpo(facts, 0, 'available') === 'holds';
      return {
        done: covered && streamingReplicas(facts).length >= condition.replicas,
        seen: describeMembers(facts.members),
      };
    }
    case 'patroni-settings': {
      const { settings } = await readTenantKeys(await session.dcs(), condition.tenant);
      return { done: equal(settings, condition.config), seen: 'the settings in the DCS are still the old ones' };
    }
    case 'proven':
      return checkProof(session, open, condition.leaveOut);
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

function describeMembers(members: Record<string, MemberFact>): string {
  return Object.entries(members)
    .map(([name, fact]) => {
      if (!fact.reachable) return `${name}: ${fact.why}`;
      return `${name}: ${fact.synchronous ? 'synchronous ' : ''}${fact.role} ${fact.state}${fact.timeline ? ` on timeline ${fact.timeline}` : ''}`;
    })
    .join('; ');
}
