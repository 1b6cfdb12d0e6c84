// `pgs daemon`: declaration only.

import { Command, Option } from 'commander';

export interface DaemonFlags {
  printUnit: boolean;
  install: boolean;
  powerCommand?: string;
}

export function daemonCommand(): Command {
  return new Command('daemon')
    .description('run scheduled drills and switchovers; of several daemons of a fleet one is active')
    .option('--print-unit', 'print the systemd unit and end', false)
    .addOption(
      new Option('--install', 'give the daemon rights of its own, write its systemd unit and start it, on this machine')
        .default(false)
        .conflicts('printUnit'),
    )
    .option(
      '--power-command <program>',
      'power switch of the hosts: called with a host and on or off (default: the sandbox)',
    )
    .addHelpText(
      'after',
      `
Runs until it is ended; a drill that runs then is aborted and healed first. It refuses to run on a host of the fleet. Started by hand it
has the rights of whoever starts it; as a service those that \`pgs daemon grant\` gives it.

Examples:
  $ pgs daemon
  $ pgs daemon --print-unit | systemd-analyze verify /dev/stdin
  # pgs --config /etc/pgs/pgs.yaml daemon --install`,
    )
    .addCommand(grantCommand())
    .addCommand(revokeCommand())
    .action(async (options: DaemonFlags, command: Command) => {
      const { daemon } = await import('../daemon/daemon.js');
      await daemon(options, command);
    });
}

function grantCommand(): Command {
  return new Command('grant')
    .description('give the daemon rights of its own: an ssh key that permits only what drills take, a login to etcd')
    .addHelpText(
      'after',
      `
Run it again after an upgrade of pgs, when hosts were added, and within two years: it renews what is there.

Examples:
  $ pgs daemon grant`,
    )
    .action(async (_options: unknown, command: Command) => {
      const { grant } = await import('../daemon/rights.js');
      await grant(command);
    });
}

function revokeCommand(): Command {
  return new Command('revoke')
    .description('take the rights of the daemon back, on all hosts and in etcd')
    .addHelpText('after', '\nExamples:\n  $ pgs daemon revoke')
    .action(async (_options: unknown, command: Command) => {
      const { revoke } = await import('../daemon/rights.js');
      await revoke(command);
    });
}
