// What the name of a suite may be.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { scenarioFolders } from '../../../chaos/store.js';
import { scenariosOfSuite, suites } from '../../../chaos/suites.js';

const namesOf = async (name: string, folders = scenarioFolders(undefined)) =>
  (await scenariosOfSuite(name, folders)).map((s) => s.scenario.name);

it.each(Object.entries(suites))('%s has scenarios that are there', async (name, scenarios) => {
  expect(scenarios.length).toBeGreaterThan(0);
  expect(await namesOf(name)).toEqual(scenarios);
});

it('weekly is safe for production', async () => {
  const found = await scenariosOfSuite('weekly', scenarioFolders(undefined));
  expect(found.map((s) => s.scenario.severity)).toEqual(['safe']);
});

it('one scenario is a suite, several with commas are, and one of the user is', async () => {
  expect(await namesOf('planned-switchover')).toEqual(['planned-switchover']);
  expect(await namesOf('patroni-killed,planned-switchover')).toEqual(['patroni-killed', 'planned-switchover']);
  const own = mkdtempSync(join(tmpdir(), 'pgs-suites-'));
  const [shipped] = scenarioFolders(undefined);
  const text = readFileSync(join(shipped!, 'planned-switchover.yaml'), 'utf8');
  writeFileSync(join(own, 'mine.yaml'), text.replace('name: planned-switchover', 'name: mine'));
  expect(await namesOf('mine', scenarioFolders(own))).toEqual(['mine']);
});

it('another name is refused, with those that there are', async () => {
  await expect(namesOf('nightly')).rejects.toMatchObject({ code: 'usage' });
});
