// `pgs watchdog status`: every member's fencing, gathered from its host.

import type { MemberFencing } from '../../watchdog/verdict.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { findLeader } from '../patroni/facts.js';
import { withCluster } from './cluster.js';
import { gatherFencing, judgeMembers } from './fencing.js';
import type { Session } from './session.js';

/** The shape of `pgs watchdog status -o json`; fields are added, never renamed. */
export interface WatchdogStatus {
  tenant: string;
  leader: string | null;
  /** Every member is fenced. */
  fenced: boolean;
  members: (MemberFencing & {
    name: string;
    host: string;
    role: 'leader' | 'replica' | 'other' | 'unknown';
    softdogLoaded: boolean | null;
  })[];
}

/** @throws PgsError `usage` when there is no such tenant */
export async function gatherWatchdogStatus(session: Session, tenant: string): Promise<WatchdogStatus> {
  return withCluster(session, tenant, async (open) => {
    const [patroni, facts, keys] = await Promise.all([
      open.patroni.gather(),
      gatherFencing(session, open, 'always'),
      readTenantKeys(await session.dcs(), tenant),
    ]);
    const judged = judgeMembers(open.cluster, patroni, keys.settings, facts);
    const members = open.cluster.members.map(({ name, host }) => {
      const fact = patroni.members[name];
      const role = fact?.reachable ? fact.role : ('unknown' as const);
      const softdogLoaded = facts[name]?.softdog.loaded ?? null;
      return { name, host: host.name, role, softdogLoaded, ...judged[name]! };
    });
    const fenced = members.every(({ verdict }) => verdict === 'fenced');
    return { tenant, leader: findLeader(patroni)?.name ?? null, fenced, members };
  });
}
