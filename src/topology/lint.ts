// What keeps a cluster from its promises though every single value is allowed: Patroni's timing rules, and overrides of PostgreSQL's
// parameters under which a preset's outage or RPO 0 no longer holds. Pure.

import type { TenantSpec } from './tenant.js';
import { presets } from './presets.js';
import { describeMs, parseDurationMs } from './durations.js';
import { patroniMinimaS } from './live-timing.js';

export interface Finding {
  /** `broken`: a promise does not hold. `slower`: it holds, later than the preset says. */
  verdict: 'broken' | 'slower';
  /** Name of the setting. */
  setting: string;
  /** What is so, and why that matters. */
  why: string;
}

/** Patroni's dynamic configuration against Patroni's own rules; what breaks them is changed by Patroni with a line in its log only. */
export function lintPatroni(config: Record<string, unknown>): Finding[] {
  const value = (name: string) => (typeof config[name] === 'number' ? config[name] : null);
  const findings: Finding[] = [];
  for (const [name, minimum] of Object.entries(patroniMinimaS)) {
    const found = value(name);
    if (found === null || found >= minimum) continue;
    findings.push({
      verdict: 'broken',
      setting: name,
      why: `${name} ${found} is below Patroni's minimum of ${minimum} s: Patroni takes ${minimum} without a word`,
    });
  }
  const [ttl, loop, retry] = [value('ttl') ?? 30, value('loop_wait') ?? 10, value('retry_timeout') ?? 10];
  const needed = loop + 2 * retry;
  if (needed > ttl || (needed === ttl && config.failsafe_mode === true)) {
    findings.push({
      verdict: 'broken',
      setting: 'ttl',
      why:
        `loop_wait + 2 x retry_timeout (${needed} s) must be ${needed === ttl ? 'less than' : 'at most'} ttl (${ttl} s): ` +
        'otherwise a leader may still retry when its key has run out and another member leads',
    });
  }
  return findings;
}

type Spec = Pick<TenantSpec, 'rto' | 'rpoBytes' | 'replicas' | 'settings'>;
type Rule = (value: string, spec: Spec) => Omit<Finding, 'setting'> | null;

const off = (value: string) => ['off', 'false', 'no', '0'].includes(value.toLowerCase());

/** A duration that makes what the preset promises later when it is longer than `limitMs`; `units` is the parameter's own unit. */
function longerThan(unitMs: number, limitMs: (spec: Spec) => number, why: string): Rule {
  return (value, spec) => {
    const ms = parseDurationMs(value, unitMs);
    const limit = limitMs(spec);
    return ms !== null && ms > limit
      ? { verdict: 'slower', why: `${describeMs(ms)}: ${why} (at most ${describeMs(limit)})` }
      : null;
  };
}

/** Patroni takes its own default instead of less, with a line in its log (patroni/postgresql/config.py, `CMDLINE_OPTIONS`). */
function patroniTakesFrom(least: number): Rule {
  return (value) =>
    Number(value) < least
      ? {
          verdict: 'broken',
          why: `${value} is less than the ${least} that Patroni takes: it would use its own default`,
        }
      : null;
}

/** PostgreSQL's synchronous_commit by what it waits for; the ones that RPO 0 needs. */
export const commitLevelsOfRpo0 = ['on', 'remote_apply', 'true', 'yes', '1'];

/** By name; each sees the value as text and says what is wrong with it, or null. */
const rules: Record<string, Rule> = {
  synchronous_commit: (value, { rpoBytes }) =>
    rpoBytes > 0 || commitLevelsOfRpo0.includes(value.toLowerCase())
      ? null
      : {
          verdict: 'broken',
          why: `synchronous_commit ${value} acknowledges transactions that RPO 0 promises not to lose`,
        },
  recovery_min_apply_delay: (value) =>
    (parseDurationMs(value, 1) ?? 0) === 0
      ? null
      : {
          verdict: 'broken',
          why: 'a replica that applies later has to catch up before it can lead: no preset bounds that',
        },
  max_standby_streaming_delay: (value, { rto }) => {
    const limitMs = presets[rto].patroni.ttlS * 1000;
    const ms = parseDurationMs(value, 1);
    if (value.trim() === '-1') {
      return {
        verdict: 'broken',
        why: 'with -1 a query on a replica holds up replay without end, and with it its promotion',
      };
    }
    return ms !== null && ms > limitMs
      ? {
          verdict: 'broken',
          why: `a query on a replica may hold up its promotion for ${describeMs(ms)}, longer than ttl`,
        }
      : null;
  },
  wal_retrieve_retry_interval: longerThan(
    1,
    ({ rto }) => presets[rto].patroni.loopWaitS * 500,
    'a standby looks for its new leader only this often, and at RPO 0 commits wait for it',
  ),
  wal_receiver_timeout: longerThan(
    1,
    ({ rto }) => Math.max(60_000, presets[rto].patroni.ttlS * 1000),
    'a standby notices a leader that vanished only after this',
  ),
  wal_receiver_status_interval: longerThan(1000, () => 10_000, 'the leader learns of a standby late'),
  wal_sender_timeout: (value, spec) => {
    const ms = parseDurationMs(value, 1);
    if (ms === 0) {
      return {
        verdict: 'broken',
        why: '0 means never: a standby that vanished is counted on for ever, and commits wait for it',
      };
    }
    return ms !== null && ms > 60_000 && spec.rpoBytes === 0
      ? { verdict: 'slower', why: `commits may wait ${describeMs(ms)} for a standby that vanished (default 1 min)` }
      : null;
  },
  tcp_keepalives_idle: longerThan(
    1000,
    ({ rto }) => presets[rto].patroni.ttlS * 1000,
    'vanished peers are noticed late',
  ),
  checkpoint_timeout: (value, { rpoBytes }) => {
    const ms = parseDurationMs(value, 1000);
    return rpoBytes > 0 && ms !== null && ms > 1_800_000
      ? { verdict: 'slower', why: `a crashed leader replays up to ${describeMs(ms)} of WAL before it serves again` }
      : null;
  },
  max_connections: patroniTakesFrom(25),
  max_locks_per_transaction: patroniTakesFrom(32),
  max_worker_processes: patroniTakesFrom(2),
  wal_level: (value) =>
    value === 'minimal'
      ? { verdict: 'broken', why: 'minimal has no replication, and so no member that could take over' }
      : null,
  max_wal_senders: (value, { replicas }) =>
    Number(value) < replicas + 2
      ? { verdict: 'broken', why: `${replicas} replicas, a base backup and Patroni's own session need ${replicas + 2}` }
      : null,
  max_replication_slots: (value, { replicas }) =>
    Number(value) < replicas + 1
      ? { verdict: 'broken', why: `each of ${replicas} replicas needs a slot, whoever leads` }
      : null,
  autovacuum: (value) =>
    off(value)
      ? { verdict: 'broken', why: 'without it transaction ids run out, and PostgreSQL stops taking writes' }
      : null,
};

/** Overrides of PostgreSQL's parameters under which a promise of the spec does not hold, in the order given. */
export function lintOverrides(spec: Spec): Finding[] {
  return Object.entries(spec.settings).flatMap(([setting, value]) => {
    const found = Object.hasOwn(rules, setting) ? rules[setting]!(String(value).trim(), spec) : null;
    return found ? [{ setting, ...found }] : [];
  });
}
