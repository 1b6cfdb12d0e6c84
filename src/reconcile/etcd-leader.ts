// Keeps etcd's leader away from hosts that lead PostgreSQL. Looked at where leaders may have moved: at the end of a create, a switchover,
// a failover and `dcs create`; never while somebody changes a tenant.

import { PgsError } from '../errors.js';
import { planEtcdLeader, type EtcdLeaderMove } from '../etcd/leader-placement.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { stateKeys } from '../state/store.js';
import type { Session } from './session.js';

/**
 * Moves etcd's leader if there is a better place by enough, and returns the move.
 * @param own tenant whose lock the caller holds; another's lock means that a switchover may be under way, and nothing is moved
 */
export async function settleEtcdLeader(session: Session, own: string | null): Promise<EtcdLeaderMove | null> {
  if (session.inventory.etcd.kind !== 'fleet') return null;
  try {
    const dcs = await session.dcs();
    const [members, tenants, locks] = await Promise.all([
      dcs.maintenance.statuses(),
      session.store().then((store) => store.listTenants()),
      dcs.getPrefix(stateKeys.lock('')),
    ]);
    if (locks.some(({ key }) => own === null || key !== stateKeys.lock(own))) return null;
    const leaderIds = new Set(members.map((m) => (m.answers ? m.leaderId : null)));
    // An election costs less than it brings only when all members are there and agree.
    if (leaderIds.size !== 1 || leaderIds.has(null)) return null;
    const keys = await Promise.all(tenants.map(({ record }) => readTenantKeys(dcs, record.spec.tenant)));
    if (keys.some(({ failover }) => failover !== null)) return null;
    const postgresLeaders: Record<string, number> = {};
    for (const [i, { record }] of tenants.entries()) {
      const host = record.allocation.members.find((m) => m.name === keys[i]!.leader)?.host;
      if (host !== undefined) postgresLeaders[host] = (postgresLeaders[host] ?? 0) + 1;
    }
    const leader = members.find((m) => m.answers && m.memberId === m.leaderId)?.name ?? null;
    const move = planEtcdLeader({ leader, fit: members.map((m) => m.name), postgresLeaders });
    if (move) await dcs.maintenance.moveLeader(move.to);
    return move;
  } catch (thrown) {
    // Where etcd's leader sits is a matter of speed, not of the work that was done.
    if (thrown instanceof PgsError) return null;
    throw thrown;
  }
}

export function describeMove({ from, to, why }: EtcdLeaderMove): string {
  return `etcd's leader moved from ${from} to ${to}: ${why}`;
}
