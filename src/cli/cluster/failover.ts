// `pgs failover`

import type { Command } from 'commander';
import { exitCodePlanHasChanges } from '../../errors.js';
import type { FailoverChoice } from '../../patroni/failover.js';
import { withCluster } from '../../reconcile/cluster.js';
import { failOver, planFailover } from '../../reconcile/failover.js';
import { confirmByTyping, withHosts } from '../context.js';
import { resolveTenant } from './tenant.js';

export interface FailoverFlags {
  to?: string;
  yes: boolean;
  dryRun: boolean;
}

/** `-o json`: {tenant, by, leader, choice}; with --dry-run {tenant, to, loses, lostBytesMin, consequences} and exit code 3 */
export async function failover(given: string | undefined, options: FailoverFlags, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    const wish = options.to ?? null;
    if (options.dryRun) {
      await withCluster(session, tenant, async (open) => {
        const choice = await planFailover(session, open, wish);
        await terminal.result({ tenant, ...choice }, () => describeChoice(tenant, choice));
        process.exitCode = exitCodePlanHasChanges;
      });
      return;
    }
    const done = await failOver(session, tenant, wish, {
      signal,
      progress: (line) => terminal.progress(line),
      confirm: async (choice) => {
        terminal.warn(describeChoice(tenant, choice));
        if (!options.yes) await confirmByTyping(tenant, `This makes ${choice.to} the leader of ${tenant}.`, '--yes');
      },
    });
    await terminal.result({ tenant, ...done }, () =>
      done.by === 'itself'
        ? `${done.leader} leads ${tenant}: Patroni did it by itself, and nothing was asked for`
        : `${done.leader} leads ${tenant}; a member that comes back follows it, and is rewound if it had more`,
    );
  });
}

function describeChoice(tenant: string, { to, loses, consequences }: FailoverChoice): string {
  const what = { nothing: 'loses nothing that was acknowledged', some: 'LOSES DATA', unknown: 'MAY LOSE DATA' }[loses];
  return [`a failover of ${tenant} to ${to} ${what}`, ...consequences.map((line) => `  - ${line}`)].join('\n');
}
