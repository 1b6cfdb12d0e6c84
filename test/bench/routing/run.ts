// `npm run bench:routing`: what clients feel when a leader changes, is killed, or is lost with its host, behind pgs, behind the
// configuration of the usual guides and behind pg_auto_failover: in one run, on the same machines, the systems in turn in each round.
//
//   PGS_BENCH_ROUNDS   rounds of each event (default switchover=10,kill=10,power=10,cut=10)
//   PGS_BENCH_SYSTEMS  default pgs,guide,auto-failover
//   PGS_BENCH_SEED     of the phases (default 1)
//   PGS_BENCH_LIMIT_S  no round begins later than this after the start (default: none); what was measured is written
//   PGS_BENCH_INTO     a result of before, without its ending: rounds that it has are not run again, and new ones are added to it
//   PGS_BENCH_LOGS     where the hosts' and clients' journals of each round are kept (default /tmp/pgs-<sandbox>-logs)
//
// Writes the result to test/bench/results/ and ends with 1 if a goal is missed.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { seededRandom } from '../../../chaos/targets.js';
import { openFleet, root, type Fleet } from '../fleet.js';
import { commit, describeMachine, gatherVersions } from '../surroundings.js';
import { autoFailoverSystem } from './auto-failover.js';
import { eventNames, events, type EventName } from './events.js';
import { guideSystem } from './guide.js';
import { measureLatency } from './latency.js';
import { pgsSystem } from './pgs.js';
import { measureReload } from './reload.js';
import { goals, renderMarkdown, type Result } from './report.js';
import { playRound, untilWhole, type Round, type Stage } from './rounds.js';
import { systemNames, type System, type SystemName } from './system.js';

const makers = { pgs: pgsSystem, guide: guideSystem, 'auto-failover': autoFailoverSystem };
const progress = (line: string) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
const startedMs = performance.now();
const limitS = Number(process.env.PGS_BENCH_LIMIT_S ?? Infinity);
const seed = Number(process.env.PGS_BENCH_SEED ?? 1);

async function main(): Promise<number> {
  const machine = describeMachine();
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
  const names = (process.env.PGS_BENCH_SYSTEMS?.split(',') ?? systemNames) as SystemName[];
  const fleet = await openFleet(progress, 4);
  // The first Ctrl-C ends the command that runs; the sandbox is still taken down.
  process.once('SIGINT', () => undefined);
  try {
    const systems = names.map((name) => makers[name](fleet));
    await Promise.all(systems.map((system) => system.up()));
    await untilWhole(systems);
    const versions = await versionsOf(fleet, names);
    const { file, result } = openResult({ machine, versions, systems });
    const part = result.parts.length + 1;
    result.parts.push({ at: new Date().toISOString(), commit: commit(), machine, seed });
    const save = () => {
      writeFileSync(`${file}.json`, `${JSON.stringify(result, null, 1)}\n`);
      writeFileSync(`${file}.md`, renderMarkdown(result));
    };
    const stage = { fleet, systems, random: seededRandom(seed * 1000 + part), progress, logs: logsOf(part) };
    await playAll(stage, result, save);
    await measureSides(fleet, systems, result);
    save();
    progress(`written to ${file}.json and .md`);
    return goals(result).some((goal) => goal.met === false) ? 1 : 0;
  } finally {
    await fleet.close();
  }
}

function openResult({ machine, versions, systems }: Pick<Result, 'machine' | 'versions'> & { systems: System[] }) {
  const at = new Date().toISOString();
  const file = process.env.PGS_BENCH_INTO ?? `${root}test/bench/results/${at.slice(0, 16).replace(':', '')}-routing`;
  const titles = Object.fromEntries(systems.map((s) => [s.name, s.title]));
  const fresh: Result = { at, machine, versions, systems: titles, parts: [], rounds: [], latency: [], reload: null };
  const result = existsSync(`${file}.json`) ? (JSON.parse(readFileSync(`${file}.json`, 'utf8')) as Result) : fresh;
  return { file, result };
}

function logsOf(part: number): string {
  return `${process.env.PGS_BENCH_LOGS ?? `/tmp/pgs-${process.env.PGS_SANDBOX ?? 'bench'}-logs`}/${part}`;
}

/** A round of an event is played by all systems or by none, in turn, each time beginning with another one, or all at once. */
async function playAll(stage: Stage, result: Result, save: () => void): Promise<void> {
  const { systems } = stage;
  let sequence = 0;
  for (const { event, round } of plannedRounds()) {
    if (systems.every((s) => result.rounds.some((r) => r.system === s.name && r.event === event && r.round === round)))
      continue;
    if ((performance.now() - startedMs) / 1000 > limitS) {
      progress(`no further round begins: ${limitS} s are over`);
      return;
    }
    const turns = events[event].takesHost ? [systems] : systems.map((_, i) => [systems[(round + i) % systems.length]!]);
    const outcomes: Promise<Round[]>[] = [];
    for (const befallen of turns) {
      sequence++;
      const told = (error: unknown): Round[] => {
        progress(`${event} ${round} of ${befallen.map((s) => s.name).join(', ')} was not played: ${String(error)}`);
        return [];
      };
      const { results } = await playRound(stage, befallen, event, round, sequence).catch((error: unknown) => ({
        results: Promise.resolve(told(error)),
      }));
      outcomes.push(results.catch(told));
    }
    result.rounds.push(...(await Promise.all(outcomes)).flat());
    save();
  }
}

/** Kinds of event spread evenly, so that a slow spell of the machine, and a run that is cut short, hit all of them. */
function plannedRounds(): { event: EventName; round: number }[] {
  const asked = process.env.PGS_BENCH_ROUNDS ?? eventNames.map((event) => `${event}=10`).join(',');
  const counts = asked.split(',').map((pair) => pair.split('=') as [EventName, string]);
  return counts
    .flatMap(([event, count]) =>
      Array.from({ length: Number(count) }, (_, i) => ({ event, round: i + 1, place: (i + 0.5) / Number(count) })),
    )
    .sort((a, b) => a.place - b.place);
}

/** What needs no leader to change: measured once, of pgs alone. */
async function measureSides(fleet: Fleet, systems: System[], result: Result): Promise<void> {
  const pgs = systems.find((s) => s.name === 'pgs');
  if (!pgs || process.env.PGS_BENCH_SIDES === 'no') return;
  await untilWhole(systems);
  result.reload ??= await measureReload(fleet, progress);
  if (result.latency.length === 0) result.latency = await measureLatency(fleet, pgs, progress);
}

async function versionsOf(fleet: Fleet, names: SystemName[]): Promise<Record<string, string>> {
  const more = names.includes('auto-failover') ? { 'pg-auto-failover-cli': 'pg_auto_failover' } : {};
  return gatherVersions(fleet, { pgbouncer: 'PgBouncer', ...more });
}

process.exitCode = await main();
