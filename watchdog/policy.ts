// What a cluster may promise about fencing, from the mode that was asked for and what each host has. Pure.

export type WatchdogMode = 'required' | 'automatic' | 'off';

/** What a host can offer. */
export interface WatchdogSupply {
  host: string;
  /** Device node, or null when there is none. */
  device: string | null;
  container: boolean;
}

/**
 * Why a host cannot take a member in this mode, or null when it can. `required` without a device would leave a member that
 * replicates but never leads, which Patroni reports misleadingly; so it is refused before anything is made.
 */
export function refuseWatchdog(mode: WatchdogMode, supply: WatchdogSupply): string | null {
  if (mode !== 'required' || supply.device) return null;
  return supply.container
    ? 'is a container and has no kernel watchdog, but the watchdog is required'
    : 'has no watchdog device, but the watchdog is required';
}

export interface FencingVerdict {
  verdict: 'fenced' | 'not fenced' | 'unknown';
  reason: string;
}

/** What is known about a member's fencing. Nothing short of an armed device counts as fenced. */
export function judgeFencing(mode: WatchdogMode, deviceHeldByPatroni: boolean | null): FencingVerdict {
  if (mode === 'off') return { verdict: 'not fenced', reason: 'the spec says watchdog: off' };
  if (deviceHeldByPatroni === null) return { verdict: 'unknown', reason: 'the member could not be looked at' };
  if (deviceHeldByPatroni) return { verdict: 'fenced', reason: 'Patroni holds the watchdog device' };
  return { verdict: 'not fenced', reason: 'Patroni does not hold a watchdog device' };
}
