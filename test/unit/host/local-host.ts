// Runs commands on this machine, so that the host scripts are tested without ssh
// (and without systemd).

import { spawn } from 'node:child_process';
import { PgsError } from '../../../src/errors.js';
import { reveal } from '../../../src/secrets/secret.js';
import type { Command, CommandResult, HostAccess } from '../../../src/host/command.js';

export function localHost(name = 'this machine'): HostAccess {
  return { name, run: (command) => runHere(name, command), close: () => Promise.resolve() };
}

function runHere(name: string, { argv, stdin, timeoutMs }: Command): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const child = spawn('timeout', ['-k', '5', String(timeoutMs / 1000), ...argv], {
      env: { ...process.env, LC_ALL: 'C.UTF-8' },
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
    // A command that does not read to the end of its input closes it early; its exit code tells what it thinks of that.
    child.stdin.on('error', () => {});
    child.stdin.end(stdin === undefined ? '' : reveal(stdin));
    const fail = (found: string) =>
      reject(new PgsError('unknown-result', { doing: `running ${argv[0]}`, host: name, found }));
    child.on('error', (error) => fail(error.message));
    child.on('close', (code) => {
      const late = performance.now() - startedMs >= timeoutMs && (code === 124 || code === 137);
      if (late) fail(`it did not end within ${timeoutMs / 1000} s and was ended`);
      else
        resolve({
          code: code ?? 137,
          stdout: Buffer.concat(stdout).toString('utf8'),
          stderr: Buffer.concat(stderr).toString('utf8'),
        });
    });
  });
}
