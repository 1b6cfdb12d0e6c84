// `pgs host`: the machines of the fleet, from an unknown one to one that is fit.

import { Command } from 'commander';

const someHosts = 'names of hosts (default: all of pgs.yaml)';

export function hostCommand(): Command {
  return new Command('host')
    .description('the machines of the fleet: check them, make them fit, let them come and go')
    .addCommand(listCommand())
    .addCommand(trustCommand())
    .addCommand(checkCommand())
    .addCommand(prepareCommand())
    .addCommand(addCommand())
    .addCommand(drainCommand())
    .addCommand(replaceCommand())
    .addCommand(removeCommand());
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

const parallel = ['--parallel <n>', 'tenants that are worked on at the same time', '2'] as const;
const dryRun = [
  '--dry-run',
  'show what would be done and change nothing (exit code 3 when there is something to do)',
] as const;
const force = ['--force', 'end transactions that keep a leader from handing over', false] as const;

export interface HostChangeOptions {
  parallel: string;
  dryRun: boolean;
  force: boolean;
}

function addCommand(): Command {
  return new Command('add')
    .description('take a host into the fleet: pgs.yaml, its key, its packages, and every tenant answers there')
    .argument('<name=address>', 'name of the host and its IP address')
    .option('--zone <zone>', 'failure domain (default: the name of the host)')
    .option('--yes', "do not ask about the host's ssh key (the network between here and it is trusted)", false)
    .option(...parallel)
    .addHelpText(
      'after',
      `
Comments in pgs.yaml stay. No member goes there by itself: \`pgs cluster scale\`, \`pgs cluster replace\` and new clusters may use it.

Examples:
  $ pgs host add h4=10.0.0.14
  $ pgs host add h4=10.0.0.14 --zone b --yes`,
    )
    .action(async (given: string, options: { zone?: string; yes: boolean; parallel: string }, command: Command) => {
      const { addHost } = await import('../host/change.js');
      await addHost(given, options, command);
    });
}

function drainCommand(): Command {
  return new Command('drain')
    .description(
      'move every member off a host: a new one follows elsewhere before the old one goes, leaders hand over first',
    )
    .argument('<host>', 'name of the host')
    .option('--undo', 'let members go there again, and move nothing', false)
    .option(...parallel)
    .option(...dryRun, false)
    .option(...force)
    .addHelpText(
      'after',
      `
Every tenant's new place is found first: with no room for one of them nothing is changed. The same command goes on after an interruption.
The host stays an entry, and a member of etcd if it is one; nothing new goes there. Data stays there unless a tenant is replaced by hand
with --purge-data.

Examples:
  $ pgs host drain h2 --dry-run
  $ pgs host drain h2 --parallel 3
  $ pgs host drain h2 --undo`,
    )
    .action(async (host: string, options: HostChangeOptions & { undo: boolean }, command: Command) => {
      const { drain } = await import('../host/change.js');
      await drain(host, options, command);
    });
}

function replaceCommand(): Command {
  return new Command('replace')
    .description(
      "give a host's place to another one: etcd's member and every tenant's, of a host that is lost or of a live one",
    )
    .argument('<host>', 'the host that leaves')
    .requiredOption('--with <host>', 'the one that comes: a host of the fleet, or name=address')
    .option('--zone <zone>', 'failure domain of a host that is new')
    .option('--yes', "do not ask about a new host's ssh key", false)
    .option(...parallel)
    .option(...dryRun, false)
    .option(...force)
    .addHelpText(
      'after',
      `
etcd's member is removed before the new one is added, with a look at the quorum before each step. Then every tenant gets a new member, the
host leaves pgs.yaml, and the tenants that had a member on a host that does not answer get another login to etcd: when it comes back it
cannot take part. The same command goes on after an interruption.

Examples:
  $ pgs host replace h2 --with h4=10.0.0.14
  $ pgs host replace h2 --with h4 --parallel 3`,
    )
    .action(
      async (
        host: string,
        options: HostChangeOptions & { with: string; zone?: string; yes: boolean },
        command: Command,
      ) => {
        const { replaceHost } = await import('../host/change.js');
        await replaceHost(host, options, command);
      },
    );
}

function removeCommand(): Command {
  return new Command('remove')
    .description('take a host out of the fleet; refused while something is there (exit code 5)')
    .argument('<host>', 'name of the host')
    .option(
      '--forget-data',
      'also with data of earlier members that is kept there: it stays, and pgs forgets it',
      false,
    )
    .option('--yes', 'do not ask', false)
    .option(...parallel)
    .option(...dryRun, false)
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs host drain h2 && pgs host remove h2\n  $ pgs host remove h2 --forget-data --yes',
    )
    .action(
      async (
        host: string,
        options: { forgetData: boolean; yes: boolean; parallel: string; dryRun: boolean },
        command: Command,
      ) => {
        const { removeHost } = await import('../host/change.js');
        await removeHost(host, options, command);
      },
    );
}
