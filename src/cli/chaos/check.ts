// `pgs chaos check` and `pgs chaos report`

import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { judge } from '../../../chaos/oracle/verdict.js';
import { renderHtml } from '../../../chaos/report/html.js';
import { renderJunit } from '../../../chaos/report/junit.js';
import { renderMarkdown } from '../../../chaos/report/markdown.js';
import { describeVerdict } from '../../../chaos/report/text.js';
import { listRuns, readRun } from '../../../chaos/store.js';
import { PgsError } from '../../errors.js';
import { terminalOf, type Globals } from '../context.js';
import { openInventory } from '../fleet.js';

/** `-o json`: a `Verdict`; without a run the list of ids */
export async function check(run: string | undefined, command: Command): Promise<void> {
  const terminal = terminalOf(command);
  // A folder is judged wherever it is; only names need a fleet.
  const isFolder = run?.includes('/') ?? false;
  const stateDir = isFolder ? '' : (await openInventory(command.optsWithGlobals<Globals>())).stateDir;
  if (run === undefined) {
    const runs = await listRuns(stateDir);
    return terminal.result(runs, () => runs.join('\n') || 'no run is stored');
  }
  const { history } = await readRun(stateDir, run);
  const verdict = judge(history);
  await terminal.result(verdict, () => describeVerdict(verdict));
  if (verdict.verdict !== 'pass') process.exitCode = verdict.verdict === 'fail' ? 1 : 4;
}

/** `-o json`: the verdicts */
export async function report(
  given: string[],
  options: { html?: string; junit?: string; markdown?: string },
  command: Command,
): Promise<void> {
  const terminal = terminalOf(command);
  const { stateDir, fleet } = await openInventory(command.optsWithGlobals<Globals>());
  const ids = given.length > 0 ? given : await listRuns(stateDir);
  if (ids.length === 0) {
    throw new PgsError('usage', {
      doing: 'writing a report',
      found: 'no run is stored',
      hint: 'Run one with `pgs chaos run`.',
    });
  }
  const runs = await Promise.all(ids.map(async (id) => (await readRun(stateDir, id)).history));
  const judged = runs.map((history) => ({ history, verdict: judge(history) }));
  if (options.html) await writeFile(options.html, renderHtml(fleet, judged));
  const verdicts = judged.map((j) => j.verdict);
  if (options.markdown) await writeFile(options.markdown, renderMarkdown(verdicts));
  if (options.junit) await writeFile(options.junit, renderJunit(fleet, verdicts));
  await terminal.result(verdicts, () => verdicts.map(describeVerdict).join('\n\n'));
}
