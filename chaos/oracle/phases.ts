// Where the time of an outage went, when another member took over: detection, lease, election, promotion, proxy, client. From what the
// components logged, the leader's key in the DCS and the probes of the members' own ports, whichever shows a step first.

import type { Prediction } from '../../src/topology/rto.js';
import { eventsOf, type History, type LogEvent } from '../history.js';
import { markOf, type Mark } from './log-lines.js';

export const phaseNames = [
  'before the fault',
  'detection',
  'lease',
  'election',
  'promotion',
  'proxy',
  'client',
] as const;
export type PhaseName = (typeof phaseNames)[number];

export interface Phase {
  /** Names of phases joined by `and` where nothing shows the end of the earlier ones. */
  phase: string;
  /** The first of them, for a colour. */
  begins: PhaseName;
  ms: number;
  /** What showed its end. */
  source: 'run' | 'log' | 'key' | 'probe' | 'client';
  /** The same for people. */
  shownBy: string;
  /** What the model gives it at the most; null where it gives nothing, as for noticing while a lease runs out anyway. */
  predictedMs: number | null;
}

/** Phases of the RTO model (`src/topology/rto.ts`) and the part of an outage in which each lies. */
export const partsOfModel: Record<string, PhaseName> = {
  'Patroni notices': 'detection',
  'poolers pause': 'detection',
  'leader releases its key': 'lease',
  'recovery in place or release': 'lease',
  'leader stops and releases its key': 'lease',
  'etcd elects a leader': 'lease',
  "the leader's lease runs out": 'lease',
  'etcd removes the key': 'lease',
  'replicas agree on a leader': 'election',
  promotion: 'promotion',
  'HAProxy notices the new leader': 'proxy',
  'poolers resume': 'client',
};

/** The same phases, each with what the model says of its parts. */
export function comparePhases(phases: Phase[], prediction: Prediction | null): Phase[] {
  return phases.map((phase) => {
    const own =
      prediction?.phases.filter((p) => phase.phase.split(' and ').includes(partsOfModel[p.phase] ?? '')) ?? [];
    return { ...phase, predictedMs: own.length === 0 ? null : own.reduce((sum, p) => sum + p.maxMs, 0) };
  });
}

interface Sign {
  atMs: number;
  source: Phase['source'];
  shownBy: string;
}

interface Marked {
  event: LogEvent;
  mark: Mark;
}

/** A key is looked at every 100 ms, and a host's clock is known as exactly as an ssh round trip. */
const slackMs = 250;

/** @param outage - from the last acknowledged write to the first after it. Empty when nobody else took over within it. */
export function phasesOf(history: History, outage: { fromMs: number; toMs: number | null }): Phase[] {
  const { fromMs, toMs } = outage;
  if (toMs === null) return [];
  const injectedMs = eventsOf(history, 'fault')
    .filter((f) => f.state === 'injecting' && f.atMs <= toMs)
    .at(-1)?.atMs;
  const keys = eventsOf(history, 'key');
  if (injectedMs === undefined) return [];
  const sinceMs = Math.max(injectedMs, fromMs) - slackMs;
  const taken = keys.filter((k) => k.holder !== null && k.atMs >= sinceMs && k.atMs <= toMs).at(-1);
  if (!taken) return [];
  const next = taken.holder!;
  const before = keys.filter((k) => k.holder !== null && k.atMs < taken.atMs).at(-1)?.holder ?? null;

  const marked = eventsOf(history, 'log')
    .filter((event) => event.atMs >= sinceMs && event.atMs <= toMs + slackMs)
    .sort((a, b) => a.atMs - b.atMs)
    .flatMap((event): Marked[] => {
      const mark = markOf(event);
      return mark ? [{ event, mark }] : [];
    });
  const lines = (of: (m: Marked) => boolean): Sign[] => marked.filter(of).map(({ event }) => signOf(event));

  const key = (atMs: number, shownBy: string): Sign => ({ atMs, source: 'key', shownBy });
  const free = keys.find((k) => k.holder === null && k.atMs >= sinceMs && k.atMs < taken.atMs);
  const released = earliest([
    ...lines(({ event, mark }) => mark.kind === 'released' && event.member === before),
    ...lines(({ event, mark }) => mark.kind === 'races' && (event.member !== before || before === next)),
    ...(free ? [key(free.atMs, "the leader's key was gone")] : []),
  ]);
  const won = earliest([
    ...lines(({ event, mark }) => mark.kind === 'won' && event.member === next),
    key(taken.atMs, `${next} had the leader's key`),
  ])!;
  const promotingMs =
    lines(({ event, mark }) => mark.kind === 'promoting' && event.member === next)[0]?.atMs ?? won.atMs;
  const ready = earliest([
    ...lines(({ event, mark }) => mark.kind === 'ready' && event.member === next && event.atMs >= promotingMs),
    ...ownPort(history, next, won.atMs),
  ]);
  const signs: [PhaseName, Sign | null][] = [
    ['before the fault', { atMs: injectedMs, source: 'run', shownBy: 'the fault was injected' }],
    ['detection', noticed(marked, before, (released ?? won).atMs)],
    ['lease', released],
    ['election', won],
    ['promotion', ready],
    [
      'proxy',
      earliest(lines(({ event, mark }) => mark.kind === 'up' && mark.about === next && event.atMs >= won.atMs)),
    ],
    ['client', { atMs: toMs, source: 'client', shownBy: 'the first acknowledged write' }],
  ];
  return follow(signs, fromMs, toMs);
}

/** The first word that the leader is not well: of its own Patroni, or of an entry. */
function noticed(marked: Marked[], before: string | null, untilMs: number): Sign | null {
  const first = marked.find(
    ({ event, mark }) =>
      (mark.kind === 'gives-up' && event.member === before) || (mark.kind === 'down' && mark.about === before),
  );
  return first && first.event.atMs <= untilMs + slackMs ? signOf(first.event) : null;
}

/** Of the probes the first that a member took after it had the key. */
function ownPort(history: History, member: string, wonMs: number): Sign[] {
  const probe = eventsOf(history, 'probe').find((p) => p.member === member && p.took && p.endedMs >= wonMs);
  return probe ? [{ atMs: probe.endedMs, source: 'probe', shownBy: `${member} took a write on its own port` }] : [];
}

/** Parts that follow each other and add up to the whole; a step that nothing shows is one with the next. */
function follow(signs: [PhaseName, Sign | null][], fromMs: number, toMs: number): Phase[] {
  const phases: Phase[] = [];
  let names: PhaseName[] = [];
  let at = fromMs;
  for (const [name, sign] of signs) {
    names.push(name);
    if (!sign) continue;
    const end = Math.max(at, Math.min(sign.atMs, toMs));
    const ms = Math.round(end) - Math.round(at);
    const { source, shownBy } = sign;
    phases.push({ phase: names.join(' and '), begins: names[0]!, ms, source, shownBy, predictedMs: null });
    at = end;
    names = [];
  }
  return phases;
}

function earliest(signs: Sign[]): Sign | null {
  return signs.reduce<Sign | null>((first, sign) => (first === null || sign.atMs < first.atMs ? sign : first), null);
}

/** Without the stamp of the line, which the run's clock replaces, and without what a step needs no showing of: JSON, counts. */
function signOf({ atMs, member, component, line }: LogEvent): Sign {
  const said = line.replace(/^(\d{4}-\S+ \S+ ([A-Z]\S* \[\d+\] )?|\[[A-Z]+\] +\(\d+\) : )/, '');
  return {
    atMs,
    source: 'log',
    shownBy: `${component} of ${member}: ${said.split(/: \{|, check duration/)[0]!.slice(0, 100)}`,
  };
}
