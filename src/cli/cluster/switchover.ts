import type { Command } from 'commander';
import { exitCodePlanHasChanges } from '../../errors.js';
import { chooseSwitchover } from '../../patroni/switchover.js';
import { openCluster } from '../../reconcile/cluster.js';
import { switchOver } from '../../reconcile/switchover.js';
import { withHosts } from '../context.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: {tenant, from, to, tookMs}; with --dry-run {tenant, from, to} and exit code 3 */
export async function switchover(
  given: string | undefined,
  options: { to?: string; dryRun: boolean },
  command: Command,
): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    if (options.dryRun) {
      const open = await openCluster(session, tenant);
      const choice = chooseSwitchover(open.cluster, await open.patroni.gather(), options.to ?? null);
      open.patroni.close();
      await terminal.result({ tenant, ...choice }, () => `${choice.to} would lead ${tenant} instead of ${choice.from}`);
      process.exitCode = exitCodePlanHasChanges;
      return;
    }
    const done = await switchOver(session, tenant, options.to ?? null, {
      signal,
      progress: (line) => terminal.progress(line),
    });
    await terminal.result(
      { tenant, ...done },
      () =>
        `${done.to} leads ${tenant} instead of ${done.from}, after ${(done.tookMs / 1000).toFixed(1)} s; all members stream`,
    );
  });
}
