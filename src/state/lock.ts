// One holder at a time of a thing, such as a tenant: a key on a lease in the DCS that says who works on it. Losing the lease aborts
// the work, and a write under a lost lock is refused by the store (see `Fence`).

import { hostname } from 'node:os';
import { PgsError } from '../errors.js';
import type { Dcs, KeyValue } from '../etcd/client.js';
import { operatorName } from './operator.js';
import { holderIsGone, identifyProcess, parseHolder, type Holder } from './holder.js';
import { lockLost, stateKeys, type Fence } from './store.js';

export interface Lock extends Fence {
  /** Aborted with a PgsError `held` when the lock is lost. */
  signal: AbortSignal;
  /** Gives the lock back; never throws, since the lease ends by itself. */
  release(): Promise<void>;
}

export type TenantLock = Lock;

/** What is locked, and for how long a holder may be silent. */
export interface Lockable {
  key: string;
  /** For people: `tenant acme`. */
  what: string;
  /** Time to live of the lease, seconds: a holder that died on another machine keeps others waiting for this long. */
  ttlS: number;
  /** The holder stops by itself this long before etcd may give the lock to somebody else. */
  marginMs: number;
}

export interface LockPurpose {
  /** What is run, for whoever finds the lock held: `pgs cluster create acme`. Never holds a secret. */
  command: string;
  /** Default: the user who runs pgs (who called sudo, if it was used). */
  operator?: string;
}

/**
 * Time to live of the lease. A holder that died on another machine keeps others waiting for this long; three renewals are
 * missed before it ends, and an election of etcd takes two seconds.
 */
export const lockTtlS = 15;
/** See `Lockable`. */
const marginMs = 3000;
/** A longer lease is not renewed more rarely: what counts is how long the holder can go without etcd. */
const renewalMaxMs = 5000;

/** @throws PgsError `held` as `acquireLock` */
export function acquireTenantLock(dcs: Dcs, tenant: string, purpose: LockPurpose): Promise<TenantLock> {
  return acquireLock(dcs, { key: stateKeys.lock(tenant), what: `tenant ${tenant}`, ttlS: lockTtlS, marginMs }, purpose);
}

/**
 * @throws PgsError `held` when another process has it: who, since when, with what. A lock whose holder died on this machine is taken
 * over at once.
 */
export async function acquireLock(dcs: Dcs, lockable: Lockable, purpose: LockPurpose): Promise<Lock> {
  const holder: Holder = {
    operator: purpose.operator ?? operatorName(),
    host: hostname(),
    ...identifyProcess(),
    command: purpose.command,
    since: new Date().toISOString(),
  };
  const grantedMs = performance.now();
  const lease = await dcs.grantLease(lockable.ttlS);
  try {
    const createRevision = await takeKey(dcs, lockable, holder, lease.id);
    return keepAlive(dcs, lockable, { key: lockable.key, createRevision }, lease.id, grantedMs);
  } catch (thrown) {
    await dcs.revokeLease(lease.id).catch(() => undefined);
    throw thrown;
  }
}

/** Puts the key if nobody has it, and returns its create revision. */
async function takeKey(dcs: Dcs, { key, what }: Lockable, holder: Holder, lease: string): Promise<string> {
  for (;;) {
    const found = await putIfAbsent(dcs, key, JSON.stringify(holder), lease);
    if (found === null) continue;
    if (found.lease === lease) return found.createRevision;
    const other = parseHolder(found.value);
    if (!other || !holderIsGone(other)) throw await heldBy(dcs, what, found, other);
    // Removed only if it is still the dead holder's; whoever comes first then gets it.
    await dcs.transact({ if: [{ key, createRevision: found.createRevision }], then: [{ deleteKey: key }] });
  }
}

/** The key as it is afterwards, ours or another's; null if it went away in between. */
async function putIfAbsent(dcs: Dcs, key: string, value: string, lease: string): Promise<KeyValue | null> {
  try {
    const { succeeded, found } = await dcs.transact({
      if: [{ key, is: 'absent' }],
      then: [{ put: key, value, lease }],
      otherwiseRead: [key],
    });
    if (!succeeded) return found[0] ?? null;
  } catch (thrown) {
    // Whether it took effect is seen by the lease on the key.
    if (!(thrown instanceof PgsError && thrown.code === 'unknown-result')) throw thrown;
  }
  return dcs.get(key);
}

async function heldBy(dcs: Dcs, what: string, found: KeyValue, holder: Holder | null): Promise<PgsError> {
  const remainingS = found.lease ? await dcs.leaseRemainingS(found.lease).catch(() => null) : null;
  const who = holder
    ? `${holder.operator} on ${holder.host} (process ${holder.pid}) holds it since ${holder.since} with: ${holder.command}`
    : `somebody holds it, and what ${found.key} says is not readable`;
  const lasting =
    remainingS === null ? '' : `; if that process is gone, the lock ends in ${remainingS} s, otherwise it is renewed`;
  return new PgsError('held', {
    doing: `locking ${what}`,
    found: `${who}${lasting}`,
    hint: 'Wait until it has ended, then run the command again.',
  });
}

/**
 * Renews the lease until it is released or lost. Counted on our own clock from before each renewal was sent, so that the
 * signal comes before etcd may let the lock go, even if etcd is out of reach.
 */
function keepAlive(
  dcs: Dcs,
  { ttlS, marginMs: margin }: Lockable,
  fence: Fence,
  lease: string,
  grantedMs: number,
): Lock {
  const lost = new AbortController();
  let isReleased = false;
  let renewedMs = grantedMs;
  const lose = (why: string) => {
    if (!isReleased && !lost.signal.aborted) lost.abort(lockLost(fence.key, why));
  };
  const watchdog = setInterval(() => {
    if (performance.now() - renewedMs > ttlS * 1000 - margin) lose('its lease could not be renewed');
  }, 500);
  let isRenewing = false;
  const renewal = setInterval(
    () => {
      if (isRenewing || lost.signal.aborted) return;
      isRenewing = true;
      const sentMs = performance.now();
      dcs
        .keepLeaseAlive(lease)
        .then((leftS) => (leftS === 0 ? lose('its lease ran out') : (renewedMs = sentMs)))
        // The next one may work; the watchdog ends it in time.
        .catch(() => undefined)
        .finally(() => (isRenewing = false));
    },
    Math.min((ttlS * 1000) / 5, renewalMaxMs),
  );
  // Holding a lock is no reason to go on living.
  watchdog.unref();
  renewal.unref();

  return {
    ...fence,
    signal: lost.signal,
    release: async () => {
      if (isReleased) return;
      isReleased = true;
      clearInterval(watchdog);
      clearInterval(renewal);
      await dcs.revokeLease(lease).catch(() => undefined);
    },
  };
}
