// `pgs fleet`: what is about all tenants and hosts together.

import { Command, Option } from 'commander';
import type { RebalanceFlags } from '../fleet/rebalance.js';

export function fleetCommand(): Command {
  return new Command('fleet')
    .description('all tenants and hosts together: who leads where')
    .addCommand(rebalanceCommand());
}

function rebalanceCommand(): Command {
  return new Command('rebalance')
    .description(
      'let other members lead until every host leads about as many clusters, by as few switchovers as that takes',
    )
    .addOption(
      new Option('--dry-run', 'show which leaders would move and who is left out, and change nothing (exit code 3)')
        .default(false)
        .conflicts('yes'),
    )
    .option('--yes', 'do not ask', false)
    .option('--force', 'end transactions that are open for long, with an error, instead of stopping', false)
    .addHelpText(
      'after',
      `
Leaders go only to synchronous standbys that stream and have everything, each by a switchover as \`pgs switchover\` does it, one after the
other; it stops at the first that fails, and the same command goes on. Tenants that are paused, stopped, unhealthy, asynchronous or being
changed are left as they are, and named. Members stay where they are: for a host that has too few, it prints which could move by
\`pgs cluster replace\`.

Examples:
  $ pgs fleet rebalance --dry-run
  $ pgs fleet rebalance --yes
  $ pgs fleet rebalance --dry-run -o json | jq .moves`,
    )
    .action(async (options: RebalanceFlags, command: Command) => {
      const { rebalance } = await import('../fleet/rebalance.js');
      await rebalance(options, command);
    });
}
