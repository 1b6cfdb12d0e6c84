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
      new Option('--install', 'write the systemd unit and start it, on this machine')
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
Runs until it is ended; a drill that runs then is aborted and healed first. It refuses to run on a host of the fleet.

Examples:
  $ pgs daemon
  $ pgs daemon --print-unit | systemd-analyze verify /dev/stdin
  # pgs --config /etc/pgs/pgs.yaml daemon --install`,
    )
    .action(async (options: DaemonFlags, command: Command) => {
      const { daemon } = await import('../daemon/daemon.js');
      await daemon(options, command);
    });
}
