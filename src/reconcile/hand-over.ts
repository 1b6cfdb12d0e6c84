// A switchover as a step of a plan: whoever is fit takes over from a leader that has to restart.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { findLeader } from '../patroni/facts.js';
import { chooseSwitchover } from '../patroni/switchover.js';
import type { OpenCluster } from './cluster.js';
import { changeLeader } from './leader-change.js';
import type { Session } from './session.js';

/**
 * Lets another member take over from `from`, as part of a plan; nothing is asked when somebody else leads already. A standby
 * that has just come back counts as synchronous only after Patroni's next loop, and transactions may be long: the choice is tried again
 * until `limitMs`.
 * @param force transactions of clients that do not end are ended with an error
 * @throws PgsError `endangers` when no member is fit to take over in time or transactions do not end, and as `changeLeader`
 */
export async function handOver(
  session: Session,
  open: OpenCluster,
  from: string,
  { limitMs, force }: { limitMs: number; force: boolean },
): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const facts = await open.patroni.gather();
    if (findLeader(facts)?.name !== from) return;
    try {
      const { leader } = await changeLeader(session, open, chooseSwitchover(open.cluster, facts, null), {
        signal: new AbortController().signal,
        onPhase: () => undefined,
        startedMs: performance.now(),
        whenBusy: force ? 'go on' : 'give up',
      });
      // The order to stop may have been lost on its way, or the candidate with it.
      if (leader !== from || performance.now() > deadlineMs) return;
    } catch (thrown) {
      const notYet = thrown instanceof PgsError && thrown.code === 'endangers' && performance.now() < deadlineMs;
      if (!notYet) throw thrown;
    }
    await sleep(200);
  }
}
