// `pgs sandbox`: real Debian machines on this box, to try pgs and to test it.

import { Command, InvalidArgumentError, Option } from 'commander';
import type { MachineKind, Preparation, SandboxStatus } from '../../sandbox/sandbox.js';
import type { OutputFormat } from '../terminal.js';

interface UpOptions {
  hosts?: number;
  release?: 'trixie' | 'bookworm';
  machines?: MachineKind | Record<string, MachineKind>;
  bare?: true;
}

interface GlobalOptions {
  output: OutputFormat;
}

export function sandboxCommand(): Command {
  const command = new Command('sandbox').description('real Debian machines on this box, to try pgs on');
  command.addHelpText(
    'after',
    `
Its name is $PGS_SANDBOX (default: pgs); several can live side by side. Its pgs.yaml is used by every command that is
given no other.

Examples:
  $ pgs sandbox up
  $ pgs sandbox ssh h1 -- systemctl --failed
  $ pgs sandbox power h2 off
  $ pgs sandbox down`,
  );
  return command
    .addCommand(upCommand())
    .addCommand(downCommand())
    .addCommand(statusCommand())
    .addCommand(sshCommand())
    .addCommand(powerCommand());
}

function upCommand(): Command {
  return new Command('up')
    .description('make the machines, or repair and start them')
    .option('--hosts <count>', 'how many machines (default: as many as there are, or 3)', wholeNumber)
    .addOption(new Option('--release <name>', 'Debian release (default: trixie)').choices(['trixie', 'bookworm']))
    .option(
      '--machines <kinds>',
      'container, vm (a kernel of its own under QEMU, with a watchdog), or host by host such as h1=vm; what it is not told is a container',
      machinesOption,
    )
    .option('--bare', 'leave the machines as Debian installs them; `pgs host prepare` makes them fit')
    .addHelpText(
      'after',
      '\nExamples:\n  $ pgs sandbox up\n  $ pgs sandbox up --hosts 5\n  $ pgs sandbox up --machines h1=vm\n  $ pgs sandbox up --bare',
    )
    .action(async (options: UpOptions, command: Command) => {
      const { terminal, name, sandboxUp, sandboxStatus } = await open(command);
      const { bare, ...wanted } = options;
      const preparation = bare ? null : await loadPreparation();
      const sandbox = await sandboxUp({ name, ...wanted, progress: (line) => terminal.progress(line) }, preparation);
      const status = await sandboxStatus(sandbox);
      await terminal.result(status, () => renderStatus(status));
    });
}

function downCommand(): Command {
  return new Command('down')
    .description('remove the machines and all that is on them; what can be fetched again stays cached')
    .addHelpText('after', '\nExamples:\n  $ pgs sandbox down')
    .action(async (_options: unknown, command: Command) => {
      const { terminal, name, sandboxDown } = await open(command);
      await sandboxDown(name, (line) => terminal.progress(line));
      await terminal.result({ name, removed: true }, () => `There is no sandbox ${name} any more.`);
    });
}

function statusCommand(): Command {
  return new Command('status')
    .description('show the machines')
    .addHelpText('after', '\nExamples:\n  $ pgs sandbox status\n  $ pgs sandbox status -o json')
    .action(async (_options: unknown, command: Command) => {
      const { terminal, name, loadSandbox, sandboxStatus } = await open(command);
      const status = await sandboxStatus(loadSandbox(name));
      await terminal.result(status, () => renderStatus(status));
    });
}

function sshCommand(): Command {
  return new Command('ssh')
    .description('a shell, or a command, as root on a machine')
    .argument('<host>', 'name of the machine, such as h1')
    .argument('[command...]', 'after `--`: an argument list; a single argument is a line for the shell')
    .addHelpText(
      'after',
      "\nExamples:\n  $ pgs sandbox ssh h1\n  $ pgs sandbox ssh h1 -- ls -l /root\n  $ pgs sandbox ssh h1 'ls | wc -l'",
    )
    .action(async (host: string, words: string[], _options: unknown, command: Command) => {
      const { name, loadSandbox, sshArguments } = await open(command);
      const { spawnSync } = await import('node:child_process');
      const { quote } = await import('shell-quote');
      const [program = 'ssh', ...args] = sshArguments(loadSandbox(name), host);
      const line = words.length > 1 ? [quote(words)] : words;
      const { status } = spawnSync(program, [...args, ...line], { stdio: 'inherit' });
      process.exitCode = status ?? 1;
    });
}

function powerCommand(): Command {
  return new Command('power')
    .description('switch a machine off, as hard as pulling its plug, or on')
    .argument('<host>', 'name of the machine, such as h1')
    .argument('<state>', 'off or on', (text: string) => {
      if (text === 'off' || text === 'on') return text;
      throw new InvalidArgumentError('it must be off or on');
    })
    .addHelpText('after', '\nExamples:\n  $ pgs sandbox power h2 off\n  $ pgs sandbox power h2 on')
    .action(async (host: string, state: 'off' | 'on', _options: unknown, command: Command) => {
      const { terminal, name, loadSandbox, powerOff, powerOn } = await open(command);
      const sandbox = loadSandbox(name);
      await (state === 'off' ? powerOff : powerOn)(sandbox, host);
      await terminal.result({ name, host, power: state }, () => `${host} is ${state}.`);
    });
}

async function open(command: Command) {
  const { createTerminal } = await import('../terminal.js');
  const sandbox = await import('../../sandbox/sandbox.js');
  const terminal = createTerminal(command.optsWithGlobals<GlobalOptions>().output);
  return { ...sandbox, terminal, name: sandbox.sandboxName() };
}

/** pgs's own package step, by which the machines are made fit as any other host would be. */
async function loadPreparation(): Promise<Preparation> {
  const { loadInventory } = await import('../../inventory/load.js');
  const { connectHost } = await import('../../host/ssh-host.js');
  const { prepareFingerprint } = await import('../../host/plan-prepare.js');
  const { prepareMachine } = await import('../../host/prepare.js');
  return {
    fingerprint: async (release, configPath) => prepareFingerprint(release, await loadInventory(configPath)),
    prepareMachine: async ({ configPath, host, progress }) => {
      const inventory = await loadInventory(configPath);
      const entry = inventory.hosts.find(({ name }) => name === host);
      if (!entry) throw new Error(`${configPath} has no host ${host}`);
      const access = await connectHost(entry, inventory.ssh);
      try {
        await prepareMachine(access, inventory, (event) => {
          if (event.kind === 'started') progress(`  ${host}: ${event.step.title}`);
        });
      } finally {
        await access.close();
      }
    },
  };
}

function wholeNumber(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError('it must be a whole number');
}

/** `vm`, or `h1=vm,h3=vm`. */
function machinesOption(text: string): MachineKind | Record<string, MachineKind> {
  if (text === 'vm' || text === 'container') return text;
  const kinds: Record<string, MachineKind> = {};
  for (const part of text.split(',')) {
    const [, host, kind] = /^([a-z][a-z0-9-]*)=(vm|container)$/.exec(part) ?? [];
    if (!host || !kind) throw new InvalidArgumentError('it must be container, vm, or such as h1=vm,h2=container');
    kinds[host] = kind as MachineKind;
  }
  return kinds;
}

function renderStatus(status: SandboxStatus): string {
  const rows = status.hosts.map(({ name, kind, address, power, ssh }) => {
    return `  ${name.padEnd(6)}${address.padEnd(16)}${power.padEnd(5)}${kind === 'vm' ? 'virtual machine, ' : ''}${ssh ? 'ssh answers' : power === 'on' ? 'ssh does not answer' : ''}`;
  });
  return [
    `Sandbox ${status.name}: Debian ${status.release}, ${status.subnet} on ${status.bridge}`,
    ...rows.map((row) => row.trimEnd()),
    `  pgs.yaml: ${status.config}`,
  ].join('\n');
}
