// `pgs chaos list` and `pgs chaos show`

import type { Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { faultNamed } from '../../../chaos/faults/catalogue.js';
import { findScenario, listScenarios, scenarioFolders } from '../../../chaos/store.js';
import { plainTable } from '../../reconcile/status-text.js';
import { terminalOf } from '../context.js';

/** `-o json`: [{name, title, family, severity, needs, path}] */
export async function list(options: { folder?: string }, command: Command): Promise<void> {
  const terminal = terminalOf(command);
  const found = await listScenarios(scenarioFolders(options.folder));
  const order = [...found].sort((a, b) =>
    a.scenario.family < b.scenario.family ? -1 : a.scenario.family > b.scenario.family ? 1 : 0,
  );
  const rows = order.map(({ scenario: { name, title, family, severity, needs }, path }) => ({
    name,
    title,
    family,
    severity,
    needs,
    path,
  }));
  await terminal.result(rows, () => {
    const table = plainTable(['scenario', 'family', 'severity', 'needs', '']);
    table.push(...rows.map((r) => [r.name, r.family, r.severity, r.needs.join(', '), r.title]));
    return table.toString();
  });
}

/** `-o json`: {path, scenario}; as text the file itself, and what its faults are. */
export async function show(name: string, options: { folder?: string }, command: Command): Promise<void> {
  const terminal = terminalOf(command);
  const found = await findScenario(name, scenarioFolders(options.folder));
  const text = await readFile(found.path, 'utf8');
  const faults = [...new Set(found.scenario.method.map((s) => s.fault))].map(faultNamed);
  await terminal.result(found, () =>
    [`# ${found.path}`, text.trimEnd(), '', ...faults.map((f) => `# ${f.name} (scope: ${f.scope}): ${f.what}`)].join(
      '\n',
    ),
  );
}
