// The end of a recovery of etcd: each tenant's pause ends when its members are all known again, so that whoever leads was chosen knowing all.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { tenantKeyPrefix } from '../etcd/tenants.js';
import { findLeader, streamingReplicas } from '../patroni/facts.js';
import type { ExportContent } from '../state/export.js';
import { withTenantLock } from './change.js';
import { withCluster, type OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** Tenants whose pause is still to end, as JSON; a key of etcd, so that it outlives pgs. */
export const recoveringKey = '/pgs/state/recovering';

/** Patroni's turns are 20 s apart in the preset wide, and it asks etcd again at most 10 s later. */
const membersLimitMs = 90_000;
/** Without a leader in the pause, one is elected after it. */
const streamingLimitMs = 150_000;

export interface Released {
  tenant: string;
  /** Who leads, and whether it led already when the members came back. */
  leader: string;
  kept: boolean;
}

/**
 * Ends the pause of every tenant that a recovery left paused.
 * @param paused tenants that were paused in the export: they stay so
 * @throws PgsError `endangers` when nobody leads and a member does not come back: it may have what the others lack
 */
export async function releaseTenants(
  session: Session,
  paused: string[],
  signal: AbortSignal,
  onPhase: (what: string) => void,
): Promise<Released[]> {
  const dcs = await session.dcs();
  const kv = await dcs.get(recoveringKey);
  if (!kv) return [];
  const released: Released[] = [];
  const left = JSON.parse(kv.value) as string[];
  for (const tenant of [...left]) {
    onPhase(`end the pause of ${tenant}`);
    released.push(
      await withTenantLock(session, tenant, 'state import', signal, () =>
        withCluster(session, tenant, (open) => release(session, open, paused.includes(tenant))),
      ),
    );
    left.splice(left.indexOf(tenant), 1);
    await dcs.put(recoveringKey, JSON.stringify(left));
  }
  await dcs.delete(recoveringKey);
  return released;
}

async function release(session: Session, open: OpenCluster, staysPaused: boolean): Promise<Released> {
  const { tenant } = open.cluster;
  const led = await waitForMembers(session, open);
  const dcs = await session.dcs();
  const key = `${tenantKeyPrefix(tenant)}config`;
  const config = await dcs.get(key);
  if (config && !staysPaused) {
    const rest = JSON.parse(config.value) as Record<string, unknown>;
    delete rest.pause;
    await dcs.put(key, JSON.stringify(rest));
  }
  const leader = await waitForStreams(open);
  return { tenant, leader, kept: led === leader };
}

/** @returns who holds the leader's key when all members have theirs; null: nobody does */
async function waitForMembers(session: Session, { cluster }: OpenCluster): Promise<string | null> {
  const dcs = await session.dcs();
  const prefix = tenantKeyPrefix(cluster.tenant);
  const deadlineMs = performance.now() + membersLimitMs;
  for (;;) {
    const keys = await dcs.getPrefix(prefix);
    const leader = keys.find(({ key }) => key === `${prefix}leader`)?.value ?? null;
    const missing = cluster.members.filter(({ name }) => !keys.some(({ key }) => key === `${prefix}members/${name}`));
    if (missing.length === 0 && leader !== null) return leader;
    if (performance.now() > deadlineMs) {
      // With a leader, nobody else is chosen; without one and with all members, the choice is a good one.
      if (leader !== null || missing.length === 0) return leader;
      throw new PgsError('endangers', {
        doing: `ending the pause of ${cluster.tenant}`,
        found: `nobody leads, and ${missing.map(({ name }) => name).join(', ')} did not come back: it may have what the others lack`,
        hint: `Bring it back and run the same command again; or choose who is there: \`pgs cluster resume ${cluster.tenant}\`.`,
      });
    }
    await sleep(300);
  }
}

async function waitForStreams({ cluster, patroni }: OpenCluster): Promise<string> {
  const deadlineMs = performance.now() + streamingLimitMs;
  for (;;) {
    const facts = await patroni.gather();
    const leader = findLeader(facts)?.name;
    if (leader !== undefined && streamingReplicas(facts).length === cluster.members.length - 1) return leader;
    if (performance.now() > deadlineMs) {
      if (leader !== undefined) return leader;
      throw new PgsError('unknown-result', {
        doing: `waiting for a leader of ${cluster.tenant}`,
        found: 'no member leads',
        hint: `See \`pgs cluster status ${cluster.tenant}\`, then run the same command again.`,
      });
    }
    await sleep(300);
  }
}

/** Tenants whose settings in the export say that they are paused. */
export function pausedIn({ patroni }: Pick<ExportContent, 'patroni'>): string[] {
  return Object.entries(patroni).flatMap(([tenant, { config }]) =>
    config !== undefined && (JSON.parse(config) as { pause?: unknown }).pause === true ? [tenant] : [],
  );
}
