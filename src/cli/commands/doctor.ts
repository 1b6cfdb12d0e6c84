// `pgs doctor`: declarations only.

import { Command } from 'commander';

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('what is wrong with the fleet or one tenant, what shows it, and the command that mends it')
    .argument('[tenant]', 'name of the tenant (default: all of the fleet)')
    .addHelpText(
      'after',
      `
Looks and changes nothing. Exit code 0: nothing is wrong; 1: something is; 4: nothing is known to be wrong, and something could not be
looked at. The README lists what it looks for.

Examples:
  $ pgs doctor
  $ pgs doctor acme
  $ pgs doctor -o json | jq -r '.findings[] | "\\(.severity) \\(.id) \\(.mend.command)"'`,
    )
    .action(async (tenant: string | undefined, _options: unknown, command: Command) => {
      const { doctor } = await import('../doctor/doctor.js');
      await doctor(tenant, command);
    });
}
