// `pgs update`: declarations only.

import { Command } from 'commander';

export function updateCommand(): Command {
  return new Command('update')
    .description(
      'bring PostgreSQL, Patroni and PgBouncer of a tenant to what the hosts’ sources have, one host at a time',
    )
    .argument('[tenant]', 'name of the tenant (may be left out with one tenant, or after `pgs use`)')
    .option('--fleet', 'etcd and HAProxy, which all tenants share, then every tenant', false)
    .option(
      '--dry-run',
      'fetch the lists of packages, show the plan and change nothing (exit code 3 when there is something to do)',
      false,
    )
    .option('--force', 'end transactions that keep the leader from handing over, with an error', false)
    .addHelpText(
      'after',
      `
Minor versions only: a package of another major has another name. Every host must know the same version, and have it fetched, before any
is changed. Replicas go first; the leader hands over by a switchover before its host's turn. It stops at the first host that does not come
back, and the same command goes on from there. Packages are shared: other tenants on these hosts go on with what they have loaded until
it is their turn.

Examples:
  $ pgs update acme --dry-run
  $ pgs update acme
  $ pgs update --fleet`,
    )
    .action(
      async (
        tenant: string | undefined,
        options: { fleet: boolean; dryRun: boolean; force: boolean },
        command: Command,
      ) => {
        const { update } = await import('../update/update.js');
        await update(tenant, options, command);
      },
    );
}
