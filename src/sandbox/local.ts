// Programs of this box: run to their end with a time limit, or started so that they outlive pgs.

import { spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { PgsError } from '../errors.js';

export interface LocalResult {
  code: number;
  stdout: string;
  stderr: string;
}

export interface LocalOptions {
  timeoutMs: number;
  env?: Record<string, string>;
  /** Called with every line of standard output as it comes. */
  onLine?: (line: string) => void;
}

const outputMax = 4 * 1024 * 1024;

/**
 * Runs a program of this box. A non-zero exit code is a result, not an error.
 * @throws PgsError `unfit` if the program is not there, `unknown-result` if it was ended after the time limit.
 */
export function runLocal(argv: string[], options: LocalOptions): Promise<LocalResult> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: '/',
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-outputMax);
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-outputMax);
    });
    child.on('error', (cause) => {
      const found = `${program} could not be run: ${cause.message}`;
      reject(new PgsError('unfit', { doing: `running ${program} on this machine`, found, cause }));
    });
    child.on('close', (code, signal) => {
      if (code !== null) return resolve({ code, stdout, stderr });
      const found = `it was ended by ${signal ?? 'a signal'} (time limit ${options.timeoutMs} ms)`;
      reject(new PgsError('unknown-result', { doing: `running ${program} on this machine`, found }));
    });
  });
}

/** Runs a program whose failure is an error: raises `command-failed` with the last lines of its output. */
export async function runLocalChecked(doing: string, argv: string[], options: LocalOptions): Promise<string> {
  const result = await runLocal(argv, options);
  if (result.code === 0) return result.stdout;
  const output = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-12).join('\n');
  throw new PgsError('command-failed', { doing, found: `${argv[0]} ended with code ${result.code}:\n${output}` });
}

/**
 * Starts a program in its own session with its output appended to a log file, inside a cgroup that holds nothing else, so
 * that all of its offspring can be found and ended later.
 * @returns its process id.
 */
export function startDetached(
  argv: string[],
  where: { cgroup: string; log: string; env?: Record<string, string> },
): number {
  // The shell enters the cgroup before it becomes the program: no process of it is ever outside.
  const enter = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';
  const log = openSync(where.log, 'a', 0o600);
  try {
    const child = spawn('/bin/sh', ['-c', enter, 'sh', where.cgroup, ...argv], {
      cwd: '/',
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...where.env },
      stdio: ['ignore', log, log],
      detached: true,
    });
    child.on('error', () => undefined);
    child.unref();
    if (child.pid === undefined) {
      throw new PgsError('command-failed', { doing: `starting ${argv[0]}`, found: 'no process could be made' });
    }
    return child.pid;
  } finally {
    closeSync(log);
  }
}

/** Polls until `check` answers true; false when the time is over. */
export async function waitUntil(
  check: () => boolean | Promise<boolean>,
  timeoutMs: number,
  pollMs = 50,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (await check()) return true;
    if (performance.now() >= deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
