// Scenarios: those that come with pgs are all valid, and what is wrong with a file is said with line and column, all of it at once.

import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { faults } from '../../../chaos/faults/catalogue.js';
import { parseScenario } from '../../../chaos/scenario.js';
import { findScenario, listScenarios, scenarioFolders } from '../../../chaos/store.js';
import { scenariosOfSuite, suites } from '../../../chaos/suites.js';
import { PgsError } from '../../../src/errors.js';
import { baseScenario } from './history-builder.js';

const folder = new URL('../../../chaos/scenarios/', import.meta.url).pathname;
const files = readdirSync(folder);

test.each(files)('%s is valid, and named as its file', (file) => {
  const scenario = parseScenario(readFileSync(`${folder}${file}`, 'utf8'), file);
  expect(`${scenario.name}.yaml`).toBe(file);
});

test('every fault is used by a scenario', () => {
  const used = files.flatMap((file) =>
    parseScenario(readFileSync(`${folder}${file}`, 'utf8'), file).method.map((s) => s.fault),
  );
  expect(faults.map((f) => f.name).filter((name) => !used.includes(name))).toEqual([]);
});

function faultsOf(text: string): string {
  try {
    parseScenario(text, '/tmp/mine.yaml');
  } catch (thrown) {
    if (thrown instanceof PgsError && thrown.code === 'configuration') return thrown.details.found;
    throw thrown;
  }
  return '';
}

test.each([
  [
    'severity: disruptive',
    'severity: wild',
    'mine.yaml:5:11: severity: must be one of safe, disruptive, destructive, not "wild"',
  ],
  ['family: postgresql', 'familly: postgresql', 'mine.yaml:4:1: familly: unknown key, did you mean "family"?'],
  ['kill-postmaster', 'kill-postmster', 'did you mean "kill-postmaster"?'],
  ['within: 4s', 'within: 4', 'mine.yaml:11:18: expect.rto.within: must be text, not 4'],
  ['role: leader', 'role: chief', 'mine.yaml:8:17: method.0.on.role: must be one of leader, sync'],
  ['    on:', '    for: 2m\n    on:', 'mine.yaml:8:10: method.0.for: must be at most 90s'],
  ['kill-postmaster', 'stop-postmaster', 'method.0.for: is missing: stop-postmaster lasts until it is healed'],
  [
    '    on:',
    '    arguments: { hard: true }\n    on:',
    'mine.yaml:8:16: method.0.arguments: kill-postmaster knows no hard',
  ],
  ['title: A planted run', '', 'title: is missing'],
])('%s as %s is told with its place', (from, to, said) => {
  expect(faultsOf(baseScenario)).toBe('');
  expect(faultsOf(baseScenario.replace(from, to))).toContain(said);
});

test('every fault of a file is told at once', () => {
  const text = baseScenario.replace('disruptive', 'wild').replace('required', 'perhaps');
  expect(faultsOf(text).split('\n')).toHaveLength(2);
});

test('durations are milliseconds', () => {
  const scenario = parseScenario(baseScenario.replace('    on:', '    at: 1.5s\n    jitter: 250ms\n    on:'), 'x');
  expect(scenario.method[0]).toMatchObject({ at: 1500, jitter: 250 });
  expect(scenario.expect['redundancy-within']).toBe(10_000);
  expect(scenario.abort['write-outage']).toBe(120_000);
});

test('suites name scenarios that are there; a family and a list of names are suites too', async () => {
  const folders = scenarioFolders(undefined);
  for (const name of Object.keys(suites)) expect((await scenariosOfSuite(name, folders)).length).toBeGreaterThan(0);
  expect(await scenariosOfSuite('all', folders)).toHaveLength(files.length);
  const proxy = await scenariosOfSuite('proxy', folders);
  expect(new Set(proxy.map((s) => s.scenario.family))).toEqual(new Set(['proxy']));
  expect(await scenariosOfSuite('postmaster-killed,haproxy-hung', folders)).toHaveLength(2);
  await expect(scenariosOfSuite('nothing', folders)).rejects.toThrow('none of that name');
});

test('a name that is nearly right is told', async () => {
  await expect(findScenario('postmaster-kiled', scenarioFolders(undefined))).rejects.toThrow('postmaster-killed');
  expect((await listScenarios(scenarioFolders(undefined))).length).toBe(files.length);
});
