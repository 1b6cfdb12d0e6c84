// Fencing of a cluster at the edge: each member's host is asked about its watchdogs, and each member is judged.

import { z } from 'zod';
import { mechanismOf } from '../../watchdog/desired.js';
import { parseFencing, type FencingFacts } from '../../watchdog/facts.js';
import { judgeFencing, type MemberFencing } from '../../watchdog/verdict.js';
import type { HostAccess } from '../host/command.js';
import { readTemplate } from '../host/template.js';
import type { PatroniFacts } from '../patroni/facts.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import { presets, type PatroniTiming } from '../topology/presets.js';
import type { OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** What each member's host says; null for one that could not be looked at, and for all when the watchdog is off unless `always`. */
export async function gatherFencing(
  session: Session,
  { cluster }: Pick<OpenCluster, 'cluster'>,
  when: 'unless-off' | 'always' = 'unless-off',
): Promise<Record<string, FencingFacts | null>> {
  const asked = cluster.members.map(async (member): Promise<[string, FencingFacts | null]> => {
    if (cluster.spec.watchdog === 'off' && when === 'unless-off') return [member.name, null];
    return [member.name, await lookAt(session.hosts.get(member.host.name), cluster.tenant)];
  });
  return Object.fromEntries(await Promise.all(asked));
}

/** Null when the host does not answer, or not in a way that makes sense. */
export async function lookAt(access: HostAccess, tenant: string): Promise<FencingFacts | null> {
  const look = readTemplate('watchdog/look.py');
  try {
    const answer = await access.run({ argv: ['python3', '-I', '-c', look, tenant], timeoutMs: 15_000 });
    return answer.code === 0 ? parseFencing(answer.stdout, tenant) : null;
  } catch {
    return null;
  }
}

/** Patroni's timing as it is now, else as the spec has it. */
export function timingOf(cluster: Cluster, settings: Record<string, unknown> | null): PatroniTiming {
  const live = z.object({ ttl: z.number(), loop_wait: z.number(), retry_timeout: z.number() }).safeParse(settings);
  if (!live.success) return presets[cluster.spec.rto].patroni;
  return { ttlS: live.data.ttl, loopWaitS: live.data.loop_wait, retryTimeoutS: live.data.retry_timeout };
}

export function judgeMembers(
  cluster: Cluster,
  patroni: PatroniFacts,
  settings: Record<string, unknown> | null,
  facts: Record<string, FencingFacts | null>,
): Record<string, MemberFencing> {
  const timing = timingOf(cluster, settings);
  const judge = (member: PlacedMember): MemberFencing => {
    const fact = patroni.members[member.name];
    return judgeFencing({
      mode: cluster.spec.watchdog,
      mechanism: mechanismOf(member),
      host: member.host.name,
      user: cluster.osUser,
      timing,
      facts: facts[member.name] ?? null,
      role: fact?.reachable ? fact.role : 'unknown',
    });
  };
  return Object.fromEntries(cluster.members.map((member) => [member.name, judge(member)]));
}
