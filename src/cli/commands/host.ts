// `pgs host`: the machines of the fleet, from an unknown one to one that is fit.

import { Command } from 'commander';

const someHosts = 'names of hosts (default: all of pgs.yaml)';

export function hostCommand(): Command {
  return new Command('host')
    .description('the machines of the fleet: check them, make them fit, trust their keys')
    .addCommand(listCommand())
    .addCommand(trustCommand())
    .addCommand(checkCommand())
    .addCommand(prepareCommand());
}

function listCommand(): Command {
  return new Command('list')
    .description('show the hosts of pgs.yaml')
    .addHelpText('after', '\nExamples:\n  $ pgs host list\n  $ pgs host list -o json')
    .action(async (_options: unknown, command: Command) => {
      const { listHosts } = await import('../host/list.js');
      await listHosts(command);
    });
}

function trustCommand(): Command {
  return new Command('trust')
    .description("take the hosts' ssh keys as theirs, after you compared the fingerprints")
    .argument('[host...]', someHosts)
    .option('--replace', 'also for a host whose key is not the one known so far', false)
    .option('--yes', 'do not ask (the network between here and the hosts is trusted)', false)
    .addHelpText('after', '\nExamples:\n  $ pgs host trust\n  $ pgs host trust h2 --replace')
    .action(async (names: string[], options: { replace: boolean; yes: boolean }, command: Command) => {
      const { trust } = await import('../host/trust.js');
      await trust(names, options, command);
    });
}

function checkCommand(): Command {
  return new Command('check')
    .description(
      'say what is fit for pgs on each host, what is not, and what to do (exit code 1 when something is not)',
    )
    .argument('[host...]', someHosts)
    .option('--all', 'show what is fit as well, item by item', false)
    .addHelpText('after', '\nExamples:\n  $ pgs host check\n  $ pgs host check h1 --all\n  $ pgs host check -o json')
    .action(async (names: string[], options: { all: boolean }, command: Command) => {
      const { check } = await import('../host/check.js');
      await check(names, options, command);
    });
}

function prepareCommand(): Command {
  return new Command('prepare')
    .description('make hosts fit: packages, guards against restarts and upgrades, directories')
    .argument('[host...]', someHosts)
    .option('--dry-run', 'show the plan and change nothing (exit code 3 when there is something to do)', false)
    .addHelpText('after', '\nExamples:\n  $ pgs host prepare\n  $ pgs host prepare h3 --dry-run')
    .action(async (names: string[], options: { dryRun: boolean }, command: Command) => {
      const { prepare } = await import('../host/prepare.js');
      await prepare(names, options, command);
    });
}
