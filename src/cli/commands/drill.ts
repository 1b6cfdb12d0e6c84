// `pgs drill`: drills that run by themselves. Declarations only; what the commands do is in `src/cli/drill/`.

import { Command, InvalidArgumentError, Option } from 'commander';

const tenantText = 'name of the tenant (may be left out with one tenant, or after `pgs use`)';

export interface ScheduleFlags {
  cron: string;
  tz?: string;
  suite: string;
  name?: string;
  window?: string;
  deadline: string;
  outageLimit: string;
  consent?: 'disruptive';
  folder?: string;
}

export interface RunNowFlags {
  name?: string;
  suite?: string;
  consent?: 'disruptive';
  folder?: string;
  outageLimit: string;
  powerCommand?: string;
}

export function drillCommand(): Command {
  return new Command('drill')
    .description('drills at regular times, run by `pgs daemon`: schedules, results, what is not acknowledged yet')
    .addCommand(scheduleCommand())
    .addCommand(listCommand())
    .addCommand(toggleCommand('pause', 'let schedules of a tenant rest; what falls into the time is not missed'))
    .addCommand(toggleCommand('resume', 'let paused schedules of a tenant go on'))
    .addCommand(cancelCommand())
    .addCommand(historyCommand())
    .addCommand(runNowCommand())
    .addCommand(ackCommand())
    .addCommand(incidentCommand());
}

function jobOptions(command: Command): Command {
  return command
    .addOption(new Option('--consent <severity>', 'the tenant agrees to disruptive scenarios').choices(['disruptive']))
    .option('--folder <dir>', 'scenarios of your own, on the machine of the daemon')
    .option('--outage-limit <time>', 'abort and heal when no write was acknowledged for this long', '60s');
}

function scheduleCommand(): Command {
  return jobOptions(new Command('schedule'))
    .description('run a suite of drills at regular times')
    .argument('<tenant>', 'name of the tenant')
    .requiredOption('--cron <line>', 'five fields: minute, hour, day of month, month, day of week')
    .requiredOption('--suite <name>', 'a suite or family, or scenarios with commas between')
    .option('--tz <zone>', "time zone of --cron and --window (default: this machine's)")
    .option('--name <name>', 'to tell several of a tenant apart (default: of the suite)')
    .option('--window <from-to>', 'begin only within these times of day, such as 02:00-05:00')
    .option('--deadline <time>', 'a run that could not begin for this long is missed', '1h')
    .addHelpText(
      'after',
      `
A tenant that is marked production (in its spec) takes safe scenarios, with --consent disruptive also disruptive ones, and never destructive
ones. Scheduling again under the same name replaces the schedule.

Examples:
  $ pgs drill schedule acme --cron "0 3 * * 1" --tz Europe/Berlin --suite weekly
  $ pgs drill schedule acme --cron "0 3 1 * *" --suite core --consent disruptive --window 02:00-05:00
  $ pgs drill schedule acme --cron "30 2 * * *" --suite postmaster-killed,patroni-killed --name nightly --deadline 30m`,
    )
    .action(async (tenant: string, options: ScheduleFlags, command: Command) => {
      const { schedule } = await import('../drill/schedule.js');
      await schedule(tenant, options, command);
    });
}

function listCommand(): Command {
  return new Command('list')
    .alias('ls')
    .description('the schedules, when they are due next, and which daemon is active')
    .argument('[tenant]', 'only of this tenant')
    .addHelpText('after', '\nExamples:\n  $ pgs drill list\n  $ pgs drill list acme -o json')
    .action(async (tenant: string | undefined, _options: unknown, command: Command) => {
      const { list } = await import('../drill/show.js');
      await list(tenant, command);
    });
}

function toggleCommand(verb: 'pause' | 'resume', description: string): Command {
  return new Command(verb)
    .description(description)
    .argument('[tenant]', tenantText)
    .option('--name <name>', 'only this schedule (default: all of the tenant)')
    .addHelpText('after', `\nExamples:\n  $ pgs drill ${verb} acme\n  $ pgs drill ${verb} acme --name weekly`)
    .action(async (tenant: string | undefined, options: { name?: string }, command: Command) => {
      const { toggle } = await import('../drill/schedule.js');
      await toggle(verb, tenant, options, command);
    });
}

function cancelCommand(): Command {
  return new Command('cancel')
    .description('remove a schedule, or a timed switchover')
    .argument('<tenant>', 'name of the tenant')
    .argument('<name>', 'name of the schedule, as `pgs drill list` shows it')
    .addHelpText('after', '\nExamples:\n  $ pgs drill cancel acme weekly\n  $ pgs drill cancel acme switchover')
    .action(async (tenant: string, name: string, _options: unknown, command: Command) => {
      const { cancel } = await import('../drill/schedule.js');
      await cancel(tenant, name, command);
    });
}

function historyCommand(): Command {
  return new Command('history')
    .description('what became of the runs, and how the RTO went over time')
    .argument('[tenant]', tenantText)
    .option('-n, --last <n>', 'so many runs', positive, 20)
    .addHelpText('after', '\nExamples:\n  $ pgs drill history acme\n  $ pgs drill history acme -n 50 -o json')
    .action(async (tenant: string | undefined, options: { last: number }, command: Command) => {
      const { history } = await import('../drill/show.js');
      await history(tenant, options, command);
    });
}

function runNowCommand(): Command {
  return jobOptions(new Command('run-now'))
    .description(
      'run a schedule now, from here, with the same guardrails and record (exit code 1 or 4 unless it passed)',
    )
    .argument('[tenant]', tenantText)
    .option('--name <name>', 'this schedule (default: the only one of the tenant)')
    .option('--suite <name>', 'a suite, family or scenarios instead of a schedule')
    .option('--power-command <program>', 'power switch of the hosts (default: the sandbox)')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs drill run-now acme\n  $ pgs drill run-now acme --name weekly\n  $ pgs drill run-now acme --suite planned-switchover -o json',
    )
    .action(async (tenant: string | undefined, options: RunNowFlags, command: Command) => {
      const { runNow } = await import('../drill/run-now.js');
      await runNow(tenant, options, command);
    });
}

function ackCommand(): Command {
  return new Command('ack')
    .description('acknowledge the runs that did not pass: they leave `pgs cluster status`')
    .argument('[tenant]', tenantText)
    .addHelpText('after', '\nExamples:\n  $ pgs drill ack acme')
    .action(async (tenant: string | undefined, _options: unknown, command: Command) => {
      const { acknowledge } = await import('../drill/show.js');
      await acknowledge(tenant, command);
    });
}

function incidentCommand(): Command {
  return new Command('incident')
    .description('whether the fleet has an incident; while it has, nothing runs by itself')
    .addOption(new Option('--raise <why>', 'say that there is one').conflicts('clear'))
    .option('--clear', 'say that it is over')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs drill incident\n  $ pgs drill incident --raise "rack 2 is losing packets"\n  $ pgs drill incident --clear',
    )
    .action(async (options: { raise?: string; clear?: boolean }, command: Command) => {
      const { incident } = await import('../drill/show.js');
      await incident(options, command);
    });
}

function positive(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number from 1 to 9999.');
}
