// `pgs failover`: for a leader that is gone. Patroni replaces one by itself when nothing acknowledged is lost by it; this is for when it
// does not, and it says what would be lost before anything is done.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { findLeader } from '../patroni/facts.js';
import { chooseFailover, requestFailover, type FailoverChoice } from '../patroni/failover.js';
import { parsePatroniSettings } from '../topology/live-timing.js';
import { refuseStopped, withTenantLock } from './change.js';
import { withCluster, type OpenCluster } from './cluster.js';
import { settleEtcdLeader } from './etcd-leader.js';
import { memberOf } from './leader-change.js';
import type { Session } from './session.js';

export interface FailoverOptions {
  signal: AbortSignal;
  progress: (line: string) => void;
  /** Asked once with what would be lost; rejects when the operator does not want it. */
  confirm: (choice: FailoverChoice) => Promise<void>;
}

/** `by`: Patroni had done it before it was asked, or was asked. `choice` is null then. */
export type FailoverResult =
  { by: 'itself'; leader: string; choice: null } | { by: 'request'; leader: string; choice: FailoverChoice };

const takeOverLimitMs = 60_000;

/** Looks only. @throws PgsError as `chooseFailover` */
export async function planFailover(session: Session, open: OpenCluster, wish: string | null): Promise<FailoverChoice> {
  refuseStopped(open.record.phase, open.cluster.tenant, `planning a failover of ${open.cluster.tenant}`);
  const [facts, keys] = await Promise.all([
    open.patroni.gather(),
    session.dcs().then((dcs) => readTenantKeys(dcs, open.cluster.tenant)),
  ]);
  return chooseFailover(open.cluster, facts, keys, wish);
}

/** @throws PgsError `usage`, `endangers`, `held`, or `unknown-result` when nobody was seen to lead in time */
export async function failOver(
  session: Session,
  tenant: string,
  wish: string | null,
  options: FailoverOptions,
): Promise<FailoverResult> {
  return withTenantLock(session, tenant, `failover ${tenant}`, options.signal, async (_lock, signal) => {
    return withCluster(session, tenant, async (open) => {
      await planFailover(session, open, wish);
      const leader = await waitForPatroni(session, open, options.progress, signal);
      if (leader !== null) return { by: 'itself', leader, choice: null };
      const choice = await planFailover(session, open, wish);
      await options.confirm(choice);
      if (signal.aborted) throw interrupted(tenant, signal);
      await requestFailover(open.patroni, open.cluster, memberOf(open, choice.to));
      const now = await waitForAnybody(open, takeOverLimitMs);
      if (now === null) throw notSeen(tenant, choice.to);
      await settleEtcdLeader(session, tenant);
      return { by: 'request', leader: now, choice };
    });
  });
}

/**
 * While the key of the leader that is gone has not run out, nobody can lead; and when it has, Patroni takes over by itself if it may.
 * Returns who leads then, null for nobody.
 */
async function waitForPatroni(
  session: Session,
  open: OpenCluster,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<string | null> {
  const dcs = await session.dcs();
  const first = await readTenantKeys(dcs, open.cluster.tenant);
  const { ttlS, loopWaitS } = parsePatroniSettings(first.settings ?? {});
  if (first.leader !== null)
    progress(`${first.leader} still holds the leader's key: waiting up to ${ttlS} s for it to run out`);
  const deadlineMs = performance.now() + ttlS * 1500;
  let keys = first;
  while (keys.leader !== null && performance.now() < deadlineMs && !signal.aborted) {
    const leader = findLeader(await open.patroni.gather(1500));
    if (leader) return leader.name;
    await sleep(300);
    keys = await readTenantKeys(dcs, open.cluster.tenant);
  }
  // Replicas look once a loop, and at once when the key is gone.
  return waitForAnybody(open, loopWaitS * 1000 + 2000);
}

async function waitForAnybody({ patroni }: OpenCluster, limitMs: number): Promise<string | null> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    const leader = findLeader(await patroni.gather(1500));
    if (leader) return leader.name;
    if (performance.now() > deadlineMs) return null;
    await sleep(200);
  }
}

function interrupted(tenant: string, signal: AbortSignal): PgsError {
  if (signal.reason instanceof PgsError) return signal.reason;
  const found = 'interrupted before Patroni was asked: nothing was changed';
  return new PgsError('unknown-result', {
    doing: `failing ${tenant} over`,
    found,
    hint: 'Run the same command again.',
  });
}

function notSeen(tenant: string, to: string): PgsError {
  return new PgsError('unknown-result', {
    doing: `waiting for ${to} to lead ${tenant}`,
    found: `no member was seen to lead within ${takeOverLimitMs / 1000} s`,
    hint: `Patroni may still finish it: see \`pgs cluster status ${tenant}\` and \`pgs cluster logs ${tenant} --member ${to}\`.`,
  });
}
