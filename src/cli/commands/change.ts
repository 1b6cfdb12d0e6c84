// The commands that change or compare a cluster and are typed most: `pgs switchover`, `plan`, `apply`, `use`.

import { Command, Option } from 'commander';
import type { ApplyFlags, PlanFlags } from '../cluster/apply.js';

const tenant = 'name of the tenant (may be left out with one tenant, or after `pgs use`)';
const parallel = ['--parallel <n>', 'tenants of a file that are worked on at the same time', '4'] as const;

export function switchoverCommand(): Command {
  return new Command('switchover')
    .description('let another member lead, as planned')
    .argument('[tenant]', tenant)
    .option('--to <member>', 'member that shall lead (default: the synchronous standby with the smallest lag)')
    .option('--force', 'end transactions that are open for long, with an error, instead of refusing', false)
    .addOption(
      new Option('--dry-run', 'look whether it is safe, show the phases, and change nothing (exit code 3)')
        .default(false)
        .conflicts('at'),
    )
    .option('--at <time>', 'later, by `pgs daemon`: an ISO 8601 time, or HH:MM, the next one')
    .option('--tz <zone>', "time zone of --at (default: this machine's)")
    .addHelpText(
      'after',
      `
A timed switchover is in \`pgs drill list\` until it is done; \`pgs drill cancel <tenant> switchover\` takes it back. It is missed when it
could not begin for 10 minutes.

Examples:
  $ pgs switchover
  $ pgs switchover acme --to acme-2
  $ pgs switchover acme --dry-run
  $ pgs switchover acme --at 03:00 --tz Europe/Berlin`,
    )
    .action(
      async (
        name: string | undefined,
        options: { to?: string; force: boolean; dryRun: boolean; at?: string; tz?: string },
        command: Command,
      ) => {
        const { switchover } = await import('../cluster/switchover.js');
        await switchover(name, options, command);
      },
    );
}

export function failoverCommand(): Command {
  return new Command('failover')
    .description('make another member the leader when the leader is gone; says what would be lost, and asks')
    .argument('[tenant]', tenant)
    .option('--to <member>', 'member that shall lead (default: the one that has the most)')
    .option('--yes', 'do not ask', false)
    .option('--dry-run', 'say who would lead and what would be lost, and change nothing (exit code 3)', false)
    .addHelpText('after', '\nExamples:\n  $ pgs failover acme --dry-run\n  $ pgs failover acme --to acme-3')
    .action(
      async (name: string | undefined, options: { to?: string; yes: boolean; dryRun: boolean }, command: Command) => {
        const { failover } = await import('../cluster/failover.js');
        await failover(name, options, command);
      },
    );
}

export function planCommand(): Command {
  return new Command('plan')
    .description('show what `pgs apply` would change (exit code 3 when there is something)')
    .argument('[tenant]', tenant)
    .option('-f, --file <file>', 'plan for this spec, or these, instead of the stored one')
    .option(...parallel)
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs plan acme\n  $ pgs plan -f acme.yaml -o json\n  $ pgs plan -f tenants.yaml',
    )
    .action(async (name: string | undefined, options: PlanFlags, command: Command) => {
      const { plan } = await import('../cluster/apply.js');
      await plan(name, options, command);
    });
}

export function applyCommand(): Command {
  return new Command('apply')
    .description('make a cluster what its spec says: repairs what differs, finishes what was interrupted')
    .argument('[tenant]', tenant)
    .option('-f, --file <file>', 'take the spec from this file, or those of many tenants (who is new is made)')
    .option(...parallel)
    .option('--dry-run', 'show the plan and change nothing (exit code 3 when there is something to do)', false)
    .option('--force', 'where a leader has to restart, end transactions that do not end by themselves', false)
    .option(
      '--drop-data <tenant/database>',
      'drop a database that the spec says is absent, with its data; may be given again; also tenant/database/extension',
      (value: string, before: string[]) => [...before, value],
      [] as string[],
    )
    .addHelpText(
      'after',
      `
A file may hold the specs of many tenants, as documents separated by ---. All of it is judged before anything is changed; then the
tenants are made and changed side by side. One that fails does not stop the others: the summary says why and what to do, the exit code
is that of the gravest failure, and the same command goes on from there.

What a file does not name any more stays in PostgreSQL, and the plan says so. \`state: absent\` there drops a role, or a schema that is empty;
a database, and an extension that has tables, only with --drop-data besides.

Examples:
  $ pgs apply acme
  $ pgs apply -f acme.yaml --dry-run
  $ pgs apply -f tenants.yaml --parallel 6
  $ pgs apply acme -f tenants.yaml            # of that file, only acme
  $ pgs apply -f acme.yaml --drop-data acme/shop`,
    )
    .action(async (name: string | undefined, options: ApplyFlags, command: Command) => {
      const { apply } = await import('../cluster/apply.js');
      await apply(name, options, command);
    });
}

export function useCommand(): Command {
  return new Command('use')
    .description('choose the tenant that commands mean when none is named')
    .argument('<tenant>', 'name of the tenant')
    .addHelpText('after', '\nExamples:\n  $ pgs use acme && pgs switchover')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { use } = await import('../cluster/use.js');
      await use(name, command);
    });
}
