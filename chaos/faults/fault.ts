// What a fault is: a pair of inject and heal, computed as data, with the evidence that shows whether it took effect.

import type { z } from 'zod';
import type { Command } from '../../src/host/command.js';
import type { Cluster } from '../../src/topology/cluster.js';
import type { Host } from '../../src/inventory/inventory.js';

/** One thing to do. Only the edge (`perform.ts`) does it. */
export type Act =
  /** On a host, as root. What ends with a code other than 0 failed, unless the code is among `fine`. */
  | { kind: 'host'; host: string; command: Command; fine?: number[] }
  /** The host's power switch, through a driver. */
  | { kind: 'power'; host: string; power: 'on' | 'off' }
  /** What pgs itself does for an operator. */
  | { kind: 'switchover' }
  | { kind: 'restart'; member: string }
  /** Sessions of the controller's: as many as the server takes, or one whose transaction stays open. */
  | { kind: 'sessions'; hold: 'all-connections' | 'transaction' }
  | { kind: 'etcd-no-space' }
  | { kind: 'etcd-leader'; host: string }
  /** A part of Patroni's settings in the DCS. */
  | { kind: 'settings'; change: Record<string, unknown> };

/** How it is seen that a fault took effect. */
export interface Effect {
  /** A command on a host; a host that does not answer is evidence for `gone` only. */
  host: string;
  probe: Command;
  /**
   * `changed`: it prints something else than before, or fails; `gone`: the host does not answer any more; otherwise what it prints matches
   * the regular expression.
   */
  expect: 'changed' | 'gone' | { matches: string };
  /** What that is, for people. */
  what: string;
  /** Looked at until then, after the injection; milliseconds. */
  withinMs: number;
}

export interface FaultPlan {
  inject: Act[];
  /** Done again and again without harm; what is armed on the hosts, or beside the power switch, before the injection: nothing else outlives pgs. */
  heal: Act[];
  effects: Effect[];
}

/** What a fault can touch beyond its member: its host's other tenants, or everybody who uses the DCS. */
export type Scope = 'member' | 'host' | 'dcs' | 'fleet';

/** Where a fault is to be: the hosts that were chosen, in a cluster on a fleet. */
export interface Ground {
  /** Names what is left on hosts: letters, digits and hyphens. */
  id: string;
  cluster: Cluster;
  fleet: Host[];
  etcd: { hosts: string[]; clientPort: number; peerPort: number };
  /** Chosen, in order; for a member's fault the hosts of these members. */
  hosts: Host[];
  /** Host of the leader at that moment; null while nobody leads. */
  leader: Host | null;
}

export interface Fault {
  name: string;
  what: string;
  scope: Scope;
  /** It lasts until it is healed, so a step has to say for how long. */
  lasting: boolean;
  arguments: z.ZodType<Record<string, unknown>>;
  plan: (ground: Ground, given: Record<string, unknown>, forMs: number) => FaultPlan;
}

/** A fault with its arguments typed by its schema. */
export function defineFault<A extends Record<string, unknown>>(
  fault: Omit<Fault, 'arguments' | 'plan'> & {
    arguments: z.ZodType<A>;
    plan: (ground: Ground, given: A, forMs: number) => FaultPlan;
  },
): Fault {
  const { arguments: schema, plan } = fault;
  return { ...fault, plan: (ground, given, forMs) => plan(ground, schema.parse(given), forMs) };
}

const timeoutMs = 15_000;

export function onHost(host: Host, argv: string[], more: { stdin?: string; fine?: number[] } = {}): Act {
  const { stdin, fine } = more;
  const command = { argv, timeoutMs, ...(stdin === undefined ? {} : { stdin }) };
  return { kind: 'host', host: host.name, command, ...(fine ? { fine } : {}) };
}

export function seen(host: Host, what: string, argv: string[], expect: Effect['expect'], withinMs = 10_000): Effect {
  return { host: host.name, what, probe: { argv, timeoutMs: 5000 }, expect, withinMs };
}

/** What a look gives when the host does not answer. */
export const unreachable = 'unreachable';

/** Pure judgement of one look. @param before - what the probe printed before the injection; null: it failed or was not asked */
export function judgeEffect(expect: Effect['expect'], before: string | null, now: string | null): boolean {
  if (now === unreachable) return expect === 'gone';
  if (expect === 'gone') return false;
  if (expect === 'changed') return before !== null && now !== before;
  return now !== null && new RegExp(expect.matches).test(now);
}
