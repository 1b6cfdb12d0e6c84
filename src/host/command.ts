// Commands as values: an argument list, what is fed to it, and how long it may take. Only `HostAccess` runs them.

import { PgsError } from '../errors.js';
import type { Secret } from '../secrets/secret.js';

export interface Command {
  /** Program and arguments. Never holds a secret: argument lists are visible to every user of the host. */
  argv: string[];
  /** Fed to standard input; the way for secrets. */
  stdin?: string | Secret;
  /** The command is ended on the host after this time, and the call fails a little later. */
  timeoutMs: number;
}

export interface CommandResult {
  code: number;
  stdout: string;
  stderr: string;
}

/** A way to run commands as root on one host. Implemented by ssh (`ssh-host`) and by the simulated hosts of tests. */
export interface HostAccess {
  /** Name in pgs.yaml. */
  readonly name: string;
  /**
   * Runs a command as root and waits for its end. A non-zero exit code is a result, not an error.
   * @throws PgsError `unreachable` if the host cannot be reached, `unknown-result` if the connection was lost or the
   * time limit passed while the command ran.
   */
  run(command: Command): Promise<CommandResult>;
  close(): Promise<void>;
}

/** Runs a command whose failure is an error of the caller: raises `command-failed` with the last lines of output. */
export async function runChecked(host: HostAccess, doing: string, command: Command, hint?: string): Promise<string> {
  const result = await host.run(command);
  if (result.code === 0) return result.stdout;
  const output = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-12).join('\n');
  throw new PgsError('command-failed', {
    doing,
    host: host.name,
    found: `${command.argv[0]} ended with code ${result.code}${output ? `:\n${output}` : ''}`,
    ...(hint ? { hint } : {}),
  });
}
