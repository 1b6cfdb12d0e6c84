// A switchover as a step of a plan: whoever is fit takes over from a leader that has to restart.

import { PgsError } from '../errors.js';
import { findLeader } from '../patroni/facts.js';
import { chooseSwitchover, requestSwitchover } from '../patroni/switchover.js';
import type { OpenCluster } from './cluster.js';

/**
 * Asks another member to take over from `from`, as part of a plan; nothing is asked when somebody else leads already. A standby
 * that has just come back counts as synchronous only after Patroni's next loop, so the choice is tried again until `limitMs`.
 * @throws PgsError `endangers` when no member is fit to take over in time
 */
export async function handOver({ cluster, patroni }: OpenCluster, from: string, limitMs: number): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const facts = await patroni.gather();
    if (findLeader(facts)?.name !== from) return;
    try {
      return await requestSwitchover(patroni, cluster, chooseSwitchover(cluster, facts, null));
    } catch (thrown) {
      const notYet = thrown instanceof PgsError && thrown.code === 'endangers' && performance.now() < deadlineMs;
      if (!notYet) throw thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
