// `pgs chaos run` and `pgs chaos suite`

import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { runAndJudge } from '../../../chaos/judged-run.js';
import type { Verdict } from '../../../chaos/oracle/verdict.js';
import { powerFor } from '../../../chaos/power.js';
import { describeVerdict } from '../../../chaos/report/text.js';
import { renderJunit } from '../../../chaos/report/junit.js';
import type { Tick } from '../../../chaos/run.js';
import { severities, type Scenario } from '../../../chaos/scenario.js';
import { findScenario, scenarioFolders } from '../../../chaos/store.js';
import { scenariosOfSuite } from '../../../chaos/suites.js';
import { acquireDrillLock } from '../../drills/store.js';
import { PgsError, toPgsError } from '../../errors.js';
import { resolveTenant } from '../cluster/tenant.js';
import type { RunFlags } from '../commands/chaos.js';
import { withHosts, type Context } from '../context.js';

/** What a suite says of a scenario that was not run. */
interface Skipped {
  scenario: string;
  verdict: 'skipped';
  why: string;
}

/** `-o json`: one `Verdict` with its folder, or a list of them when there are several rounds */
export async function run(
  given: string[],
  tenant: string | undefined,
  flags: RunFlags,
  command: Command,
): Promise<void> {
  const scenarios = await Promise.all(given.map((g) => findScenario(g, scenarioFolders(flags.folder))));
  await withDrillLock(command, async (context) => {
    const verdicts: (Verdict & { folder: string })[] = [];
    const name = await resolveTenant(context.session, tenant);
    for (const { scenario } of scenarios) verdicts.push(...(await rounds(context, scenario, name, flags)));
    await context.terminal.result(verdicts.length === 1 ? verdicts[0] : verdicts, () =>
      verdicts.map(describeVerdict).join('\n\n'),
    );
    exitBy(verdicts.map((v) => v.verdict));
  });
}

/** `-o json`: a list of `Verdict`, and of {scenario, verdict: 'skipped', why} */
export async function suite(
  name: string,
  tenant: string | undefined,
  flags: RunFlags & { junit?: string },
  command: Command,
): Promise<void> {
  const scenarios = await scenariosOfSuite(name, scenarioFolders(flags.folder));
  await withDrillLock(command, async (context) => {
    const of = await resolveTenant(context.session, tenant);
    const results: ((Verdict & { folder: string }) | Skipped)[] = [];
    for (const { scenario } of scenarios) {
      if (context.signal.aborted) break;
      try {
        results.push(...(await rounds(context, scenario, of, flags)));
      } catch (thrown) {
        const error = toPgsError(thrown);
        if (error.code !== 'unfit') throw thrown;
        context.terminal.warn(`${scenario.name} is skipped: ${error.details.found}`);
        results.push({ scenario: scenario.name, verdict: 'skipped', why: error.details.found });
      }
    }
    const judged = results.filter((r) => r.verdict !== 'skipped');
    if (flags.junit) await writeFile(flags.junit, renderJunit(name, results));
    await context.terminal.result(results, () => results.map(describeLine).join('\n'));
    exitBy(judged.map((v) => v.verdict));
  });
}

/** Never two drills in a fleet, the daemon's among them; losing the lock aborts, and heals. */
async function withDrillLock(command: Command, work: (context: Context) => Promise<void>): Promise<void> {
  await withHosts(command, async (context) => {
    const lock = await acquireDrillLock(await context.session.dcs(), { command: 'pgs chaos' });
    try {
      await work({ ...context, signal: AbortSignal.any([context.signal, lock.signal]) });
    } finally {
      await lock.release();
    }
  });
}

function describeLine(result: Verdict | Skipped): string {
  if (result.verdict === 'skipped') return `skipped  ${result.scenario}: ${result.why.replaceAll('\n', '; ')}`;
  const rto = result.rtoMs === null ? 'writes did not go on' : `${(result.rtoMs / 1000).toFixed(1)} s without writes`;
  const bad = result.checks.filter((c) => c.result !== 'pass').map((c) => `${c.name}: ${c.found}`);
  return `${result.verdict.padEnd(7)}  ${result.scenario} (${result.round}): ${rto}, ${result.ackedLost ?? '?'} lost${bad.length > 0 ? `\n           ${bad.join('\n           ')}` : ''}`;
}

async function rounds(
  context: Context,
  scenario: Scenario,
  tenant: string,
  flags: RunFlags,
): Promise<(Verdict & { folder: string })[]> {
  const count = flags.repeat ?? scenario.repeat.count;
  const seed = flags.seed ?? scenario.repeat.seed;
  const verdicts: (Verdict & { folder: string })[] = [];
  for (let round = 1; round <= count && !context.signal.aborted; round++) {
    verdicts.push(await one(context, scenario, tenant, flags, round, seed + round - 1));
  }
  return verdicts;
}

async function one(
  { session, terminal, signal }: Context,
  scenario: Scenario,
  tenant: string,
  flags: RunFlags,
  round: number,
  seed: number,
): Promise<Verdict & { folder: string }> {
  const accepted = flags.accept.map((word) => {
    const known = severities.find((s) => s === word);
    if (known) return known;
    throw new PgsError('usage', { doing: 'reading --accept', found: `${word} is none of ${severities.join(', ')}` });
  });
  return runAndJudge(session, {
    ...{ scenario, tenant, round, seed, accepted, signal },
    power: powerFor(session, flags.powerCommand ?? null),
    onFolder: (path) =>
      terminal.progress(`${scenario.title} (${scenario.name}, round ${round}, seed ${seed}); recorded in ${path}`),
    onTick: (tick) => terminal.progress(describeTick(tick)),
    onLine: (line) => terminal.progress(`         ${line}`),
  });
}

function describeTick({ atMs, phase, writesPerS, leader, silentMs }: Tick): string {
  const silent = silentMs > 1000 ? `, ${(silentMs / 1000).toFixed(1)} s without a write` : '';
  return `${(atMs / 1000).toFixed(0).padStart(5)}s  ${phase.padEnd(9)} ${writesPerS.toFixed(0).padStart(3)} writes/s  ${leader ?? 'no leader'}${silent}`;
}

function exitBy(verdicts: Verdict['verdict'][]): void {
  if (verdicts.includes('fail')) process.exitCode = 1;
  else if (verdicts.includes('unknown')) process.exitCode = 4;
}
