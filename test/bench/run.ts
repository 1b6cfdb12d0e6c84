// `npm run bench`: how long pgs takes on machines of its own, next to the same cluster set up by hand in the same run. Writes
// the samples and a table to test/bench/results/ and ends with 1 if a target is missed. PGS_BENCH_ROUNDS (default 5) rounds; the
// measures of a round are interleaved and begin with another one each time, so that a slow spell of the machine hits all.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { openFleet, root, type Fleet } from './fleet.js';
import type { Ran } from './measure.js';
import { compareTraces, gatherTraces } from './noop.js';
import { isMet, parseSteps, renderMarkdown, rows, type Measure, type Run, type Sample } from './report.js';
import { commit, describeMachine, gatherVersions } from './surroundings.js';

const rounds = Number(process.env.PGS_BENCH_ROUNDS ?? 5);
/** By hand takes most of the time and varies least; three of each order are enough. */
const byHandRounds = 3;

const progress = (line: string) => process.stderr.write(`${line}\n`);

async function main(): Promise<number> {
  const machine = describeMachine();
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
  const fleet = await openFleet(progress);
  // The first Ctrl-C ends the command that runs; the sandbox is still taken down.
  process.once('SIGINT', () => undefined);
  try {
    const versions = await gatherVersions(fleet);
    const measured = await measureAll(fleet);
    const run: Run = { at: new Date().toISOString(), commit: commit(), rounds, machine, versions, ...measured };
    save(run);
    process.stdout.write(renderMarkdown(run));
    return rows(run.samples).every(isMet) && run.noopChanges.length === 0 ? 0 : 1;
  } finally {
    await fleet.close();
  }
}

type Measured = Pick<Run, 'samples' | 'noopChanges'>;

async function measureAll(fleet: Fleet): Promise<Measured> {
  const all: Measured = { samples: [], noopChanges: [] };
  // Once around unmeasured: what the machines read from disk for the first time is no part of any measure.
  await measureOne(fleet, 0);
  for (let round = 1; round <= rounds; round++) {
    const works = [
      () => (round <= byHandRounds ? measureByHand(fleet, round, 'in-turn') : null),
      () => measureOne(fleet, round),
      () => (round <= byHandRounds ? measureByHand(fleet, round, 'together') : null),
      () => measureFive(fleet, round),
    ];
    const first = (round - 1) % works.length;
    for (const work of [...works.slice(first), ...works.slice(0, first)]) {
      const measured = await work();
      all.samples.push(...(measured?.samples ?? []));
      all.noopChanges.push(...(measured?.noopChanges ?? []));
    }
  }
  return all;
}

function sampleOf(measure: Measure, round: number, { ms, cpuS }: Pick<Ran, 'ms' | 'cpuS'>): Sample {
  progress(`round ${round}: ${measure} ${(ms / 1000).toFixed(2)} s, ${cpuS.toFixed(1)} s of CPU`);
  return { measure, round, ms: Math.round(ms), cpuS: Math.round(cpuS * 100) / 100 };
}

async function measureByHand(fleet: Fleet, round: number, order: 'in-turn' | 'together'): Promise<Measured> {
  const ran = await fleet.byHandUp(order);
  await fleet.byHandDown();
  const measure = order === 'in-turn' ? 'by hand, in turn' : 'by hand, together';
  return { samples: [sampleOf(measure, round, ran)], noopChanges: [] };
}

/** One cluster, and on it what is done to one that is there. */
async function measureOne(fleet: Fleet, round: number): Promise<Measured> {
  const tenant = `bench${round}`;
  const created = await fleet.pgs(['cluster', 'create', tenant, '--replicas', '2']);
  const samples: Sample[] = [{ ...sampleOf('create', round, created), steps: parseSteps(created.stderr, tenant) }];
  const noopChanges: string[] = [];
  await untilQuiet(fleet, tenant);
  for (let n = 0; n < 2; n++) {
    samples.push(sampleOf('status', round, await fleet.pgs(['cluster', 'status', tenant])));
    samples.push(sampleOf('help', round, await fleet.pgs(['--help'])));
    const before = await gatherTraces(fleet, tenant);
    const applied = await fleet.pgs(['apply', tenant]);
    samples.push(sampleOf('no-op apply', round, applied));
    noopChanges.push(...compareTraces(before, await gatherTraces(fleet, tenant)));
  }
  await fleet.pgs(['cluster', 'destroy', tenant, '--purge-data', '--yes']);
  return { samples, noopChanges };
}

/** Five operators at once: from the first start to the last end. */
async function measureFive(fleet: Fleet, round: number): Promise<Measured> {
  const tenants = ['a', 'b', 'c', 'd', 'e'].map((letter) => `bench${round}${letter}`);
  const startedMs = performance.now();
  const ran = await Promise.all(tenants.map((tenant) => fleet.pgs(['cluster', 'create', tenant, '--replicas', '2'])));
  const cpuS = Math.max(...ran.map((r) => r.cpuS));
  const sample = sampleOf('five creates', round, { ms: performance.now() - startedMs, cpuS });
  for (const tenant of tenants) await untilQuiet(fleet, tenant);
  await Promise.all(tenants.map((tenant) => fleet.pgs(['cluster', 'destroy', tenant, '--purge-data', '--yes'])));
  return { samples: [sample], noopChanges: [] };
}

interface Status {
  healthy: boolean;
  rpo: { verdict: string };
  drift: unknown[];
}

/** What was created must be what was asked for, and Patroni must have written what it writes after a bootstrap. */
async function untilQuiet(fleet: Fleet, tenant: string): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    const status = JSON.parse((await fleet.pgs(['cluster', 'status', tenant, '-o', 'json'])).stdout) as Status;
    if (status.healthy && status.rpo.verdict === 'holds' && status.drift.length === 0) return;
    if (performance.now() > deadlineMs) throw new Error(`${tenant} is not well: ${JSON.stringify(status)}`);
  }
}

function save(run: Run): void {
  const results = `${root}test/bench/results/`;
  mkdirSync(results, { recursive: true });
  const file = `${results}${run.at.slice(0, 16).replace(':', '')}`;
  writeFileSync(`${file}.json`, `${JSON.stringify(run, null, 1)}\n`);
  writeFileSync(`${file}.md`, renderMarkdown(run));
  progress(`written to ${file}.json and .md`);
}

process.exitCode = await main();
