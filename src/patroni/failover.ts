// A failover by hand, for a leader that is gone and that Patroni does not replace by itself: who would take over, and what would be
// lost by it. Pure but for the request.

import { PgsError } from '../errors.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import type { PatroniClient } from './client.js';
import { findLeader, type PatroniFacts, type ReachableMember } from './facts.js';
import { refuseUnknownMember } from './switchover.js';

/** What the DCS says of a cluster. */
export interface LastWord {
  /** Member that holds the leader's key; null when its lease is over. */
  leader: string | null;
  /** Position that the last leader said it had reached, bytes. */
  leaderBytes: number | null;
  /** Members of Patroni's list of synchronous ones; null at another RPO. */
  synchronous: string[] | null;
  /** How many others of the list must be no further than a candidate for it to have every acknowledged commit. */
  quorum: number;
}

export interface FailoverChoice {
  to: string;
  /** `nothing`: it has every acknowledged commit. `some`: at least `lostBytesMin` of WAL. `unknown`: it may have all or not. */
  loses: 'nothing' | 'some' | 'unknown';
  /** WAL that the last leader had written by its last word and the candidate does not have, bytes; null when not known. */
  lostBytesMin: number | null;
  /** What an operator should read before agreeing, a sentence each. */
  consequences: string[];
}

interface Candidate {
  name: string;
  bytes: number;
}

/**
 * Without a wish, the member that has the most.
 * @throws PgsError `usage` when a member leads or the one that is meant is not there, `endangers` when nobody can take over
 */
export function chooseFailover(
  cluster: Cluster,
  facts: PatroniFacts,
  word: LastWord,
  wish: string | null,
): FailoverChoice {
  const doing = `planning a failover of ${cluster.tenant}`;
  const leader = findLeader(facts);
  if (leader) {
    throw new PgsError('usage', {
      doing,
      found: `${leader.name} leads and answers`,
      hint: `A leader that works hands over with \`pgs switchover ${cluster.tenant}\`, which loses nothing.`,
    });
  }
  refuseUnknownMember(cluster, wish, doing);
  const candidates = candidatesOf(facts);
  const best = candidates.find((c) => wish === null || c.name === wish);
  if (!best) {
    throw new PgsError('endangers', {
      doing,
      found: wish ? `${wish} does not answer as a replica` : 'no replica answers',
      hint: `Bring a member back first: \`pgs cluster logs ${cluster.tenant}\` and \`pgs cluster status ${cluster.tenant}\` show what keeps them.`,
    });
  }
  return judgeLoss(best, candidates, word);
}

/** Replicas that answer, the one with the most WAL first. */
function candidatesOf({ members }: PatroniFacts): Candidate[] {
  return Object.entries(members)
    .flatMap(([name, fact]) => (fact.reachable && fact.role === 'replica' ? [{ name, bytes: bytesOf(fact) }] : []))
    .sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
}

function bytesOf({ receivedBytes, positionBytes }: ReachableMember): number {
  return Math.max(receivedBytes ?? 0, positionBytes ?? 0);
}

function judgeLoss(to: Candidate, candidates: Candidate[], word: LastWord): FailoverChoice {
  const consequences: string[] = [];
  const missing = word.leaderBytes === null ? null : Math.max(0, word.leaderBytes - to.bytes);
  const ahead = candidates.filter((c) => c.bytes > to.bytes);
  for (const c of ahead)
    consequences.push(`${c.name} has ${c.bytes - to.bytes} bytes more than ${to.name}, and gives them up`);
  const listed = word.synchronous?.includes(to.name) ?? false;
  const votes = candidates.filter(
    (c) => c.name !== to.name && c.bytes <= to.bytes && word.synchronous?.includes(c.name),
  );
  if (listed && votes.length >= word.quorum && ahead.length === 0) {
    consequences.push(`${to.name} has every commit that was acknowledged at RPO 0`);
    return { to: to.name, loses: 'nothing', lostBytesMin: 0, consequences };
  }
  if (missing !== null && missing > 0) {
    consequences.push(`${missing} bytes of WAL are lost at least, and what was written after the leader's last word`);
    return { to: to.name, loses: 'some', lostBytesMin: missing, consequences };
  }
  consequences.push(
    word.synchronous === null
      ? `${to.name} has all up to the leader's last word; what was written after it, up to a loop_wait and more, is lost`
      : listed
        ? `a commit was acknowledged by one of several standbys, and too few of them answer: it may be on ${to.name}, or lost`
        : `${to.name} was not synchronous: commits that were acknowledged may be missing`,
  );
  return { to: to.name, loses: 'unknown', lostBytesMin: missing, consequences };
}

/**
 * Asks Patroni of the candidate to take over; what came of it is for the caller to look at.
 * @throws PgsError `endangers` when Patroni refuses, `unreachable`
 */
export async function requestFailover(client: PatroniClient, cluster: Cluster, candidate: PlacedMember): Promise<void> {
  const { status, body } = await client.request(candidate, 'POST', '/failover', { candidate: candidate.name }, 60_000);
  if (status === 200 || status === 202 || status === 503) return;
  throw new PgsError('endangers', {
    doing: `failing ${cluster.tenant} over to ${candidate.name}`,
    host: candidate.host.name,
    found: `Patroni answered ${status}: ${typeof body === 'string' ? body.trim() : JSON.stringify(body)}`,
    hint: 'Nothing was changed.',
  });
}
