// The RTO model: how long writes stop for each kind of failure, from the settings in force. Each phase says which rule or
// measurement it comes from, so that a drill can tell which phase took longer than it should. Pure.

import type { LiveTiming } from './live-timing.js';

export const failureKinds = ['switchover', 'crash', 'host-loss', 'cut-off', 'host-loss-etcd-leader'] as const;
export type FailureKind = (typeof failureKinds)[number];

/** Milliseconds. `max`: this phase at its limit. */
export interface Span {
  minMs: number;
  avgMs: number;
  maxMs: number;
}

export interface Phase extends Span {
  phase: string;
  /** Where the numbers come from. */
  rule: string;
}

/** The write outage of one kind of failure: the sum of its phases, which follow each other. */
export interface Prediction extends Span {
  failure: FailureKind;
  what: string;
  phases: Phase[];
}

const descriptions: Record<FailureKind, string> = {
  switchover: 'planned switchover',
  crash: "crash of the leader's PostgreSQL",
  'host-loss': "loss of the leader's host",
  'cut-off': 'leader cut off from its peers',
  'host-loss-etcd-leader': "loss of the leader's host that led etcd too",
};

/**
 * The write outage for every kind of failure. It is that of a client that connects again, or that is held by an entry, at once;
 * a client's own pauses come on top.
 */
export function predictOutages(timing: LiveTiming): Prediction[] {
  const promoted = [promotion(), routing(timing)];
  const silent = silentRace();
  const phases: Record<FailureKind, Phase[]> = {
    switchover: [pause(), handOver(timing), race(), ...promoted, resume()],
    crash: [...crash(timing), race(), ...promoted],
    'host-loss': [lease(timing), expiry(), silent, ...promoted],
    'cut-off': [lease(timing), expiry(), silent, ...promoted],
    'host-loss-etcd-leader': [...extendedLease(timing), expiry(), silent, ...promoted],
  };
  return failureKinds.map((failure) => ({
    failure,
    what: descriptions[failure],
    ...sum(phases[failure]),
    phases: phases[failure],
  }));
}

function sum(phases: Phase[]): Span {
  const total = (of: (phase: Phase) => number) => Math.round(phases.reduce((ms, phase) => ms + of(phase), 0));
  return { minMs: total((p) => p.minMs), avgMs: total((p) => p.avgMs), maxMs: total((p) => p.maxMs) };
}

const phase = (name: string, [minMs, avgMs, maxMs]: [number, number, number], rule: string): Phase => ({
  phase: name,
  minMs,
  avgMs,
  maxMs,
  rule,
});

/** An event at a random moment of an interval. */
const anywhere = (ms: number): [number, number, number] => [0, ms / 2, ms];

/** How long `pgs switchover` waits for open transactions at the most, milliseconds. */
export const pauseLimitMs = 3000;

function pause(): Phase {
  const rule = `poolers let open transactions end, at most ${pauseLimitMs / 1000} s; measured 10-100 ms with short ones`;
  return phase('poolers pause', [10, 50, pauseLimitMs], rule);
}

/**
 * At RPO 0 `pgs switchover` stops PostgreSQL itself and wakes Patroni. Otherwise it is Patroni's graceful demote:
 * `STOP_POLLING_INTERVAL` of 1 s between looks at the stopping PostgreSQL, or 1 s for replicas to catch up after its shutdown
 * checkpoint (patroni/ha.py `demote`, patroni/postgresql/__init__.py `_do_stop`).
 */
function handOver({ patroni }: LiveTiming): Phase {
  const name = 'leader stops and releases its key';
  const limitMs = (patroni.primaryStopTimeoutS || patroni.ttlS) * 1000;
  if (patroni.synchronous && patroni.primaryStartTimeoutS === 0) {
    const rule =
      'pgs stops PostgreSQL in order and wakes Patroni (measured 250-500 ms); primary_stop_timeout bounds it';
    return phase(name, [200, 400, 2000 + limitMs], rule);
  }
  const rule = 'Patroni looks at a stopping PostgreSQL every 1 s (hard-coded); primary_stop_timeout bounds it';
  return phase(name, [1050, 1200, 2000 + limitMs], rule);
}

function resume(): Phase {
  return phase('poolers resume', [50, 200, 2000], 'over ssh on every host as soon as the new leader is seen; measured');
}

/** The HA loop of the leader notices a dead postmaster at its next turn (patroni/ha.py `recover`). */
function crash({ patroni }: LiveTiming): Phase[] {
  const noticed = phase(
    'Patroni notices',
    anywhere(patroni.loopWaitS * 1000),
    'the HA loop looks every loop_wait; a crash comes anywhere in it',
  );
  if (patroni.primaryStartTimeoutS === 0) {
    const rule = 'primary_start_timeout is 0: the leader gives its key up at once when a replica is fit';
    return [noticed, phase('leader releases its key', [30, 100, 2000], rule)];
  }
  const rule = 'primary_start_timeout allows PostgreSQL to recover in place before another member takes over';
  return [noticed, phase('recovery in place or release', [500, 2000, patroni.primaryStartTimeoutS * 1000], rule)];
}

/** The leader renews its lease each loop, so between ttl - loop_wait and ttl are left of it when it vanishes. */
function lease({ patroni }: LiveTiming): Phase {
  const [ttlMs, loopMs] = [patroni.ttlS * 1000, patroni.loopWaitS * 1000];
  return phase(
    "the leader's lease runs out",
    [ttlMs - loopMs, ttlMs - loopMs / 2, ttlMs],
    'the lease of ttl is renewed each loop_wait; the failure comes anywhere between two renewals',
  );
}

/**
 * A new leader of etcd gives every lease its whole ttl again, and an election timeout on top (etcd server/lease/lessor.go
 * `Promote(extend)`), because it does not know when the old one renewed it.
 */
function extendedLease({ patroni, etcd }: LiveTiming): Phase[] {
  const { electionMs } = etcd;
  const ttlMs = patroni.ttlS * 1000;
  return [
    phase(
      'etcd elects a leader',
      [electionMs, electionMs * 1.5, electionMs * 2 + 200],
      'raft: followers wait a random 1 to 2 election timeouts, then vote',
    ),
    phase(
      "the leader's lease runs out",
      [ttlMs + electionMs, ttlMs + electionMs, ttlMs + electionMs],
      "a new etcd leader extends every lease to its full ttl and one election timeout (etcd's lessor, Promote)",
    ),
  ];
}

/** etcd looks for leases that ran out twice a second (server/lease/lessor.go, `runLoop` with 500 ms). */
function expiry(): Phase {
  return phase('etcd removes the key', anywhere(500), 'etcd looks for ended leases every 500 ms');
}

const agree = 'replicas agree on a leader';

/** Watches wake the replicas; each asks the others for their positions, 2 s at most (patroni/ha.py `fetch_node_status`). */
function race(): Phase {
  const rule = 'a watch wakes the replicas; each asks all members where they are, 2 s at most (hard-coded)';
  return phase(agree, [50, 150, 2100], rule);
}

/** The old leader is among those asked, and says nothing: measured 2.10-2.12 s in a row of lost hosts. */
function silentRace(): Phase {
  const rule = 'each replica asks all members where they are, the silent old leader too, for 2 s (hard-coded)';
  return phase(agree, [2050, 2100, 2200], rule);
}

function promotion(): Phase {
  return phase(
    'promotion',
    [100, 200, 1000],
    'measured; longer only when WAL is left to replay, which max_standby_streaming_delay bounds',
  );
}

/** A server that is down is checked each `downinter`, and further times each `fastinter` until `rise` of them passed. */
function routing({ checks }: LiveTiming): Phase {
  const further = (checks.rise - 1) * checks.changingMs;
  return phase(
    'HAProxy notices the new leader',
    [10 + further, 30 + further + checks.changingMs / 2, 100 + further + checks.changingMs],
    'downinter x 1 at a random phase, fastinter x (rise - 1), and one TLS request to Patroni',
  );
}

export interface LossPrediction {
  /** `none`: nothing that was acknowledged, from a healthy state. */
  kind: 'none' | 'bounded by lag and ttl';
  lagBytesMax: number;
  /** WAL written per second while it was looked at; null: not measured. */
  walBytesPerS: number | null;
  ttlS: number;
  /** Lag limit + WAL rate x ttl; null when the rate is not known, 0 at RPO 0. */
  worstBytes: number | null;
}

/**
 * What `--rpo <bytes>` promises: Patroni compares a candidate with the leader's last position in the DCS, which may be as old as the
 * leader's key, so what was written within ttl comes on top of the lag limit (maximum_lag_on_failover).
 */
export function predictLoss({ patroni }: LiveTiming, walBytesPerS: number | null): LossPrediction {
  const { ttlS, lagBytesMax } = patroni;
  if (patroni.synchronous) return { kind: 'none', lagBytesMax, walBytesPerS, ttlS, worstBytes: 0 };
  const worstBytes = walBytesPerS === null ? null : Math.round(lagBytesMax + walBytesPerS * ttlS);
  return { kind: 'bounded by lag and ttl', lagBytesMax, walBytesPerS, ttlS, worstBytes };
}
