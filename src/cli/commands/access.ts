// `pgs access …`: declarations only; what the commands do is in `src/cli/access/`.

import { Command } from 'commander';
import type { AccessOptions } from '../access/change.js';
import { tenantArgument } from './arguments.js';

const keepSessions = ['--keep-sessions', 'leave sessions that are not permitted any more'] as const;
const dryRun = [
  '--dry-run',
  'show what would change, and change nothing (exit code 3 when there is something)',
] as const;
const collect = (value: string, before: string[] = []) => [...before, value];

export function accessCommand(): Command {
  return new Command('access')
    .description('who may come through the front door to a tenant')
    .addCommand(enableCommand())
    .addCommand(disableCommand());
}

function enableCommand(): Command {
  return new Command('enable')
    .description('let clients in at the front door: all, or those of some networks')
    .addArgument(tenantArgument())
    .option(
      '--from <cidr>',
      'only from this network; may be given again; `any` is everybody (default: as before)',
      collect,
    )
    .option(...keepSessions, false)
    .option(...dryRun, false)
    .addHelpText(
      'after',
      `
In force on every host at once and without a reload. Sessions from networks that are not in the list are cut.

Examples:
  $ pgs access enable acme
  $ pgs access enable acme --from 10.20.0.0/16 --from 2001:db8::/32
  $ pgs access enable acme --from any`,
    )
    .action(action(true));
}

function disableCommand(): Command {
  return new Command('disable')
    .description('close the front door to a tenant, and end the sessions that came through it')
    .addArgument(tenantArgument())
    .option(...keepSessions, false)
    .option(...dryRun, false)
    .addHelpText(
      'after',
      `
The ports of the tenant itself stay as they are. The list of networks is kept for the next enable.

Examples:
  $ pgs access disable acme
  $ pgs access disable acme --keep-sessions`,
    )
    .action(action(false));
}

function action(enabled: boolean) {
  return async (tenant: string | undefined, options: AccessOptions, command: Command) => {
    const { access } = await import('../access/change.js');
    await access(tenant, enabled, options, command);
  };
}
