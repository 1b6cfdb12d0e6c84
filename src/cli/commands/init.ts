import { Command } from 'commander';
import type { OutputFormat } from '../terminal.js';
import type { InitFlags } from '../init.js';

/** `pgs init`: pgs.yaml, the fleet key and the CAs. */
export function initCommand(): Command {
  const collect = (value: string, previous: string[]) => [...previous, value];
  return new Command('init')
    .description('Write a commented pgs.yaml, the fleet key and the CAs; what exists is kept.')
    .option('--dir <directory>', 'where pgs.yaml is or will be', '.')
    .option('--fleet <name>', "name of the fleet (default: the directory's name)")
    .option('--domain <domain>', 'tenants are <tenant>.<domain> in certificates (default: <fleet>.internal)')
    .option('--host <name=address[,zone]>', 'a host, by IP address; once for each', collect, [] as string[])
    .option('--user <name>', 'ssh user: root, or one that may use sudo without a password (default: root)')
    .option('--port <number>', 'ssh port (default: 22)')
    .option('--key <file>', 'ssh private key (default: the keys of the ssh agent)')
    .option('--packages <source>', 'distribution or pgdg (default: distribution)')
    .option('--watchdog <mode>', 'default for clusters: required, automatic or off (default: required)')
    .addHelpText(
      'after',
      `
Examples:
  $ pgs init --host h1=10.0.0.11,rack-1 --host h2=10.0.0.12,rack-2 --host h3=10.0.0.13,rack-3
  $ pgs init --dir /etc/pgs --fleet berlin --user admin --key ~/.ssh/id_ed25519
`,
    )
    .action(async (flags: InitFlags, command: Command) => {
      const { runInit } = await import('../init.js');
      await runInit(flags, command.optsWithGlobals<{ output: OutputFormat }>());
    });
}
