// What a timeline shows, computed from a history: buckets of writes, spans of roles and of faults. Pure.

import { eventsOf, type History } from '../history.js';
import { writableSpans } from '../oracle/writers.js';

export interface Bucket {
  atMs: number;
  session: number;
  each: number;
  errors: number;
}

export interface LaneSpan {
  fromMs: number;
  toMs: number;
  kind: 'leader' | 'sync' | 'replica' | 'other' | 'unreachable';
  /** For people. */
  text: string;
}

export interface MemberLane {
  member: string;
  roles: LaneSpan[];
  /** When its own port took writes. */
  writable: { fromMs: number; toMs: number }[];
}

export interface FaultSpan {
  fromMs: number;
  toMs: number;
  text: string;
  effective: boolean;
}

export function endOf(history: History): number {
  const end = eventsOf(history, 'phase').find((p) => p.phase === 'end')?.atMs;
  return end ?? Math.max(1000, ...eventsOf(history, 'write').map((w) => w.endedMs));
}

/** Writes by the moment of their answer. */
export function bucketsOf(history: History, bucketMs: number): Bucket[] {
  const count = Math.ceil(endOf(history) / bucketMs) + 1;
  const buckets = Array.from({ length: count }, (_, i) => ({ atMs: i * bucketMs, session: 0, each: 0, errors: 0 }));
  for (const write of eventsOf(history, 'write')) {
    const bucket = buckets[Math.floor(write.endedMs / bucketMs)];
    if (!bucket) continue;
    if (write.outcome !== 'acknowledged') bucket.errors += 1;
    else bucket[write.client] += 1;
  }
  return buckets;
}

export function memberLanes(history: History): MemberLane[] {
  const endMs = endOf(history);
  const said = eventsOf(history, 'member');
  const probes = eventsOf(history, 'probe');
  return history.run.members.map(({ name }) => {
    const own = said.filter((m) => m.member === name);
    const roles = own.map(({ atMs, fact }, i): LaneSpan => {
      const toMs = own[i + 1]?.atMs ?? endMs;
      if (!fact.reachable) return { fromMs: atMs, toMs, kind: 'unreachable', text: 'Patroni does not answer' };
      const kind = fact.role === 'replica' ? (fact.streaming && fact.synchronous ? 'sync' : 'replica') : fact.role;
      const text = `${kind === 'sync' ? 'sync standby' : kind}, ${fact.streaming ? 'streaming' : fact.state}, timeline ${fact.timeline ?? '?'}`;
      return { fromMs: atMs, toMs, kind, text };
    });
    const writable = writableSpans(probes.filter((p) => p.member === name)).map((s) => ({
      fromMs: s.probes[0]!.sentMs,
      toMs: s.probes.at(-1)!.endedMs,
    }));
    return { member: name, roles, writable };
  });
}

export function faultSpans(history: History): FaultSpan[] {
  const endMs = endOf(history);
  const events = eventsOf(history, 'fault');
  return history.run.scenario.method.flatMap(({ fault }, step) => {
    const own = events.filter((e) => e.step === step);
    const from = own.find((e) => e.state === 'injecting');
    if (!from) return [];
    const toMs = own.find((e) => e.state === 'healed')?.atMs ?? endMs;
    const effective = own.some((e) => e.state === 'effective');
    return [
      { fromMs: from.atMs, toMs, text: `${fault}${from.on.length > 0 ? ` on ${from.on.join(', ')}` : ''}`, effective },
    ];
  });
}

/** Round numbers for an axis, at most about `count`. */
export function ticksOf(max: number, count: number): number[] {
  const raw = max / count;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * magnitude).find((n) => n >= raw) ?? raw;
  return Array.from({ length: Math.floor(max / step) + 1 }, (_, i) => i * step);
}
