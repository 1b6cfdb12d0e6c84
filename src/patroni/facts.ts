// What Patroni's REST says, parsed. Every member is asked itself: one member's word about the others can be old.

export type MemberFact = UnreachableMember | ReachableMember;

export interface UnreachableMember {
  reachable: false;
  why: string;
}

export interface ReachableMember {
  reachable: true;
  /** `leader` holds the lock; `replica` follows; `other` is on its way (starting, stopped, demoting, uninitialised). */
  role: 'leader' | 'replica' | 'other';
  /** Patroni's own word: running, starting, stopped, in archive recovery, ... */
  state: string;
  /** A replica that receives WAL from its leader right now. */
  streaming: boolean;
  timeline: number | null;
  /** Position in bytes since the start of WAL: written by a leader, replayed by a replica. */
  positionBytes: number | null;
  /** Position received by a replica; null for a leader. */
  receivedBytes: number | null;
  /** This member is one of the standbys that an acknowledged commit waits for. */
  synchronous: boolean;
  /** Of a leader: the standbys that its PostgreSQL counts as synchronous right now. */
  commitWaitsFor?: string[];
  pendingRestart: boolean;
  paused: boolean;
  watchdogFailed: boolean;
  serverVersion: number | null;
  patroniVersion: string | null;
  /** Start of the postmaster, as PostgreSQL prints it. */
  postmasterStartedAt: string | null;
}

export interface PatroniFacts {
  members: Record<string, MemberFact>;
}

/**
 * The answer to GET /patroni. Answers 200 and 503 both carry it: 503 is data.
 * @throws TypeError if it is not an object
 */
export function parseMember(body: unknown): ReachableMember {
  if (typeof body !== 'object' || body === null) throw new TypeError('Patroni answered no JSON object');
  const answer = body as Record<string, unknown>;
  const xlog = (answer.xlog ?? {}) as Record<string, unknown>;
  const patroni = (answer.patroni ?? {}) as Record<string, unknown>;
  const state = textOf(answer.state) ?? 'unknown';
  const role = roleOf(textOf(answer.role), state);
  const replication = Array.isArray(answer.replication) ? (answer.replication as Record<string, unknown>[]) : null;
  return {
    reachable: true,
    role,
    state,
    streaming: role === 'replica' && (answer.replication_state === 'streaming' || state === 'streaming'),
    timeline: numberOf(answer.timeline),
    positionBytes: numberOf(role === 'leader' ? xlog.location : xlog.replayed_location),
    receivedBytes: role === 'leader' ? null : numberOf(xlog.received_location),
    synchronous: answer.sync_standby === true || answer.quorum_standby === true,
    ...(role === 'leader' && replication ? { commitWaitsFor: synchronousOf(replication) } : {}),
    pendingRestart: answer.pending_restart === true,
    paused: answer.pause === true,
    watchdogFailed: answer.watchdog_failed === true,
    serverVersion: numberOf(answer.server_version),
    patroniVersion: textOf(patroni.version),
    postmasterStartedAt: textOf(answer.postmaster_start_time),
  };
}

/** Rows of pg_stat_replication. */
function synchronousOf(replication: Record<string, unknown>[]): string[] {
  return replication.flatMap(({ application_name: name, sync_state: state }) =>
    typeof name === 'string' && (state === 'sync' || state === 'quorum') ? [name] : [],
  );
}

/**
 * The members' facts with a replica counted as synchronous if its leader's PostgreSQL does so: Patroni on the replica learns of it
 * up to `loop_wait` later.
 */
export function believeLeader(members: Record<string, MemberFact>): Record<string, MemberFact> {
  const waitedFor = findLeader({ members })?.fact.commitWaitsFor ?? [];
  return Object.fromEntries(
    Object.entries(members).map(([name, fact]) => [
      name,
      fact.reachable && fact.role === 'replica' && waitedFor.includes(name) ? { ...fact, synchronous: true } : fact,
    ]),
  );
}

/** Patroni 4 says primary, Patroni 3 says master; a leader whose PostgreSQL does not run leads nothing. */
function roleOf(role: string | null, state: string): ReachableMember['role'] {
  const running = state === 'running' || state === 'streaming' || state === 'in archive recovery';
  if (!running) return 'other';
  if (role === 'primary' || role === 'master') return 'leader';
  return role === 'replica' || role === 'standby' ? 'replica' : 'other';
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** Name and fact of the member that leads; null when none does, or when two say so (which is nobody's to trust). */
export function findLeader(facts: PatroniFacts): { name: string; fact: ReachableMember } | null {
  const leaders = Object.entries(facts.members).flatMap(([name, fact]) =>
    fact.reachable && fact.role === 'leader' ? [{ name, fact }] : [],
  );
  return leaders.length === 1 ? leaders[0]! : null;
}

export function streamingReplicas(facts: PatroniFacts): string[] {
  const leader = findLeader(facts);
  if (!leader) return [];
  return Object.entries(facts.members).flatMap(([name, fact]) =>
    fact.reachable && fact.streaming && fact.timeline === leader.fact.timeline ? [name] : [],
  );
}

/** Bytes that a replica still has to replay to be where the leader is; null when either is unknown. */
export function lagBytes(replica: ReachableMember, leader: ReachableMember): number | null {
  if (replica.positionBytes === null || leader.positionBytes === null) return null;
  return Math.max(0, leader.positionBytes - replica.positionBytes);
}

export type RpoVerdict = 'holds' | 'suspended' | 'waiting' | 'unknown' | 'asynchronous';

/**
 * Whether RPO 0 holds at this moment: at least one streaming member that commits wait for. With every standby gone, writes go
 * on with one copy (`suspended`) or, with strict durability, wait.
 */
export function judgeRpo(facts: PatroniFacts, rpoBytes: number, durability: 'available' | 'strict'): RpoVerdict {
  if (rpoBytes > 0) return 'asynchronous';
  if (!findLeader(facts)) return 'unknown';
  const streaming = streamingReplicas(facts);
  const covered = streaming.some((name) => {
    const fact = facts.members[name];
    return fact?.reachable && fact.synchronous;
  });
  if (covered) return 'holds';
  return durability === 'strict' ? 'waiting' : 'suspended';
}
