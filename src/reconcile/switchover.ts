// `pgs switchover`: under the tenant's lock, ask Patroni, then wait until the new leader leads and all others follow it.

import { PgsError } from '../errors.js';
import { chooseSwitchover, requestSwitchover, type SwitchoverChoice } from '../patroni/switchover.js';
import { findLeader, streamingReplicas } from '../patroni/facts.js';
import { withTenantLock } from './change.js';
import { openCluster, type OpenCluster } from './cluster.js';
import type { Session } from './session.js';

export interface SwitchoverResult extends SwitchoverChoice {
  /** From the request until all members stream and every entry serves the new leader, milliseconds. */
  tookMs: number;
}

export interface SwitchoverOptions {
  signal: AbortSignal;
  progress: (line: string) => void;
}

const leaderLimitMs = 60_000;
const settledLimitMs = 120_000;

/** @throws PgsError `held`, `endangers`, `command-failed`, or `unknown-result` when the end could not be seen in time */
export async function switchOver(
  session: Session,
  tenant: string,
  wish: string | null,
  options: SwitchoverOptions,
): Promise<SwitchoverResult> {
  return withTenantLock(session, tenant, `switchover ${tenant}`, options.signal, async () => {
    const open = await openCluster(session, tenant);
    try {
      const choice = chooseSwitchover(open.cluster, await open.patroni.gather(), wish);
      options.progress(`${choice.from} hands over to ${choice.to}`);
      const startedMs = performance.now();
      const requested = requestSwitchover(open.patroni, open.cluster, choice);
      await Promise.all([
        requested,
        waitUntil(`waiting for ${choice.to} to lead`, leaderLimitMs, () => leads(open, choice.to), requested),
      ]);
      options.progress(`${choice.to} leads after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
      await waitUntil(`waiting for the members of ${tenant} to follow ${choice.to}`, settledLimitMs, () =>
        settled(session, open),
      );
      return { ...choice, tookMs: Math.round(performance.now() - startedMs) };
    } finally {
      open.patroni.close();
    }
  });
}

async function leads({ patroni }: OpenCluster, name: string): Promise<string | null> {
  const leader = findLeader(await patroni.gather(1500));
  return leader?.name === name ? null : leader ? `${leader.name} leads` : 'no member leads';
}

async function settled(session: Session, open: OpenCluster): Promise<string | null> {
  const replicas = streamingReplicas(await open.patroni.gather(1500)).length;
  if (replicas < open.cluster.members.length - 1)
    return `${replicas} of ${open.cluster.members.length - 1} replicas stream`;
  try {
    return await session.prove(open.cluster, open.secrets);
  } catch (thrown) {
    if (thrown instanceof PgsError) return thrown.message;
    throw thrown;
  }
}

/** Polls until `missing` answers null. `refusal` ends the wait early when it rejects. */
async function waitUntil(
  doing: string,
  limitMs: number,
  missing: () => Promise<string | null>,
  refusal: Promise<void> = Promise.resolve(),
): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  let refused = false;
  refusal.catch(() => (refused = true));
  for (;;) {
    const what = await missing();
    if (what === null || refused) return;
    if (performance.now() > deadlineMs) {
      throw new PgsError('unknown-result', {
        doing,
        found: `not after ${limitMs / 1000} s: ${what}`,
        hint: 'Patroni may still finish it: look with `pgs cluster status`.',
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
