// `pgs user …`: declarations only; what the commands do is in `src/cli/user/`.

import { Command } from 'commander';
import type { PasswordFlags } from '../user/password.js';

export function userCommand(): Command {
  return new Command('user').description("how the roles of a tenant's file log in").addCommand(passwordCommand());
}

function passwordCommand(): Command {
  return new Command('password')
    .description('the generated password of a role: a password file and a string for it, or another password')
    .argument('<tenant>', 'name of the tenant')
    .argument('<role>', 'a role of its file that logs in, or app')
    .option('--show', 'print the password itself too', false)
    .option('--rotate', 'make another one, in force at once; open sessions go on', false)
    .option('--yes', 'do not ask before --rotate', false)
    .addHelpText(
      'after',
      `
The password file is .pgs/tenants/<tenant>/<role>.pgpass beside pgs.yaml, 0600. PostgreSQL only ever gets a verifier. After --rotate both
passwords are tried: the new one must be let in, and the old one refused.

Examples:
  $ pgs user password acme reporting
  $ pgs user password acme reporting --show -o json
  $ pgs user password acme reporting --rotate --yes`,
    )
    .action(async (tenant: string, role: string, options: PasswordFlags, command: Command) => {
      const { password } = await import('../user/password.js');
      await password(tenant, role, options, command);
    });
}
