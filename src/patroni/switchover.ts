// A planned change of leader: is it safe to ask for, who takes over, and what came of it.

import { PgsError } from '../errors.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import type { PatroniClient, RestAnswer } from './client.js';
import { findLeader, lagBytes, streamingReplicas, type PatroniFacts, type ReachableMember } from './facts.js';

export interface SwitchoverChoice {
  from: string;
  to: string;
}

/** A candidate further behind than this would make writers wait while it catches up, bytes. */
export const candidateLagBytesMax = 16 * 1024 * 1024;

/**
 * Who leads and who should. Without a wish: a synchronous standby if there is one, then the one with the smallest lag.
 * @throws PgsError `usage` for a member that cannot be meant, `endangers` when the cluster is in no state for it
 */
export function chooseSwitchover(cluster: Cluster, facts: PatroniFacts, wish: string | null): SwitchoverChoice {
  const doing = `planning a switchover of ${cluster.tenant}`;
  const leader = findLeader(facts);
  refuseUnknownMember(cluster, wish, doing);
  if (!leader) {
    throw new PgsError('endangers', {
      doing,
      found: 'no member leads, so there is nobody to take over from',
      hint: `See \`pgs cluster status ${cluster.tenant}\`.`,
    });
  }
  if (wish === leader.name) throw new PgsError('usage', { doing, found: `${wish} leads already` });
  if (leader.fact.paused) {
    throw new PgsError('endangers', {
      doing,
      found: 'Patroni is paused',
      hint: `Resume it first: \`pgs cluster resume ${cluster.tenant}\`.`,
    });
  }
  const to = fitCandidates(cluster, facts).find((name) => wish === null || name === wish);
  if (to !== undefined) return { from: leader.name, to };
  throw new PgsError('endangers', {
    doing,
    found: wish
      ? `${wish} ${unfitReason(facts.members[wish])}`
      : 'no replica streams, is synchronous where it has to be, and is within 16 MB of the leader',
    hint: `See \`pgs cluster status ${cluster.tenant}\`; a switchover goes only to a member that has everything.`,
  });
}

/** Members that could take over with everything: they stream, are synchronous at RPO 0, and lag little; the smallest lag first. */
export function fitCandidates({ spec }: Cluster, facts: PatroniFacts): string[] {
  const leader = findLeader(facts);
  if (!leader) return [];
  const fit = streamingReplicas(facts).map((name) => ({ name, fact: facts.members[name] as ReachableMember }));
  return fit
    .filter((m) => m.fact.synchronous || spec.rpoBytes > 0)
    .map(({ name, fact }) => ({ name, lag: lagBytes(fact, leader.fact) }))
    .filter(({ lag }) => (lag ?? Infinity) <= candidateLagBytesMax)
    .sort((a, b) => (a.lag ?? 0) - (b.lag ?? 0))
    .map(({ name }) => name);
}

/** @throws PgsError `usage` for a name that is no member's; null is no wish */
export function refuseUnknownMember({ tenant, members }: Cluster, wish: string | null, doing: string): void {
  if (wish === null || members.some((m) => m.name === wish)) return;
  const names = members.map((m) => m.name).join(', ');
  throw new PgsError('usage', { doing, found: `there is no member ${wish}; ${tenant} has ${names}` });
}

function unfitReason(fact: PatroniFacts['members'][string] | undefined): string {
  if (!fact?.reachable) return `does not answer: ${fact?.why ?? 'not looked at'}`;
  if (!fact.streaming) return `does not stream (${fact.state})`;
  return 'is not synchronous or lags too far behind';
}

/**
 * What Patroni said. `under way`: it may come to pass or not, which is seen by looking: 503 "status unknown" after its own limit can
 * still succeed, and a leader that steps down closes its REST connections. `failed`: it gave up, and says why.
 */
export type SwitchoverAnswer = { outcome: 'done' | 'under way' } | { outcome: 'failed'; said: string };

/**
 * Asks Patroni for the switchover and waits for its answer.
 * @throws PgsError `endangers` when Patroni refuses, and then nothing has changed
 */
export async function requestSwitchover(
  client: PatroniClient,
  cluster: Cluster,
  { from, to }: SwitchoverChoice,
): Promise<SwitchoverAnswer> {
  const leader = cluster.members.find((m) => m.name === from)!;
  const answer = await client
    .request(leader, 'POST', '/switchover', { leader: from, candidate: to }, 60_000)
    .catch((e: PgsError) => e);
  if (answer instanceof PgsError) return { outcome: 'under way' };
  return judgeSwitchoverAnswer(answer, cluster, { from, to });
}

/** Pure part of `requestSwitchover`. */
export function judgeSwitchoverAnswer(
  { status, body }: RestAnswer,
  cluster: Cluster,
  { from, to }: SwitchoverChoice,
): SwitchoverAnswer {
  const said = typeof body === 'string' ? body.trim() : JSON.stringify(body);
  if (status === 200) return { outcome: 'done' };
  // Other than "status unknown": Patroni looked, and the request is no longer there.
  if (status === 503 && /failed/.test(said)) return { outcome: 'failed', said };
  if (status === 202 || status === 503) return { outcome: 'under way' };
  throw new PgsError('endangers', {
    doing: `switching ${cluster.tenant} over from ${from} to ${to}`,
    host: cluster.members.find((m) => m.name === from)!.host.name,
    found: `Patroni answered ${status}: ${said}`,
    hint: `Nothing was changed. See \`pgs cluster status ${cluster.tenant}\`.`,
  });
}

/**
 * Has the member's Patroni look at once instead of at its next turn: a change of its settings that changes nothing. One that does not
 * answer looks within loop_wait.
 */
export async function wakeUp(
  client: PatroniClient,
  member: PlacedMember,
  settings: Record<string, unknown>,
): Promise<void> {
  await client.request(member, 'PATCH', '/config', { ttl: settings.ttl }, 2000).catch(() => undefined);
}
