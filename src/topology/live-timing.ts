// The settings that decide how long an outage lasts, as they are in force, read from what Patroni, etcd and HAProxy have. Pure.

import { presets, type CheckTiming, type PatroniTiming, type RtoPreset } from './presets.js';

/** etcd's own timing, milliseconds. */
export interface EtcdTiming {
  heartbeatMs: number;
  electionMs: number;
}

/** What Patroni keeps in the DCS, as far as it decides about time and loss. */
export interface PatroniSettings extends PatroniTiming {
  primaryStartTimeoutS: number;
  primaryStopTimeoutS: number;
  synchronous: boolean;
  failsafe: boolean;
  lagBytesMax: number;
}

/** What of HAProxy's timing decides when it notices who leads. */
export type CheckIntervals = Pick<CheckTiming, 'interMs' | 'changingMs' | 'rise' | 'fall'>;

export interface LiveTiming {
  patroni: PatroniSettings;
  etcd: EtcdTiming;
  checks: CheckIntervals;
  /** What could not be read and was taken from the preset instead, in words. */
  assumed: string[];
}

/** Patroni's own defaults for what is not in the DCS (patroni/global_config.py and docs/dynamic_configuration.rst). */
const patroniDefaults = {
  ttl: 30,
  loop_wait: 10,
  retry_timeout: 10,
  primary_start_timeout: 300,
  primary_stop_timeout: 0,
};
/** Patroni silently raises smaller values to these (see `adjustTiming`). */
export const patroniMinimaS = { ttl: 20, loop_wait: 1, retry_timeout: 3 } as const;

/** What Patroni makes of its dynamic configuration: defaults for what is missing, then its own adjustments. */
export function parsePatroniSettings(config: Record<string, unknown>): PatroniSettings {
  const number = (name: keyof typeof patroniDefaults) => {
    const value = Number(config[name] ?? patroniDefaults[name]);
    return Number.isFinite(value) ? value : patroniDefaults[name];
  };
  return {
    ...adjustTiming({ ttlS: number('ttl'), loopWaitS: number('loop_wait'), retryTimeoutS: number('retry_timeout') }),
    primaryStartTimeoutS: number('primary_start_timeout'),
    primaryStopTimeoutS: number('primary_stop_timeout'),
    synchronous: isOn(config.synchronous_mode) || config.synchronous_mode === 'quorum',
    failsafe: isOn(config.failsafe_mode),
    lagBytesMax: Number(config.maximum_lag_on_failover ?? 1_048_576),
  };
}

/**
 * What Patroni does, with a line in its log only, to a timing that breaks its rules: it raises values to the minima, then shortens
 * `loop_wait`, then `retry_timeout`, until `loop_wait + 2 * retry_timeout <= ttl` (patroni/config.py,
 * `_validate_and_adjust_timeouts`).
 */
export function adjustTiming({ ttlS, loopWaitS, retryTimeoutS }: PatroniTiming): PatroniTiming {
  const ttl = Math.max(patroniMinimaS.ttl, ttlS);
  const loop = Math.max(patroniMinimaS.loop_wait, loopWaitS);
  const retry = Math.max(patroniMinimaS.retry_timeout, retryTimeoutS);
  if (patroniMinimaS.loop_wait + 2 * retry > ttl) {
    const shorter = Math.floor((ttl - patroniMinimaS.loop_wait) / 2);
    return { ttlS: ttl, loopWaitS: patroniMinimaS.loop_wait, retryTimeoutS: shorter };
  }
  return { ttlS: ttl, loopWaitS: Math.min(loop, ttl - 2 * retry), retryTimeoutS: retry };
}

/** Patroni takes YAML's booleans and their texts. */
function isOn(value: unknown): boolean {
  return value === true || (typeof value === 'string' && ['on', 'true', 'yes', '1'].includes(value.toLowerCase()));
}

/**
 * The check timing of a tenant's HAProxy file: the words of its `default-server` lines, of which the first counts. Null when it
 * has none.
 */
export function parseCheckTiming(configuration: string): CheckIntervals | null {
  const line = configuration.split('\n').find((l) => /^\s*default-server\s.*\binter\s/.test(l));
  if (!line) return null;
  const time = (word: string) => {
    const found = new RegExp(`\\s${word}\\s+(\\d+)(ms|s)?\\b`).exec(line);
    return found ? Number(found[1]) * (found[2] === 's' ? 1000 : 1) : null;
  };
  const count = (word: string, otherwise: number) =>
    Number(new RegExp(`\\s${word}\\s+(\\d+)`).exec(line)?.[1] ?? otherwise);
  // HAProxy's defaults: fastinter and downinter fall back to inter, rise 2, fall 3.
  const interMs = time('inter') ?? 2000;
  const changingMs = Math.max(time('fastinter') ?? interMs, time('downinter') ?? interMs);
  return { interMs, changingMs, rise: count('rise', 2), fall: count('fall', 3) };
}

/** etcd's timing from its configuration file; etcd's defaults are 100 and 1000 ms. */
export function parseEtcdTiming(configuration: string): EtcdTiming {
  const number = (name: string, otherwise: number) =>
    Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(configuration)?.[1] ?? otherwise);
  return { heartbeatMs: number('heartbeat-interval', 100), electionMs: number('election-timeout', 1000) };
}

export interface Readings {
  rto: RtoPreset;
  /** Null: could not be read. */
  patroni: Record<string, unknown> | null;
  etcd: string | null;
  haproxy: string | null;
}

/** What is in force; for what could not be read the preset stands in, and `assumed` says so. */
export function liveTiming({ rto, patroni, etcd, haproxy }: Readings): LiveTiming {
  const preset = presets[rto];
  const checks = haproxy === null ? null : parseCheckTiming(haproxy);
  const { ttlS, loopWaitS, retryTimeoutS } = preset.patroni;
  const presetConfig = { ttl: ttlS, loop_wait: loopWaitS, retry_timeout: retryTimeoutS, primary_start_timeout: 0 };
  return {
    patroni: parsePatroniSettings(patroni ?? { ...presetConfig, synchronous_mode: true, failsafe_mode: true }),
    etcd: parseEtcdTiming(etcd ?? ''),
    checks: checks ?? preset.checks,
    assumed: [
      ...(patroni ? [] : [`Patroni's settings could not be read: those of preset ${rto} are taken`]),
      ...(etcd === null ? ["etcd's configuration could not be read: its defaults are taken"] : []),
      ...(checks ? [] : [`HAProxy's check intervals could not be read: those of preset ${rto} are taken`]),
    ],
  };
}
