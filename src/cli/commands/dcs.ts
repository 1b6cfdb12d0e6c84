// `pgs dcs`: the fleet's etcd.

import { Command } from 'commander';

export function dcsCommand(): Command {
  return new Command('dcs')
    .description("the fleet's etcd, which holds who leads each cluster: make it, look at it")
    .addCommand(createCommand())
    .addCommand(statusCommand());
}

function createCommand(): Command {
  return new Command('create')
    .description("make the fleet's etcd, or bring it to what pgs.yaml says: TLS, authentication, compaction, upkeep")
    .option('--dry-run', 'show the plan and change nothing (exit code 3 when there is something to do)', false)
    .addHelpText('after', '\nExamples:\n  $ pgs dcs create\n  $ pgs dcs create --dry-run\n  $ pgs dcs create -o json')
    .action(async (options: { dryRun: boolean }, command: Command) => {
      const { createDcs } = await import('../dcs/create.js');
      await createDcs(options, command);
    });
}

function statusCommand(): Command {
  return new Command('status')
    .description('show the members of etcd, their health and their certificates (exit code 1 without a quorum)')
    .addHelpText('after', '\nExamples:\n  $ pgs dcs status\n  $ pgs dcs status -o json')
    .action(async (_options: unknown, command: Command) => {
      const { showDcsStatus } = await import('../dcs/status.js');
      await showDcsStatus(command);
    });
}
