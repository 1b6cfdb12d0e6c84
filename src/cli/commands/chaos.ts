// `pgs chaos`: breaks a cluster on purpose and says whether it kept its word. Declarations only.

import { Command, InvalidArgumentError, Option } from 'commander';

const tenantText = 'name of the tenant (may be left out with one tenant, or after `pgs use`)';

export interface RunFlags {
  folder?: string;
  repeat?: number;
  seed?: number;
  accept: string[];
  powerCommand?: string;
}

export function chaosCommand(): Command {
  return new Command('chaos')
    .description('break a cluster on purpose, and judge whether it kept its word')
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(runCommand())
    .addCommand(suiteCommand())
    .addCommand(checkCommand())
    .addCommand(reportCommand())
    .addCommand(healCommand());
}

function folderOption(): Option {
  return new Option('--folder <dir>', 'scenarios of your own, beside those that come with pgs');
}

function runOptions(command: Command): Command {
  return command
    .addOption(folderOption())
    .option('--repeat <n>', 'how often (default: of the scenario)', wholeNumber)
    .option('--seed <n>', 'of the random choices (default: of the scenario)', wholeNumber)
    .option('--accept <severity>', 'consent to a disruptive scenario outside a sandbox', collect, [])
    .option(
      '--power-command <program>',
      'power switch of the hosts: called with a host and on or off (default: the sandbox)',
    );
}

function listCommand(): Command {
  return new Command('list')
    .alias('ls')
    .description('the scenarios')
    .addOption(folderOption())
    .addHelpText('after', '\nExamples:\n  $ pgs chaos list\n  $ pgs chaos list --folder ./drills -o json')
    .action(async (options: { folder?: string }, command: Command) => {
      const { list } = await import('../chaos/list.js');
      await list(options, command);
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('one scenario: what it does, to whom, and what it expects')
    .argument('<scenario>', 'name, or path of a file')
    .addOption(folderOption())
    .addHelpText('after', '\nExamples:\n  $ pgs chaos show postmaster-killed\n  $ pgs chaos show ./mine.yaml')
    .action(async (name: string, options: { folder?: string }, command: Command) => {
      const { show } = await import('../chaos/list.js');
      await show(name, options, command);
    });
}

function runCommand(): Command {
  return runOptions(new Command('run'))
    .description('run a scenario against a cluster (exit code 1 when it failed, 4 when the verdict is unknown)')
    .argument('<scenario>', 'name, or path of a file')
    .argument('[tenant]', tenantText)
    .addHelpText(
      'after',
      `
Heals whatever happens: on success, failure, Ctrl-C; a host undoes a fault by itself when pgs is killed.

Examples:
  $ pgs chaos run postmaster-killed
  $ pgs chaos run patroni-hangs-longer-than-ttl acme --repeat 3 --seed 7
  $ pgs chaos run ./mine.yaml acme -o json`,
    )
    .action(async (scenario: string, tenant: string | undefined, options: RunFlags, command: Command) => {
      const { run } = await import('../chaos/run.js');
      await run([scenario], tenant, options, command);
    });
}

function suiteCommand(): Command {
  return runOptions(new Command('suite'))
    .description('run several scenarios, one after the other; a verdict for each')
    .argument(
      '<name>',
      'core, percona-lab, all, the name of a family such as network, or scenarios with commas between',
    )
    .argument('[tenant]', tenantText)
    .option('--junit <file>', 'write the verdicts as JUnit XML')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs chaos suite core acme\n  $ pgs chaos suite proxy acme --junit drills.xml',
    )
    .action(
      async (name: string, tenant: string | undefined, options: RunFlags & { junit?: string }, command: Command) => {
        const { suite } = await import('../chaos/run.js');
        await suite(name, tenant, options, command);
      },
    );
}

function checkCommand(): Command {
  return new Command('check')
    .description('judge a stored run again, from what it recorded; without one, name the stored runs')
    .argument('[run]', 'id, path of its folder, or last')
    .addHelpText('after', '\nExamples:\n  $ pgs chaos check\n  $ pgs chaos check last -o json')
    .action(async (run: string | undefined, _options: unknown, command: Command) => {
      const { check } = await import('../chaos/check.js');
      await check(run, command);
    });
}

function reportCommand(): Command {
  return new Command('report')
    .description('verdicts of stored runs, as one HTML file that stands alone, or as JUnit XML')
    .argument('[runs...]', 'ids, or last (default: all)')
    .option('--html <file>', 'write HTML')
    .option('--markdown <file>', 'write a table for a README')
    .option('--junit <file>', 'write JUnit XML')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs chaos report last --html report.html\n  $ pgs chaos report --html all.html --junit all.xml',
    )
    .action(async (runs: string[], options: { html?: string; junit?: string; markdown?: string }, command: Command) => {
      const { report } = await import('../chaos/check.js');
      await report(runs, options, command);
    });
}

function healCommand(): Command {
  return new Command('heal')
    .description('take away whatever a drill left on the hosts of a tenant')
    .argument('[tenant]', tenantText)
    .option('--power-command <program>', 'power switch of the hosts (default: the sandbox)')
    .addHelpText('after', '\nExamples:\n  $ pgs chaos heal acme')
    .action(async (tenant: string | undefined, options: { powerCommand?: string }, command: Command) => {
      const { heal } = await import('../chaos/heal.js');
      await heal(tenant, options, command);
    });
}

const collect = (value: string, before: string[]) => [...before, value];

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}
