// `pgs state`: declarations only; what it does is in `src/cli/secrets/state.ts`.

import { Command } from 'commander';

export function stateCommand(): Command {
  return new Command('state')
    .description('what pgs cannot do without, in one sealed file: written after each change, and brought back')
    .addCommand(exportCommand())
    .addCommand(importCommand())
    .addCommand(passphraseCommand());
}

function exportCommand(): Command {
  return new Command('export')
    .description(
      'write everything into one sealed file: pgs.yaml, the fleet key and secrets, all that pgs keeps in etcd',
    )
    .argument('<file>', 'the file to write; one that exists is not replaced')
    .addHelpText(
      'after',
      `
The fleet key opens it, and the passphrase of \`pgs state passphrase\` where one was set: then it is enough to bring the fleet back
from another machine. pgs writes one into .pgs/exports by itself after each command that changed something, and keeps the last ten.

Examples:
  $ pgs state passphrase --passphrase-file ~/pgs-passphrase
  $ pgs state export /backup/fleet.json`,
    )
    .action(async (file: string, _options: unknown, command: Command) => {
      const { exportState } = await import('../secrets/state.js');
      await exportState(file, command);
    });
}

export interface ImportFlags {
  dir: string;
  passphraseFile?: string;
  yes: boolean;
  discardEtcdData: boolean;
}

function importCommand(): Command {
  return new Command('import')
    .description("bring the operator's files back, and etcd's data when it is lost; see docs/recovery.md")
    .argument('<file>', 'an export, such as the newest one in .pgs/exports')
    .option('--dir <directory>', 'where pgs.yaml is or is to be', '.')
    .option('--passphrase-file <file>', 'its first line opens the export where there is no fleet key')
    .option(
      '--discard-etcd-data',
      'give up what a minority of the members of etcd still has (it is moved aside)',
      false,
    )
    .option('--yes', 'do not ask before etcd is filled again', false)
    .addHelpText(
      'after',
      `
Files that are there stay as they are. An etcd that has pgs's state is left alone. One that has lost its data comes up letting in nobody but
pgs, is filled with every tenant paused, and then lets the members in: no data directory is touched, and leaders go on meanwhile as long as
Patroni's failsafe mode lets them (all members answer). Refused (exit code 5): an export of another fleet, or of a cluster that was made
anew since; exit code 1: of a newer pgs. An interrupted import is gone on with by the same command.

Examples:
  $ pgs state import .pgs/exports/2026-11-21T17-30-00-000Z.json
  $ pgs state import /backup/fleet.json --dir ~/fleet --passphrase-file ~/pgs-passphrase`,
    )
    .action(async (file: string, options: ImportFlags, command: Command) => {
      const { importState } = await import('../secrets/state.js');
      await importState(file, options, command);
    });
}

function passphraseCommand(): Command {
  return new Command('passphrase')
    .description('let a passphrase open later exports, too: on a machine that has no fleet key')
    .requiredOption('--passphrase-file <file>', 'its first line is the passphrase, at least 12 characters')
    .addHelpText('after', '\nExamples:\n  $ pgs state passphrase --passphrase-file ~/pgs-passphrase')
    .action(async (options: { passphraseFile: string }, command: Command) => {
      const { setStatePassphrase } = await import('../secrets/state.js');
      await setStatePassphrase(options.passphraseFile, command);
    });
}
