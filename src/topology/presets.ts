// The RTO presets: Patroni's timing and HAProxy's check intervals, chosen together (design.md, Presets).

export const rtoPresetNames = ['fast', 'norm', 'safe', 'wide'] as const;
export type RtoPreset = (typeof rtoPresetNames)[number];

/**
 * Patroni's timing, in seconds. `loopWait + 2 * retryTimeout < ttl` must hold, strictly, for failsafe_mode; and `loopWait + retryTimeout` and
 * the members' answers have to fit into the watchdog's time-out, or who lost the DCS is fenced before failsafe mode lets it go on.
 */
export interface PatroniTiming {
  ttlS: number;
  loopWaitS: number;
  retryTimeoutS: number;
}

export interface CheckTiming {
  /** Between checks of a server in a steady state. */
  interMs: number;
  /** Between checks while its state is changing or it is down. */
  changingMs: number;
  /** For one try to connect to a member, and between two tries. */
  connectMs: number;
  rise: number;
  fall: number;
}

export interface Preset {
  patroni: PatroniTiming;
  checks: CheckTiming;
}

export const presets: Record<RtoPreset, Preset> = {
  fast: {
    patroni: { ttlS: 20, loopWaitS: 2, retryTimeoutS: 6 },
    checks: { interMs: 500, connectMs: 250, changingMs: 250, rise: 1, fall: 2 },
  },
  norm: {
    patroni: { ttlS: 30, loopWaitS: 5, retryTimeoutS: 10 },
    checks: { interMs: 1000, connectMs: 500, changingMs: 500, rise: 1, fall: 3 },
  },
  safe: {
    patroni: { ttlS: 60, loopWaitS: 10, retryTimeoutS: 20 },
    checks: { interMs: 2000, connectMs: 1000, changingMs: 1000, rise: 2, fall: 3 },
  },
  wide: {
    patroni: { ttlS: 120, loopWaitS: 20, retryTimeoutS: 30 },
    checks: { interMs: 4000, connectMs: 2000, changingMs: 2000, rise: 2, fall: 3 },
  },
};

/**
 * How long a connection is held while no member can take it, milliseconds: until a leader's lease has run out and another member
 * leads, and half as long again.
 */
export function holdLimitMs(rto: RtoPreset): number {
  return presets[rto].patroni.ttlS * 1500;
}

/**
 * How long a leader is sent connections while its Patroni says nothing, milliseconds: nobody else can lead before its lease ends, which
 * it renewed a loop ago at the latest, and the sessions of a host that is gone are cut well before (templates/haproxy/hold.lua).
 */
export function silentLeaderMs(rto: RtoPreset): number {
  const { ttlS, loopWaitS } = presets[rto].patroni;
  return (ttlS - loopWaitS - 4) * 1000;
}

/**
 * Timing while a cluster is being made: short loops, because a create with Patroni's defaults waits whole loops of 10 s (field-notes.md
 * section 2). What bounds a slow answer is the preset's from the start, the watchdog's time-out included: machines for which it was chosen
 * are slow in their first minute, too.
 */
export function bootstrapTiming(rto: RtoPreset): PatroniTiming {
  const { patroni } = presets[rto];
  return { ...patroni, loopWaitS: Math.ceil(patroni.loopWaitS / 10) };
}
