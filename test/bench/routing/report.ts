// From the rounds of a run to its numbers, its goals and its tables. Pure.

import { median, type Machine } from '../report.js';
import { events, eventNames, type EventName } from './events.js';
import type { Latency } from './latency.js';
import { intervalsMs, kinds, writersPerKind, type Kind } from './load.js';
import type { ReloadResult } from './reload.js';
import type { Round } from './rounds.js';
import { systemNames, type SystemName } from './system.js';

export interface Result {
  at: string;
  machine: Machine;
  versions: Record<string, string>;
  /** What each system is. */
  systems: Partial<Record<SystemName, string>>;
  /** The run may have been made in several goes, each with all systems in turn. */
  parts: { at: string; commit: string; machine: Machine; seed: number }[];
  rounds: Round[];
  latency: Latency[];
  reload: ReloadResult | null;
  /** What a reader must know of how it was measured. */
  notes?: string[];
}

export interface Row {
  system: SystemName;
  event: EventName;
  kind: Kind;
  n: number;
  /** Write gap, milliseconds: of all clients of the kind together. */
  medianMs: number;
  p95Ms: number;
  maxMs: number;
  /** The worst gap that one client had. */
  worstClientMs: number;
  errors: Record<string, number>;
  indeterminate: number;
}

export interface Goal {
  what: string;
  found: string;
  /** Null when nothing was measured. */
  met: boolean | null;
}

/** Nearest rank: of few values, the largest. */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)]!;
}

export function rowsOf(rounds: Round[]): Row[] {
  return eventNames.flatMap((event) =>
    systemNames.flatMap((system) =>
      kinds.flatMap((kind) => {
        const own = rounds.filter((r) => r.system === system && r.event === event).map((r) => r.kinds[kind]);
        if (own.length === 0) return [];
        const gaps = own.map((k) => k.gapMs);
        return [
          {
            system,
            event,
            kind,
            n: own.length,
            medianMs: median(gaps),
            p95Ms: percentile(gaps, 0.95),
            maxMs: Math.max(...gaps),
            worstClientMs: Math.max(...own.map((k) => k.worstClientGapMs)),
            errors: sumErrors(own.map((k) => k.errors)),
            indeterminate: own.reduce((sum, k) => sum + k.indeterminate, 0),
          },
        ];
      }),
    ),
  );
}

function sumErrors(all: Record<string, number>[]): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const [code, count] of all.flatMap((errors) => Object.entries(errors))) sum[code] = (sum[code] ?? 0) + count;
  return Object.fromEntries(Object.entries(sum).sort(([, a], [, b]) => b - a));
}

/** What the issue that asked for the benchmark wants of pgs. */
export function goals({ rounds, latency, reload }: Pick<Result, 'rounds' | 'latency' | 'reload'>): Goal[] {
  const own = rounds.filter((r) => r.system === 'pgs');
  const of = (event: EventName) => own.filter((r) => r.event === event);
  const hostLost = (event: EventName, withEtcd: boolean) =>
    of(event).filter((r) => (r.leader === r.etcdLeader) === withEtcd);
  return [
    gapGoal('switchover: median write gap at most 1.5 s', of('switchover'), median, 1500),
    gapGoal('switchover: longest write gap at most 2.5 s', of('switchover'), (gaps) => Math.max(...gaps), 2500),
    countGoal('switchover: no errors, for both kinds of client', of('switchover'), errorsOf),
    gapGoal('kill -9: median write gap at most 2 s', of('kill'), median, 2000),
    countGoal('kill -9: errors only for transactions in flight', of('kill'), (r) => sumKinds(r, 'errorsSentLater')),
    ...(['power', 'cut'] as const).flatMap((event) => [
      gapGoal(`${event}: median write gap at most 22 s`, hostLost(event, false), median, 22_000),
      gapGoal(`${event}, etcd's leader too: median write gap at most 26 s`, hostLost(event, true), median, 26_000),
      countGoal(`${event}: clients go on, each of them`, of(event), (r) => (r.allClientsWentOn ? 0 : 1)),
    ]),
    ...eventNames.map((event) => countGoal(`${event}: no acknowledged write lost`, of(event), (r) => r.lost)),
    latencyGoal(latency),
    {
      what: 'a reload with 500 open sessions and 50 tenants cuts nothing',
      found: reload
        ? `${reload.cut} sessions cut, errors of sessions ${JSON.stringify(reload.queryErrors)}, of ${reload.newConnections} new connections ${JSON.stringify(reload.newConnectionErrors)}`
        : 'not measured',
      met: reload && reload.cut === 0 && isEmpty(reload.queryErrors) && isEmpty(reload.newConnectionErrors),
    },
  ];
}

/** Of each round the longer gap of the two kinds. */
function gapGoal(what: string, rounds: Round[], measure: (gaps: number[]) => number, limitMs: number): Goal {
  if (rounds.length === 0) return { what, found: 'no such round', met: null };
  const ms = measure(rounds.map((r) => Math.max(...kinds.map((kind) => r.kinds[kind].gapMs))));
  return { what, found: `${seconds(ms)} (${rounds.length} rounds)`, met: ms <= limitMs };
}

function countGoal(what: string, rounds: Round[], count: (round: Round) => number): Goal {
  if (rounds.length === 0) return { what, found: 'no such round', met: null };
  const counts = rounds.map(count);
  const sum = counts.reduce((a, b) => a + b, 0);
  const broken = counts.filter((n) => n > 0).length;
  return {
    what,
    found: sum === 0 ? `0 in ${counts.length} rounds` : `${sum}, in ${broken} of ${counts.length} rounds`,
    met: sum === 0,
  };
}

function latencyGoal(latency: Latency[]): Goal {
  const what = '`direct` adds less than 10 % to a transaction of pgbench';
  const own = latency.filter((l) => l.path.startsWith('direct') && l.workload === 'tpcb-like');
  if (own.length === 0) return { what, found: 'not measured', met: null };
  return {
    what,
    found: own.map((l) => `${percent(l.added)} (${l.path})`).join(', '),
    met: own.every((l) => l.added < 0.1),
  };
}

function errorsOf(round: Round): number {
  return kinds.reduce((sum, kind) => sum + Object.values(round.kinds[kind].errors).reduce((a, b) => a + b, 0), 0);
}

function sumKinds(round: Round, field: 'errorsSentLater'): number {
  return kinds.reduce((sum, kind) => sum + round.kinds[kind][field], 0);
}

function isEmpty(record: Record<string, number>): boolean {
  return Object.keys(record).length === 0;
}

export function renderMarkdown(result: Result): string {
  const { machine, versions, systems, parts } = result;
  const names: Record<SystemName, string> = {
    pgs: 'pgs',
    guide: '(a) the usual guide',
    'auto-failover': '(b) pg_auto_failover',
  };
  const lines = [
    `# Routing benchmark of ${result.at.slice(0, 16).replace('T', ' ')} UTC`,
    '',
    `${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}; machines under systemd-nspawn on one box, all systems on the same four.`,
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
    `Measured in ${parts.length} goes: ${parts.map((p) => `${p.at.slice(11, 16)} (commit ${p.commit}, load ${p.machine.load} at the start, seed ${p.seed})`).join(', ')}.`,
    '',
    ...systemNames.flatMap((name) => (systems[name] ? [`* **${names[name]}**: ${systems[name]}`] : [])),
    '',
    `Load: ${writersPerKind * kinds.length} writers, open loop, no retries: ${writersPerKind} stay connected and write a row every ${intervalsMs.session} ms, ${writersPerKind} connect anew for each row, every ${intervalsMs.each} ms`,
    '(at 20 ms, too, they alone fill the two cores).',
    'A client gives an answer 30 s and a connection to one host 5 s. A write gap is the longest time in which no client of the kind had a',
    'write acknowledged; the last but one column is the longest that one single client had to wait between two.',
    '',
    ...(result.notes ?? []).flatMap((note) => [note, '']),
    '| event | system | clients | n | median | p95 | max | one client, max | errors by SQLSTATE |',
    '|---|---|---|---|---|---|---|---|---|',
    ...rowsOf(result.rounds).map(
      (r) =>
        `| ${events[r.event].title} | ${names[r.system]} | ${r.kind === 'each' ? 'reconnect' : 'stay'} | ${r.n} | ${seconds(r.medianMs)} | ${seconds(r.p95Ms)} | ${seconds(r.maxMs)} | ${seconds(r.worstClientMs)} | ${printErrors(r.errors)} |`,
    ),
    '',
    ...renderLosses(result.rounds, names),
    ...renderRatios(result.rounds),
    '## Goals of pgs',
    '',
    '| goal | found | |',
    '|---|---|---|',
    ...goals(result).map((g) => `| ${g.what} | ${g.found} | ${g.met === null ? '' : g.met ? 'met' : 'MISSED'} |`),
    '',
    ...renderLatency(result.latency),
    ...renderReload(result.reload),
    ...renderRounds(result.rounds),
  ];
  return `${lines.join('\n').trimEnd()}\n`;
}

function renderLosses(rounds: Round[], names: Record<SystemName, string>): string[] {
  const told = systemNames.flatMap((system) => {
    const own = rounds.filter((r) => r.system === system);
    if (own.length === 0) return [];
    const sum = (count: (r: Round) => number) => own.reduce((total, r) => total + count(r), 0);
    const acknowledged = sum((r) => r.kinds.session.acknowledged + r.kinds.each.acknowledged);
    return [
      `${names[system]}: ${sum((r) => r.lost)} of ${acknowledged} lost, ${sum((r) => r.risen)} there that had failed, ${sum((r) => r.duplicated)} twice`,
    ];
  });
  return [`Acknowledged writes, over all rounds: ${told.join('; ')}.`, ''];
}

/** Medians of the same rounds' write gaps: pgs to each of the others. */
export function ratios(
  rounds: Round[],
): { event: EventName; kind: Kind; guide: number | null; autoFailover: number | null }[] {
  const rows = rowsOf(rounds);
  const of = (system: SystemName, event: EventName, kind: Kind) =>
    rows.find((r) => r.system === system && r.event === event && r.kind === kind)?.medianMs ?? null;
  return eventNames.flatMap((event) =>
    kinds.flatMap((kind) => {
      const [own, guide, auto] = systemNames.map((system) => of(system, event, kind));
      if (own === null || own === undefined) return [];
      return [{ event, kind, guide: guide ? own / guide : null, autoFailover: auto ? own / auto : null }];
    }),
  );
}

function renderRatios(rounds: Round[]): string[] {
  const print = (ratio: number | null) => (ratio === null ? '' : ratio.toFixed(2));
  return [
    '| median write gap of pgs to that of | clients | (a) the usual guide | (b) pg_auto_failover |',
    '|---|---|---|---|',
    ...ratios(rounds).map(
      (r) =>
        `| ${events[r.event].title} | ${r.kind === 'each' ? 'reconnect' : 'stay'} | ${print(r.guide)} | ${print(r.autoFailover)} |`,
    ),
    '',
  ];
}

function renderLatency(latency: Latency[]): string[] {
  if (latency.length === 0) return [];
  return [
    '## Added latency',
    '',
    'pgbench, one client, median of a transaction, runs in turn; `other entry` is a host that the leader is not on.',
    '',
    '| workload | way | median | more than straight to PostgreSQL |',
    '|---|---|---|---|',
    ...latency.map(
      (l) =>
        `| ${l.workload} | ${l.path} | ${l.medianMs.toFixed(2)} ms | ${l.path === 'straight' ? '' : percent(l.added)} |`,
    ),
    '',
  ];
}

function renderReload(reload: ReloadResult | null): string[] {
  if (!reload) return [];
  return [
    '## Reload',
    '',
    `${reload.sessions.primary} sessions of \`primary\` and ${reload.sessions.direct} of \`direct\` through one HAProxy with ${reload.tenants} tenants' services (one real tenant, the`,
    `others its file under other names and ports, to the same members); ${reload.reloadMs.length} reloads (49 tenants come, nothing changes, 49 go) of ${reload.reloadMs.join(', ')} ms. Sessions cut: ${reload.cut}.`,
    `${reload.queries} queries on these sessions meanwhile, errors ${JSON.stringify(reload.queryErrors)}, the longest took ${reload.longestQueryMs} ms; ${reload.newConnections} writes on new connections, errors ${JSON.stringify(reload.newConnectionErrors)}.`,
    '',
  ];
}

function renderRounds(rounds: Round[]): string[] {
  const told = (r: Round) => {
    const { session, each } = r.kinds;
    const errors = sumErrors([session.errors, each.errors]);
    const notes = [
      r.allClientsWentOn ? [] : ['not all clients went on'],
      r.commandError === null ? [] : ['the command failed'],
    ].flat();
    return `| ${r.event} | ${r.round} | ${r.system} | ${r.at.slice(11, 19)} | ${r.leader}${r.leader === r.etcdLeader ? ' (etcd too)' : ''} | ${seconds(session.gapMs)} | ${seconds(each.gapMs)} | ${printErrors(errors)} | ${session.indeterminate + each.indeterminate} | ${r.lost} | ${seconds(r.wholeAfterMs)} | ${notes.join(', ')} |`;
  };
  return [
    '## Rounds',
    '',
    '`indeterminate`: the connection was lost while the answer was due. `whole after`: all three members in step again, with the host back.',
    '',
    '| event | n | system | at | leader on | stay | reconnect | errors | indeterminate | lost | whole after | |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...rounds.map(told),
  ];
}

function printErrors(errors: Record<string, number>): string {
  const entries = Object.entries(errors);
  return entries.length === 0 ? '0' : entries.map(([code, count]) => `${code} ${count}`).join(', ');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}
