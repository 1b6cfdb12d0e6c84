// `pgs cluster …`: declarations only; what the commands do is in `src/cli/cluster/`.

import { Command, Option } from 'commander';
import { tenantArgument } from './arguments.js';
import {
  pauseCommand,
  reinitCommand,
  replaceCommand,
  restartCommand,
  resumeCommand,
  scaleCommand,
  setCommand,
  startCommand,
  stopCommand,
} from './day-two.js';

export function clusterCommand(): Command {
  return new Command('cluster')
    .description("make, look at and remove tenants' clusters")
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(statusCommand())
    .addCommand(showCommand())
    .addCommand(urlCommand())
    .addCommand(rtoCommand())
    .addCommand(psqlCommand())
    .addCommand(logsCommand())
    .addCommand(setCommand())
    .addCommand(scaleCommand())
    .addCommand(replaceCommand())
    .addCommand(restartCommand())
    .addCommand(reinitCommand())
    .addCommand(pauseCommand())
    .addCommand(resumeCommand())
    .addCommand(stopCommand())
    .addCommand(startCommand())
    .addCommand(destroyCommand());
}

const collect = (value: string, before: string[]) => [...before, value];

function serviceOption(): Option {
  return new Option('--service <name>', 'service').choices(['primary', 'replica', 'direct', 'direct-ro']);
}

function createCommand(): Command {
  return new Command('create')
    .description('make a cluster: one leader and its replicas, each on its own host')
    .argument('[tenant]', 'name of the tenant, a DNS label of at most 28 characters (default: a readable invented one)')
    .option('--replicas <n>', 'members besides the leader', '2')
    .option('--postgres <major>', 'PostgreSQL major version (default: what the hosts have)')
    .option('--rto <preset>', 'fast, norm, safe or wide (default: of pgs.yaml)')
    .option(
      '--rpo <bytes>',
      '0: synchronous, nothing acknowledged is lost; otherwise the lag limit of a failover (default: of pgs.yaml)',
    )
    .addOption(
      new Option('--durability <mode>', 'with no standby left: go on with one copy, or wait').choices([
        'available',
        'strict',
      ]),
    )
    .addOption(
      new Option('--watchdog <mode>', 'fencing by the kernel watchdog').choices(['required', 'automatic', 'off']),
    )
    .addOption(
      new Option('--pool <mode>', 'pooling of `primary` and `replica` (default: transaction)').choices([
        'transaction',
        'session',
        'off',
      ]),
    )
    .option('--production', 'drills of it must be safe, or agreed to')
    .option('--hosts <names>', 'hosts to use, comma separated (default: pgs chooses)')
    .option('--set <name=value>', 'PostgreSQL parameter; may be given again', collect, [])
    .option('--reuse-data', 'take over the data that `cluster destroy` kept', false)
    .option('--dry-run', 'show the plan and change nothing (exit code 3 when there is something to do)', false)
    .addHelpText(
      'after',
      `
Examples:
  $ pgs cluster create acme --replicas 2
  $ pgs cluster create acme --rto fast --set work_mem=32MB --set max_connections=300
  $ pgs cluster create acme --rpo 1048576          # asynchronous
  $ pgs cluster create acme --hosts h1,h2,h4 --dry-run

A run that was interrupted is finished by the same command.`,
    )
    .action(async (tenant: string | undefined, options: CreateOptions, command: Command) => {
      const { create } = await import('../cluster/create.js');
      await create(tenant, options, command);
    });
}

export interface CreateOptions {
  replicas: string;
  postgres?: string;
  rto?: string;
  rpo?: string;
  durability?: string;
  watchdog?: string;
  pool?: string;
  production?: boolean;
  hosts?: string;
  set: string[];
  reuseData: boolean;
  dryRun: boolean;
}

function listCommand(): Command {
  return new Command('list')
    .alias('ls')
    .description('all clusters of the fleet')
    .addHelpText('after', '\nExamples:\n  $ pgs cluster list\n  $ pgs cluster list -o json')
    .action(async (_options: unknown, command: Command) => {
      const { list } = await import('../cluster/list.js');
      await list(command);
    });
}

function statusCommand(): Command {
  return new Command('status')
    .description('members, services, RPO, fencing, and what differs from the spec (exit code 1 when not healthy)')
    .addArgument(tenantArgument())
    .addHelpText('after', '\nExamples:\n  $ pgs cluster status acme\n  $ pgs cluster status -o json | jq .rpo.verdict')
    .action(async (tenant: string | undefined, _options: unknown, command: Command) => {
      const { status } = await import('../cluster/status.js');
      await status(tenant, command);
    });
}

function showCommand(): Command {
  return new Command('show')
    .description('the spec of a cluster and what was allocated to it; `-o yaml` gives a file for `pgs apply -f`')
    .addArgument(tenantArgument())
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs cluster show acme\n  $ pgs cluster show acme -o yaml > acme.yaml && pgs apply -f acme.yaml',
    )
    .action(async (tenant: string | undefined, _options: unknown, command: Command) => {
      const { show } = await import('../cluster/show.js');
      await show(tenant, command);
    });
}

function urlCommand(): Command {
  return new Command('url')
    .description('connection strings of the services')
    .addArgument(tenantArgument())
    .addOption(serviceOption())
    .addOption(
      new Option('--form <form>', 'what reads it: libpq (psql, psycopg, …), jdbc, or node (node-postgres)')
        .choices(['libpq', 'jdbc', 'node'])
        .default('libpq'),
    )
    .option('--door', "by the tenant's names at the front door, which `pgs access enable` opens", false)
    .option('--show-password', 'print the password of the role `app` as well', false)
    .addHelpText(
      'after',
      `
Examples:
  $ pgs cluster url acme
  $ psql "$(pgs cluster url acme --service primary)"
  $ pgs cluster url acme --form jdbc
  $ pgs cluster url acme --door --service direct
  $ pgs cluster url acme --form node --service primary > connect.mjs`,
    )
    .action(
      async (
        tenant: string | undefined,
        options: { service?: string; form: 'libpq' | 'jdbc' | 'node'; door: boolean; showPassword: boolean },
        command: Command,
      ) => {
        const { url } = await import('../cluster/url.js');
        await url(tenant, options, command);
      },
    );
}

function rtoCommand(): Command {
  return new Command('rto')
    .description('how long writes stop for each kind of failure, and what can be lost, from the settings in force')
    .addArgument(tenantArgument())
    .option('--explain', 'show the phases of each, and which rule they come from', false)
    .addHelpText('after', '\nExamples:\n  $ pgs cluster rto acme\n  $ pgs cluster rto acme --explain')
    .action(async (tenant: string | undefined, options: { explain: boolean }, command: Command) => {
      const { rto } = await import('../cluster/rto.js');
      await rto(tenant, options, command);
    });
}

function psqlCommand(): Command {
  return new Command('psql')
    .description('psql as the role `app` through a service, or as the superuser on the leader')
    .addArgument(tenantArgument())
    .addOption(serviceOption().default('primary'))
    .option('--superuser', 'as postgres, through the local socket of the leader over ssh', false)
    .option('--command <sql>', 'run this and end')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs cluster psql acme\n  $ pgs cluster psql acme --service replica --command "SELECT pg_is_in_recovery()"',
    )
    .action(
      async (
        tenant: string | undefined,
        options: { service: string; superuser: boolean; command?: string },
        command: Command,
      ) => {
        const { psql } = await import('../cluster/psql.js');
        await psql(tenant, options, command);
      },
    );
}

function logsCommand(): Command {
  return new Command('logs')
    .description("Patroni's and PostgreSQL's log of the members")
    .addArgument(tenantArgument())
    .option('--member <name>', 'only this member')
    .option('-n, --lines <n>', 'lines of each member', '50')
    .addHelpText('after', '\nExamples:\n  $ pgs cluster logs acme\n  $ pgs cluster logs acme --member acme-2 -n 200')
    .action(async (tenant: string | undefined, options: { member?: string; lines: string }, command: Command) => {
      const { logs } = await import('../cluster/logs.js');
      await logs(tenant, options, command);
    });
}

function destroyCommand(): Command {
  return new Command('destroy')
    .description('remove a cluster; its data directories stay unless --purge-data')
    .argument('<tenant>', 'name of the tenant')
    .option('--yes', 'do not ask', false)
    .option('--purge-data', 'remove the data directories as well: this cannot be undone', false)
    .option('--dry-run', 'show the plan and change nothing (exit code 3)', false)
    .addHelpText('after', '\nExamples:\n  $ pgs cluster destroy acme\n  $ pgs cluster destroy acme --purge-data --yes')
    .action(
      async (tenant: string, options: { yes: boolean; purgeData: boolean; dryRun: boolean }, command: Command) => {
        const { destroy } = await import('../cluster/destroy.js');
        await destroy(tenant, options, command);
      },
    );
}
