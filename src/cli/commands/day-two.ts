// The commands of `pgs cluster` for a cluster that lives: declarations only; what they do is in `src/cli/cluster/`.

import { Command } from 'commander';
import { tenantArgument } from './arguments.js';

const dryRun = ['--dry-run', 'show the plan and change nothing (exit code 3 when there is something to do)'] as const;
const force = ['--force', 'where a leader has to restart, end transactions that do not end by themselves'] as const;

export function setCommand(): Command {
  return new Command('set')
    .description(
      "change PostgreSQL parameters and the spec's own fields: a reload where that is enough, else restarts in turn",
    )
    .argument('<words...>', 'name of the tenant (may be left out), then name=value; `name=` takes a parameter back')
    .usage('[options] [tenant] <name=value...>')
    .option(...dryRun, false)
    .option(...force, false)
    .addHelpText(
      'after',
      `
It is the same as \`pgs apply -f\` with a changed spec. Besides PostgreSQL's parameters it takes rto, rpo, durability, watchdog, pool and
production. What needs a restart is said before (--dry-run): replicas first, one at a time, the leader last and by switchover. A parameter
that standbys must have at least as high as their leader, such as max_connections, is lowered on the leader first: that restarts it in
place, with the clients of the poolers held.

Examples:
  $ pgs cluster set acme work_mem=32MB
  $ pgs cluster set acme max_connections=300 --dry-run
  $ pgs cluster set acme work_mem=                     # back to what pgs gives it
  $ pgs cluster set acme rto=fast rpo=0`,
    )
    .action(async (words: string[], options: { dryRun: boolean; force: boolean }, command: Command) => {
      const { set } = await import('../cluster/set.js');
      await set(words, options, command);
    });
}

export function restartCommand(): Command {
  return new Command('restart')
    .description('restart PostgreSQL of the members in turn: replicas first, the leader last and after a switchover')
    .addArgument(tenantArgument())
    .option('--member <name>', 'only this member')
    .option('--pending-only', 'only members whose Patroni says that a restart is pending', false)
    .option(...dryRun, false)
    .option(...force, false)
    .addHelpText(
      'after',
      `
Each member streams again, and is within 16 MB of the leader, before the next one's turn. An interrupted restart is gone on with by the
same command, or by \`pgs apply\`; who has restarted does not restart again. Sessions on a replica end with it; clients of \`primary\`
wait a moment while the leader changes.

Examples:
  $ pgs cluster restart acme --dry-run
  $ pgs cluster restart acme --pending-only
  $ pgs cluster restart acme --member acme-2`,
    )
    .action(
      async (
        tenant: string | undefined,
        options: { member?: string; pendingOnly: boolean; dryRun: boolean; force: boolean },
        command: Command,
      ) => {
        const { restart } = await import('../cluster/restart.js');
        await restart(tenant, options, command);
      },
    );
}

export function scaleCommand(): Command {
  return new Command('scale')
    .description('change how many replicas there are: new ones copy the data and follow, others leave')
    .addArgument(tenantArgument())
    .requiredOption('--replicas <n>', 'members besides the leader')
    .option('--hosts <names>', 'hosts for new members, comma separated (default: pgs chooses)')
    .option('--purge-data', 'remove the data of members that leave, instead of keeping it on their hosts', false)
    .option('--yes', 'do not ask', false)
    .option(...dryRun, false)
    .option(...force, false)
    .addHelpText(
      'after',
      `
The leader never leaves; who does not follow goes first. All that stay have to follow (exit code 5). With no replica, RPO 0 cannot be kept,
and pgs asks. Sessions through the pooler of a host that a member leaves end between two transactions. The same command, or an apply,
finishes one that was interrupted. It is the same as \`pgs apply -f\` with another \`replicas\`.

Examples:
  $ pgs cluster scale acme --replicas 3 --dry-run
  $ pgs cluster scale acme --replicas 3 --hosts h4
  $ pgs cluster scale acme --replicas 1 --purge-data --yes`,
    )
    .action(
      async (
        tenant: string | undefined,
        options: {
          replicas: string;
          hosts?: string;
          purgeData: boolean;
          yes: boolean;
          dryRun: boolean;
          force: boolean;
        },
        command: Command,
      ) => {
        const { scale } = await import('../cluster/scale.js');
        await scale(tenant, options, command);
      },
    );
}

export function replaceCommand(): Command {
  return new Command('replace')
    .description('build a new member on another host, and then let one leave: a live one, or one whose host is lost')
    .argument('<member>', 'the member that leaves, such as acme-2')
    .option('--to <host>', 'host of the new one (default: pgs chooses)')
    .option('--purge-data', 'remove the data of the one that leaves, instead of keeping it on its host', false)
    .option('--yes', 'do not ask', false)
    .option(...dryRun, false)
    .option(...force, false)
    .addHelpText(
      'after',
      `
The new member follows before the old one goes; a leader hands over first, as by \`pgs switchover\`. While another member does not follow,
nothing is replaced (exit code 5). A host that is lost keeps what it knew: its tenant's login to etcd is changed, so that what comes back
there cannot take part, and what is left of it goes with an apply.

Examples:
  $ pgs cluster replace acme-2 --dry-run
  $ pgs cluster replace acme-2 --to h4`,
    )
    .action(
      async (
        member: string,
        options: { to?: string; purgeData: boolean; yes: boolean; dryRun: boolean; force: boolean },
        command: Command,
      ) => {
        const { replace } = await import('../cluster/scale.js');
        await replace(member, options, command);
      },
    );
}

export function pauseCommand(): Command {
  return new Command('pause')
    .description('have Patroni look on and do nothing, for work by hand: nobody fails over, and nobody is fenced')
    .addArgument(tenantArgument())
    .option(...dryRun, false)
    .addHelpText(
      'after',
      `
An apply leaves a pause as it is, whoever began it; what needs Patroni (a switchover, a restart, a stop) refuses until it is resumed.

Examples:
  $ pgs cluster pause acme
  $ pgs cluster status acme && pgs cluster resume acme`,
    )
    .action(async (tenant: string | undefined, options: { dryRun: boolean }, command: Command) => {
      const { pause } = await import('../cluster/pause.js');
      await pause(tenant, true, options, command);
    });
}

export function resumeCommand(): Command {
  return new Command('resume')
    .description('end a pause, whoever began it')
    .addArgument(tenantArgument())
    .option(...dryRun, false)
    .addHelpText('after', '\nExamples:\n  $ pgs cluster resume acme')
    .action(async (tenant: string | undefined, options: { dryRun: boolean }, command: Command) => {
      const { pause } = await import('../cluster/pause.js');
      await pause(tenant, false, options, command);
    });
}

export function stopCommand(): Command {
  return new Command('stop')
    .description('stop everything of a tenant; its data, its spec and its place are kept')
    .addArgument(tenantArgument())
    .option('--yes', 'do not ask', false)
    .option(...dryRun, false)
    .addHelpText(
      'after',
      `
Connections are refused at once, sessions end, then the poolers stop, the replicas, and the leader last: it leads again after a start.
Nothing comes up with a boot, and an apply does not start it.

Examples:
  $ pgs cluster stop acme --dry-run
  $ pgs cluster stop acme --yes
  $ pgs cluster start acme`,
    )
    .action(async (tenant: string | undefined, options: { yes: boolean; dryRun: boolean }, command: Command) => {
      const { stop } = await import('../cluster/stop.js');
      await stop(tenant, options, command);
    });
}

export function startCommand(): Command {
  return new Command('start')
    .description('start a tenant that was stopped, and prove that it serves')
    .addArgument(tenantArgument())
    .option(...dryRun, false)
    .addHelpText('after', '\nExamples:\n  $ pgs cluster start acme\n  $ pgs cluster start acme --dry-run')
    .action(async (tenant: string | undefined, options: { dryRun: boolean }, command: Command) => {
      const { start } = await import('../cluster/stop.js');
      await start(tenant, options, command);
    });
}

export function reinitCommand(): Command {
  return new Command('reinit')
    .description("throw a replica's data away and copy it anew from the leader")
    .addArgument(tenantArgument())
    .requiredOption('--member <name>', 'the replica')
    .option('--yes', 'do not ask', false)
    .option(...dryRun, false)
    .addHelpText(
      'after',
      `
The leader is refused, and so is the last good copy beside it (exit code 5). An interrupted one is gone on with by the same command.

Examples:
  $ pgs cluster reinit acme --member acme-3 --dry-run
  $ pgs cluster reinit acme --member acme-3 --yes`,
    )
    .action(
      async (
        tenant: string | undefined,
        options: { member: string; yes: boolean; dryRun: boolean },
        command: Command,
      ) => {
        const { reinit } = await import('../cluster/reinit.js');
        await reinit(tenant, options, command);
      },
    );
}
