// A replica that is made anew: is it safe to throw its data away, and the request to its Patroni.

import { PgsError } from '../errors.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import type { PatroniClient, RestAnswer } from './client.js';
import { findLeader, streamingReplicas, type PatroniFacts, type ReachableMember } from './facts.js';
import { refuseUnknownMember } from './switchover.js';

/**
 * The member as it is, when its data may go: another member leads and has everything, and at least one other copy follows it, unless
 * this one is no copy to count on anyway.
 * @throws PgsError `usage` for a name that is no member's, `endangers` for the leader, for the last copy beside it, and for one whose
 * Patroni does not answer
 */
export function chooseReinit(cluster: Cluster, facts: PatroniFacts, name: string): ReachableMember {
  const { tenant } = cluster;
  const doing = `making ${name} anew`;
  refuseUnknownMember(cluster, name, doing);
  const refuse = (found: string, hint: string) =>
    new PgsError('endangers', { doing, found, hint: `${hint} Nothing was changed.` });
  const leader = findLeader(facts)?.name;
  if (leader === undefined) {
    throw refuse('no member leads, so there is nobody to copy from', `See \`pgs cluster status ${tenant}\`.`);
  }
  if (leader === name) {
    throw refuse(
      'it leads: its data is what all others follow',
      `Let another one lead first: \`pgs switchover ${tenant}\`.`,
    );
  }
  const fact = facts.members[name];
  if (!fact?.reachable) {
    const why = fact ? fact.why : 'not looked at';
    throw refuse(`its Patroni does not answer: ${why}`, `Start it first: \`pgs apply ${tenant}\`.`);
  }
  const streaming = streamingReplicas(facts);
  if (streaming.length === 1 && streaming[0] === name) {
    throw refuse(
      `it is the last good copy beside the leader ${leader}: no other replica streams`,
      `Mend another replica first: \`pgs cluster status ${tenant}\` says what keeps it.`,
    );
  }
  return fact;
}

/**
 * Asks the replica's Patroni, which begins at once and is then at it for as long as the copy takes. One that is at it already is fine.
 * @throws PgsError `endangers` when Patroni refuses, and then nothing has changed
 */
export async function requestReinit(client: PatroniClient, cluster: Cluster, member: PlacedMember): Promise<void> {
  judgeReinitAnswer(await client.request(member, 'POST', '/reinitialize', { force: false }, 10_000), cluster, member);
}

/** Pure part of `requestReinit`; the words are those of patroni/ha.py, `reinitialize`. */
export function judgeReinitAnswer({ status, body }: RestAnswer, cluster: Cluster, member: PlacedMember): void {
  const said = typeof body === 'string' ? body.trim() : JSON.stringify(body);
  if (status === 200 || (status === 503 && said.includes('reinitialize already in progress'))) return;
  throw new PgsError('endangers', {
    doing: `making ${member.name} anew`,
    host: member.host.name,
    found: `Patroni answered ${status}: ${said}`,
    hint: `Nothing was changed. See \`pgs cluster logs ${cluster.tenant} --member ${member.name}\`.`,
  });
}
