// Where runs are kept and scenarios are found: files on the operator's machine, outside the cluster that is broken.

import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { didYouMean } from '../src/did-you-mean.js';
import { PgsError } from '../src/errors.js';
import { templatesDir } from '../src/host/template.js';
import { parseHistory, type History } from './history.js';
import { parseScenario, type Scenario } from './scenario.js';

export interface FoundScenario {
  scenario: Scenario;
  path: string;
}

/** Folders in which scenarios are looked for: pgs's own, and one of the user's. */
export function scenarioFolders(own: string | undefined): string[] {
  const shipped = join(dirname(templatesDir()), 'chaos/scenarios');
  return own === undefined ? [shipped] : [shipped, resolve(own)];
}

/** All of them by name; one of the user's replaces a shipped one. @throws PgsError `configuration` with every fault of a file */
export async function listScenarios(folders: string[]): Promise<FoundScenario[]> {
  const found = new Map<string, FoundScenario>();
  for (const folder of folders) {
    const files = await readdir(folder).catch(() => {
      throw new PgsError('usage', { doing: 'looking for scenarios', found: `${folder} cannot be read` });
    });
    for (const file of files.filter((f) => /\.ya?ml$/.test(f)).sort()) {
      const one = await readScenario(join(folder, file));
      found.set(one.scenario.name, one);
    }
  }
  return [...found.values()];
}

/** By its name in the folders, or by the path of a file. @throws PgsError `usage` or `configuration` */
export async function findScenario(given: string, folders: string[]): Promise<FoundScenario> {
  if (/\.ya?ml$/.test(given) || given.includes('/')) return readScenario(resolve(given));
  const file = folders
    .map((folder) => join(folder, `${given}.yaml`))
    .reverse()
    .find((path) => existsSync(path));
  if (file) return readScenario(file);
  const names = (await listScenarios(folders)).map((s) => s.scenario.name);
  throw new PgsError('usage', {
    doing: `looking for scenario ${given}`,
    found: `there is none of that name${didYouMean(given, names)}`,
    hint: '`pgs chaos list` shows them; a path such as ./mine.yaml takes a file.',
  });
}

async function readScenario(path: string): Promise<FoundScenario> {
  const text = await readFile(path, 'utf8').catch((thrown: unknown) => {
    throw new PgsError('usage', {
      doing: `reading ${path}`,
      found: thrown instanceof Error ? thrown.message : String(thrown),
    });
  });
  return { scenario: parseScenario(text, path), path };
}

const journalName = 'journal.jsonl';

/** Runs are folders beside the fleet's other state; their names sort by time. */
export function runsFolder(stateDir: string): string {
  return join(stateDir, 'chaos');
}

/** A new folder for a run. `id` is its name: letters, digits and hyphens. */
export async function makeRunFolder(
  stateDir: string,
  scenario: string,
  round: number,
  now: Date,
): Promise<{ id: string; path: string }> {
  const stamp = now.toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  const id = `${stamp}-${scenario}${round > 1 ? `-${round}` : ''}`;
  const path = join(runsFolder(stateDir), id);
  await mkdir(path, { recursive: true, mode: 0o700 });
  return { id, path };
}

export function journalOf(folder: string): string {
  return join(folder, journalName);
}

/** Ids of stored runs, the oldest first. */
export async function listRuns(stateDir: string): Promise<string[]> {
  const names = await readdir(runsFolder(stateDir)).catch(() => []);
  return names.filter((n) => existsSync(join(runsFolder(stateDir), n, journalName))).sort();
}

/** @param given - id of a run, path of its folder or journal, or `last`. @throws PgsError `usage` */
export async function readRun(stateDir: string, given: string): Promise<{ folder: string; history: History }> {
  const id = given === 'last' ? (await listRuns(stateDir)).at(-1) : given;
  const candidates = id === undefined ? [] : [join(runsFolder(stateDir), id), resolve(id), dirname(resolve(id))];
  const folder = candidates.find((path) => existsSync(join(path, journalName)));
  if (!folder) {
    throw new PgsError('usage', {
      doing: `looking for run ${given}`,
      found: 'there is none',
      hint: '`pgs chaos check` without a run names the stored ones.',
    });
  }
  try {
    return { folder, history: parseHistory(await readFile(join(folder, journalName), 'utf8')) };
  } catch (thrown) {
    throw new PgsError('unfit', {
      doing: `reading run ${given}`,
      found: thrown instanceof Error ? thrown.message : String(thrown),
    });
  }
}
