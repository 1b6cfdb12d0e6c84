// `pgs cluster pause` and `resume`

import type { Command } from 'commander';
import { pauseCluster, planPauseOf } from '../../reconcile/pause.js';
import { withHosts } from '../context.js';
import { hasChanges, reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: the plan as `pgs plan -o json`, with {applied, paused} */
export async function pause(
  given: string | undefined,
  paused: boolean,
  { dryRun }: { dryRun: boolean },
  command: Command,
): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    if (dryRun) return showDryRun(terminal, await planPauseOf(session, tenant, paused), { paused });
    const plan = await pauseCluster(session, tenant, paused, { signal, onEvent: reportSteps(terminal) });
    const now = paused ? 'paused' : 'not paused';
    await showChange(terminal, plan, { paused }, () =>
      hasChanges(plan)
        ? `${tenant} is ${now}${paused ? `: nobody fails over until \`pgs cluster resume ${tenant}\`` : ', and Patroni is at work again'}`
        : `${tenant} is ${now} already`,
    );
  });
}
