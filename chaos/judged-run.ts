// A run with its folder and its verdict: what the command line and the daemon have in common.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Session } from '../src/reconcile/session.js';
import { judge, type Verdict } from './oracle/verdict.js';
import { isSandbox } from './power.js';
import { runScenario, type RunOptions } from './run.js';
import { journalOf, makeRunFolder, readRun } from './store.js';

export interface JudgedRunOptions extends Omit<RunOptions, 'id' | 'journalPath' | 'sandbox'> {
  /** Told where it is recorded, before anything is done. */
  onFolder: (path: string) => void;
}

/** @throws PgsError as `runScenario` */
export async function runAndJudge(session: Session, options: JudgedRunOptions): Promise<Verdict & { folder: string }> {
  const { stateDir } = session.inventory;
  const { id, path } = await makeRunFolder(stateDir, options.scenario.name, options.round, new Date());
  options.onFolder(path);
  await runScenario(session, {
    ...options,
    id,
    journalPath: journalOf(path),
    sandbox: isSandbox(options.power),
  });
  const verdict = judge((await readRun(stateDir, id)).history);
  await writeFile(join(path, 'verdict.json'), `${JSON.stringify(verdict, null, 2)}\n`, { mode: 0o600 });
  return { ...verdict, folder: path };
}
