// The command line. Commands are declared here and in `commands/`; what a command does is imported when it runs, so that
// `pgs --help` stays fast.

import { inspect } from 'node:util';
import { Command, CommanderError, Option } from 'commander';
import { describeError, errorToJson, exitCodes, PgsError, toPgsError } from '../errors.js';
import { commands } from './commands/index.js';

export function createProgram(): Command {
  const program = new Command('pgs')
    .description('Highly available PostgreSQL for every tenant, proven by drills.')
    .version('0.1.0')
    .addOption(
      new Option('-o, --output <format>', 'how results are printed').choices(['text', 'json', 'yaml']).default('text'),
    )
    .option(
      '-c, --config <file>',
      'pgs.yaml of the fleet (default: $PGS_CONFIG, or the nearest one upwards, or the sandbox)',
    )
    .showHelpAfterError('(add --help for the options and examples)')
    .exitOverride();
  for (const make of commands) {
    const command = make();
    inheritExit(command);
    program.addCommand(command);
  }
  return program;
}

/** Commands made apart do not inherit exitOverride; without it commander would end the process itself. */
function inheritExit(command: Command): void {
  command.exitOverride().showHelpAfterError('(add --help for the options and examples)');
  command.commands.forEach(inheritExit);
}

export async function main(argv: string[]): Promise<number> {
  const program = createProgram();
  try {
    await program.parseAsync(argv);
    return typeof process.exitCode === 'number' ? process.exitCode : 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const error = thrown instanceof CommanderError ? usageError(thrown) : toPgsError(thrown);
    if (program.opts<{ output: string }>().output === 'json') {
      process.stdout.write(`${JSON.stringify({ error: errorToJson(error) }, null, 2)}\n`);
    }
    // What commander refuses, it has said itself.
    if (thrown instanceof CommanderError) return exitCodes[error.code];
    process.stderr.write(`${describeError(error)}\n`);
    if (process.env.PGS_DEBUG) process.stderr.write(`${inspect(error)}\n`);
    return exitCodes[error.code];
  }
}

function usageError({ message }: CommanderError): PgsError {
  return new PgsError('usage', {
    doing: 'reading the command line',
    found: message.replace(/^error: /, ''),
    hint: 'Add --help for the options and examples.',
  });
}
