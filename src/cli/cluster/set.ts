// `pgs cluster set`

import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { planRespec, respecCluster, type Respec } from '../../reconcile/respec.js';
import { parseSetting } from '../../topology/settings.js';
import { changeSpecFile } from '../../topology/spec.js';
import { withHosts } from '../context.js';
import { reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: the plan as `pgs plan -o json`, with {applied} */
export async function set(
  words: string[],
  { dryRun, force }: { dryRun: boolean; force: boolean },
  command: Command,
): Promise<void> {
  const [first = '', ...others] = words;
  const named = !first.includes('=');
  const settings = (named ? others : words).map((word) => parseSetting(word, 'the command line'));
  if (settings.length === 0) {
    const found = 'nothing to set is named';
    throw new PgsError('usage', { doing: 'reading the command line', found, hint: 'For example: work_mem=32MB' });
  }
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, named ? first : undefined);
    const respec: Respec = {
      tenant,
      command: `cluster set ${tenant} ${settings.map(([name]) => name).join(' ')}`,
      source: 'the command line',
      given: (before) => changeSpecFile(before, settings),
    };
    if (dryRun) return showDryRun(terminal, await planRespec(session, respec));
    const plan = await respecCluster(session, respec, { signal, force, onEvent: reportSteps(terminal) });
    await showChange(terminal, plan);
  });
}
