// What fencing promises: Patroni's watchdog timing from the RTO preset, and how long two members could take writes where the promise
// does not hold. Pure.
//
// The leader's key expires ttl after its lease was last renewed. Patroni renews it before every keepalive; only the arming itself (at
// a promotion) may come up to loop_wait after the last renewal. So the processes of an old leader have to be dead
// `ttl - loop_wait` after the last keepalive, and the margin is loop_wait plus what the kill takes.

import type { PatroniTiming } from '../src/topology/presets.js';

export type WatchdogMode = 'required' | 'automatic' | 'off';

/**
 * Who fences a member: `device`: the kernel's watchdog, held by the member's Patroni, resets the machine. `pipe`: the host's fencing
 * service kills the tenant's processes alone, and the kernel's watchdog, held by systemd, resets the machine if it stalls.
 */
export type Mechanism = 'pipe' | 'device';

/** systemd kills a fencing service that has not shown life for so long (WatchdogSec), seconds. */
export const serviceStallS = 3;

/** From the start of a kill to the death of the last process, the next run of a fencing service that was killed included, seconds. */
const killS: Record<Mechanism, number> = { device: 1, pipe: 1 + serviceStallS };

/** Room between the latest kill and the earliest expiry of the key, seconds. */
const spareS = 2;

export interface WatchdogTiming {
  /** Patroni's `safety_margin`, seconds before ttl. */
  safetyMarginS: number;
  /** What Patroni sets the watchdog to, seconds after the last keepalive. */
  timeoutS: number;
}

/** The same for both mechanisms, so that a host can change from one to the other without a change of timing. */
export function watchdogTiming({ ttlS, loopWaitS }: PatroniTiming): WatchdogTiming {
  const safetyMarginS = loopWaitS + killS.pipe + spareS;
  return { safetyMarginS, timeoutS: ttlS - safetyMarginS };
}

export interface Guarantee {
  /** The old leader's processes are dead at the latest so long after its last keepalive, seconds; null: nothing kills them. */
  deadAfterS: number | null;
  /** The leader's key can expire so long after that keepalive, seconds: right after a promotion. */
  keyExpiresAfterS: number;
  /** What is left between the two; negative: a window. Null: no kill. */
  marginS: number | null;
  /** How long two members could take writes, seconds; 0: never; null: without a bound. */
  windowS: number | null;
  /** The same in words. */
  text: string;
}

/**
 * The guarantee for a leader whose watchdog is armed with `timeoutS` by this mechanism; `null` as mechanism: not armed.
 * It holds for a Patroni that hangs, is killed or is cut off. What stops the clock of the whole machine (a hypervisor that pauses it)
 * is beyond any watchdog of that machine.
 */
export function guaranteeOf(mechanism: Mechanism | null, timeoutS: number | null, timing: PatroniTiming): Guarantee {
  const keyExpiresAfterS = timing.ttlS - timing.loopWaitS;
  if (mechanism === null || timeoutS === null) {
    return {
      deadAfterS: null,
      keyExpiresAfterS,
      marginS: null,
      windowS: null,
      text: `an old leader whose Patroni hangs goes on taking writes: from ${keyExpiresAfterS}-${timing.ttlS} s after its last renewal beside a new leader, until its Patroni runs again or it is stopped`,
    };
  }
  const deadAfterS = timeoutS + killS[mechanism];
  const marginS = keyExpiresAfterS - deadAfterS;
  const windowS = Math.max(0, -marginS);
  const text =
    windowS === 0
      ? `the old leader is dead at most ${deadAfterS} s after its last keepalive, ${marginS} s before its key can expire`
      : `the old leader is dead only ${deadAfterS} s after its last keepalive, and its key can expire after ${keyExpiresAfterS} s: two members could take writes for up to ${windowS} s`;
  return { deadAfterS, keyExpiresAfterS, marginS, windowS, text };
}

/** What a host can offer. */
export interface WatchdogSupply {
  host: string;
  /** Device node, or null when there is none. */
  device: string | null;
  /** `softdog` could be loaded. */
  softdogAvailable: boolean;
  container: boolean;
}

/**
 * Why a host cannot take a member in this mode, or null when it can. `required` without a device would leave a member that
 * replicates but never leads, which Patroni reports misleadingly; so it is refused before anything is made.
 */
export function refuseWatchdog(mode: WatchdogMode, supply: WatchdogSupply): string | null {
  if (mode !== 'required' || supply.device) return null;
  if (supply.container) return 'is a container and has no kernel watchdog, but the watchdog is required';
  const fix = supply.softdogAvailable ? ` (\`pgs host prepare ${supply.host}\` loads softdog)` : '';
  return `has no watchdog device, but the watchdog is required${fix}`;
}
