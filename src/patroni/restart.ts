// A restart of a member's PostgreSQL through its Patroni, which keeps the leader's key meanwhile.

import { PgsError } from '../errors.js';
import type { Cluster, PlacedMember } from '../topology/cluster.js';
import type { PatroniClient, RestAnswer } from './client.js';

/** Patroni gives a leader up that did not start within this, seconds. */
const startLimitS = 60;

/** `under way`: one is being done. `none`: it is asked for or not, which is seen by looking at the postmaster, or by asking again. */
export type RestartAnswer = 'done' | 'under way' | 'none';

/**
 * Asks the member's Patroni and waits for its answer.
 * @param onlyReplica Patroni refuses when the member leads meanwhile
 * @param timeoutMs of the answer; Patroni waits up to twice loop_wait until a synchronous standby is none, before it restarts it
 * @throws PgsError `endangers` when it leads and must not, `command-failed` when PostgreSQL did not come up
 */
export async function requestRestart(
  client: PatroniClient,
  cluster: Cluster,
  member: PlacedMember,
  onlyReplica: boolean,
  timeoutMs: number,
): Promise<RestartAnswer> {
  const body = { timeout: startLimitS, ...(onlyReplica ? { role: 'replica' } : {}) };
  const answer = await client.request(member, 'POST', '/restart', body, timeoutMs).catch((e: PgsError) => e);
  if (answer instanceof PgsError) return 'none';
  return judgeRestartAnswer(answer, cluster, member);
}

/** Pure part of `requestRestart`; the words are those of patroni/ha.py, `restart`. */
export function judgeRestartAnswer(
  { status, body }: RestAnswer,
  cluster: Cluster,
  member: PlacedMember,
): RestartAnswer {
  const said = typeof body === 'string' ? body.trim() : JSON.stringify(body);
  if (status === 200) return 'done';
  if (status === 503 && /in progress|still starting/.test(said)) return 'under way';
  const leads = status === 503 && said.includes('conditions are not satisfied');
  throw new PgsError(leads ? 'endangers' : 'command-failed', {
    doing: `restarting PostgreSQL of ${member.name}`,
    host: member.host.name,
    found: leads ? 'it leads by now, and was not restarted' : `Patroni answered ${status}: ${said}`,
    hint: leads
      ? 'Run the same command again: it goes on from here.'
      : `See \`pgs cluster logs ${cluster.tenant} --member ${member.name}\`, mend the cause and run the same command again.`,
  });
}
