// A restart of one member's PostgreSQL as a step of a plan: a replica's by its Patroni; the leader's in place, with the clients of the
// poolers held.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import type { MemberFact } from '../patroni/facts.js';
import { requestRestart } from '../patroni/restart.js';
import type { OpenCluster } from './cluster.js';
import { memberOf, whileHeld } from './leader-change.js';
import type { Session } from './session.js';

/** Long transactions get this time to end, before nothing is restarted. */
const busyLimitMs = 60_000;

/**
 * Restarts it and waits until another postmaster serves.
 * @param limitMs for all of it
 * @param force clients' transactions that do not end are ended with an error; otherwise nothing is restarted then
 * @throws PgsError `endangers` when transactions do not end or a replica leads by now, `command-failed`, `unknown-result`
 */
export async function restartPostgres(
  session: Session,
  open: OpenCluster,
  name: string,
  how: 'as replica' | 'in place',
  { limitMs, force }: { limitMs: number; force: boolean },
): Promise<void> {
  const member = memberOf(open, name);
  const deadlineMs = performance.now() + limitMs;
  const before = await open.patroni.member(member);
  const restart = async () => {
    while (performance.now() < deadlineMs) {
      const leftMs = Math.ceil(deadlineMs - performance.now());
      const answer = await requestRestart(open.patroni, open.cluster, member, how === 'as replica', leftMs);
      if (answer === 'done' || (await hasRestarted(open, name, before))) return;
      // Asked twice, Patroni says that it is at it.
      await sleep(500);
    }
    throw notSeen(open, name);
  };
  if (how === 'as replica') return restart();
  const triesUntilMs = performance.now() + busyLimitMs;
  for (;;) {
    try {
      await whileHeld(session, open, [name], `restarting PostgreSQL of ${name}`, {
        signal: new AbortController().signal,
        onPhase: () => undefined,
        startedMs: performance.now(),
        whenBusy: force ? 'go on' : 'give up',
        work: restart,
      });
      return;
    } catch (thrown) {
      const busy = thrown instanceof PgsError && thrown.code === 'endangers' && performance.now() < triesUntilMs;
      if (!busy) throw thrown;
    }
    await sleep(500);
  }
}

async function hasRestarted(open: OpenCluster, name: string, before: MemberFact): Promise<boolean> {
  const fact = await open.patroni.member(memberOf(open, name), 1500);
  const serves = fact.reachable && fact.role !== 'other' && fact.postmasterStartedAt !== null;
  return serves && !(before.reachable && fact.postmasterStartedAt === before.postmasterStartedAt);
}

function notSeen(open: OpenCluster, name: string): PgsError {
  return new PgsError('unknown-result', {
    doing: `restarting PostgreSQL of ${name}`,
    host: memberOf(open, name).host.name,
    found: 'it was not seen to serve again in time',
    hint: `See \`pgs cluster logs ${open.cluster.tenant} --member ${name}\`, then run the same command again.`,
  });
}
