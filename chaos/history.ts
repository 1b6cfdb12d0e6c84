// What happened in a run, as it was seen: one event a line, times in milliseconds on the run's own monotonic clock. The oracle reads
// nothing else, so that a stored run can be judged again.

import type { MemberFact } from '../src/patroni/facts.js';
import type { LiveTiming } from '../src/topology/live-timing.js';
import type { Prediction } from '../src/topology/rto.js';
import type { LedgerEntry } from './ledger.js';
import type { Scenario } from './scenario.js';

/** The first event: what was to be done, on what. */
export interface RunEvent {
  type: 'run';
  id: string;
  scenario: Scenario;
  tenant: string;
  /** Which repeat of the scenario, from 1, and the seed of its random choices. */
  round: number;
  seed: number;
  startedAt: string;
  /** Members with their hosts. */
  members: { name: string; host: string }[];
  /** Acknowledged commits are on two members. */
  synchronous: boolean;
  /** What the cluster's status said of fencing before. */
  fencing: string;
  versions: Record<string, string>;
  /** Every tenant that the faults touch, this one first. */
  touched: string[];
  /** After which clients give an entry up by themselves, milliseconds; not recorded at first. */
  clientLimits?: { connectMs: number; answerMs: number };
}

/** The model's word on how long writes will stop, from the settings in force. */
export interface ModelEvent {
  type: 'model';
  timing: LiveTiming;
  predictions: Prediction[];
}

export interface PhaseEvent {
  type: 'phase';
  atMs: number;
  phase: 'steady' | 'method' | 'heal' | 'converge' | 'cool-down' | 'end';
}

export interface FaultEvent {
  type: 'fault';
  atMs: number;
  /** Position in the method, from 0. */
  step: number;
  fault: string;
  state: 'armed' | 'injecting' | 'injected' | 'effective' | 'ineffective' | 'healing' | 'healed' | 'failed';
  on: string[];
  /** What was seen, for people. */
  note: string;
  /** At the injection: the fault takes a host that led both PostgreSQL and etcd. */
  leadsBoth?: boolean;
}

/** A client's write: journal of what it was told. */
export interface WriteEvent extends LedgerEntry {
  type: 'write';
  client: 'session' | 'each';
  /** Which connected client, from 0, each with another entry first; absent in runs of before there were several. */
  writer?: number;
  /** Timeline of the server that acknowledged. */
  timeline: number | null;
}

/** A client's read through `replica`. */
export interface ReadEvent {
  type: 'read';
  sentMs: number;
  endedMs: number;
  /** Highest key of the session writer that it saw; null when it failed. */
  seen: number | null;
  error: string | null;
}

/** `BEGIN; INSERT …; ROLLBACK` on a member's own port. */
export interface ProbeEvent {
  type: 'probe';
  member: string;
  sentMs: number;
  endedMs: number;
  took: boolean;
  error: string | null;
}

/** Patroni's REST of one member, whenever it says something new. */
export interface MemberEvent {
  type: 'member';
  atMs: number;
  member: string;
  fact: MemberFact;
}

/** The leader's key in the DCS, whenever it changes. */
export interface KeyEvent {
  type: 'key';
  atMs: number;
  holder: string | null;
}

/** A host's clock against the controller's. */
export interface ClockEvent {
  type: 'clock';
  atMs: number;
  host: string;
  /** Host minus controller, milliseconds, and how far off that may be; null when the host did not answer. */
  offsetMs: number | null;
  uncertaintyMs: number;
}

/** A line of a component's log that tells a step of a failover; by the run's clock. */
export interface LogEvent {
  type: 'log';
  atMs: number;
  /** Name of the member; of an entry without one, its host. */
  member: string;
  /** Whose line it is. Runs of before it was recorded have Patroni's and PostgreSQL's lines, with times that may be 2 s late. */
  component?: 'patroni' | 'postgres' | 'haproxy' | 'systemd';
  /** How far off `atMs` may be, from the estimate of the host's clock. */
  uncertaintyMs?: number;
  line: string;
}

/** What the database has at the end: key, transaction id. */
export interface RowsEvent {
  type: 'rows';
  atMs: number;
  rows: [key: number, xid: number][];
}

/** How the cluster ended, and when it was whole again; null: not within the limit. */
export interface ConvergedEvent {
  type: 'converged';
  atMs: number | null;
  /** What is not as it should be. */
  missing: string[];
  timeline: number | null;
}

export interface AbortEvent {
  type: 'abort';
  atMs: number;
  why: string;
}

/** The last event of a run that was not cut off. */
export interface EndEvent {
  type: 'end';
  atMs: number;
}

export type Event =
  | RunEvent
  | ModelEvent
  | PhaseEvent
  | FaultEvent
  | WriteEvent
  | ReadEvent
  | ProbeEvent
  | MemberEvent
  | KeyEvent
  | ClockEvent
  | LogEvent
  | RowsEvent
  | ConvergedEvent
  | AbortEvent
  | EndEvent;

/** A recorded run. Events of one type are in the order in which they were seen. */
export interface History {
  run: RunEvent;
  model: ModelEvent | null;
  events: Event[];
}

/** All events of a type. */
export function eventsOf<T extends Event['type']>({ events }: History, type: T): Extract<Event, { type: T }>[] {
  return events.filter((e): e is Extract<Event, { type: T }> => e.type === type);
}

/**
 * Reads a journal. A last line that was cut off (the run was killed while it wrote) is left out; anything else that cannot be read is
 * an error, since a gap in the evidence must not go unseen.
 * @throws TypeError
 */
export function parseHistory(text: string): History {
  const lines = text.split('\n');
  const last = lines.pop();
  const events = lines.map((line, i) => {
    try {
      return JSON.parse(line) as Event;
    } catch {
      throw new TypeError(`line ${i + 1} of the journal cannot be read`);
    }
  });
  if (last) {
    try {
      events.push(JSON.parse(last) as Event);
    } catch {
      // Cut off.
    }
  }
  const run = events[0];
  if (run?.type !== 'run') throw new TypeError('the journal does not begin with its run');
  return { run, model: events.find((e) => e.type === 'model') ?? null, events };
}
