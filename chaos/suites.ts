// Named sets of scenarios.

import { PgsError } from '../src/errors.js';
import { families } from './scenario.js';
import { findScenario, listScenarios, type FoundScenario } from './store.js';

/** What every cluster has to stand. */
const core = [
  'postmaster-killed',
  'patroni-killed',
  'patroni-hangs-longer-than-ttl',
  'leader-isolated',
  'leader-power-off',
  'etcd-leader-killed',
  'planned-switchover',
];
/** The failures that the Percona lab tried: cables, power, kill -9, Patroni, processor, switchover. */
const perconaLab = [
  'cable-of-replica',
  'cable-of-leader',
  'cables-of-both',
  'leader-power-off',
  'postmaster-killed',
  'patroni-killed',
  'processor-starved',
  'planned-switchover',
];

/** Safe for production, every week. */
const weekly = ['planned-switchover'];

export const suites: Record<string, string[]> = { core, 'percona-lab': perconaLab, weekly };

/** @throws PgsError `usage` when there is no suite, family or scenario of that name */
export async function scenariosOfSuite(name: string, folders: string[]): Promise<FoundScenario[]> {
  const all = await listScenarios(folders);
  if (name === 'all') return all;
  const family = families.find((f) => f === name);
  if (family) return all.filter((s) => s.scenario.family === family);
  const isScenario = name.includes(',') || all.some((s) => s.scenario.name === name);
  const named = suites[name] ?? (isScenario ? name.split(',') : null);
  if (named) return Promise.all(named.map((n) => findScenario(n, folders)));
  throw new PgsError('usage', {
    doing: `looking for suite ${name}`,
    found: 'there is none of that name',
    hint: `There are ${[...Object.keys(suites), 'all', ...families].join(', ')}, or name scenarios, with commas between.`,
  });
}
