// The power switch of hosts: the sandbox's, or a command of the user's. Its undo cannot be armed on a host without power, so a process
// of its own on this machine waits with it.

import { spawn, type ChildProcess } from 'node:child_process';
import { basename, dirname, join } from 'node:path';
import { PgsError } from '../src/errors.js';
import { templatesDir } from '../src/host/template.js';
import type { Inventory } from '../src/inventory/inventory.js';
import { runLocal } from '../src/sandbox/local.js';
import { sandboxRoot } from '../src/sandbox/paths.js';

export interface Power {
  /** What it is, for people; null: there is none. */
  driver: string | null;
  off(host: string): Promise<void>;
  on(host: string): Promise<void>;
  /** Switches the host on after a time, whatever becomes of this process. The result calls it off. */
  armOn(host: string, afterMs: number): () => void;
}

const limitMs = 120_000;

/** The driver of a fleet: a command of the user's, or that of the sandbox which the fleet is. */
export function powerFor({ inventory }: { inventory: Pick<Inventory, 'path'> }, command: string | null): Power {
  return powerOf(inventory.path, sandboxRoot(), command);
}

/** The hosts are switched by a sandbox's own driver. */
export function isSandbox({ driver }: Power): boolean {
  return driver?.startsWith('sandbox ') ?? false;
}

/** @param command - of the user's: called with the host's name and `on` or `off` */
export function powerOf(inventoryPath: string, sandboxRoot: string, command: string | null): Power {
  const sandbox = dirname(dirname(inventoryPath)) === sandboxRoot ? basename(dirname(inventoryPath)) : null;
  if (command !== null) return switchedBy(command, (host, state) => [command, host, state], {});
  if (sandbox === null) return noPower();
  const pgs = join(dirname(templatesDir()), 'bin/pgs.mjs');
  const argv = (host: string, state: 'on' | 'off') => [process.execPath, pgs, 'sandbox', 'power', host, state];
  return switchedBy(`sandbox ${sandbox}`, argv, { PGS_SANDBOX: sandbox, PGS_SANDBOX_ROOT: sandboxRoot });
}

function switchedBy(
  driver: string,
  argv: (host: string, state: 'on' | 'off') => string[],
  env: Record<string, string>,
): Power {
  const change = async (host: string, state: 'on' | 'off') => {
    const { code, stderr } = await runLocal(argv(host, state), { env, timeoutMs: limitMs });
    if (code === 0) return;
    throw new PgsError('command-failed', { doing: `switching the power ${state}`, host, found: stderr.trim() });
  };
  return {
    driver,
    off: (host) => change(host, 'off'),
    on: (host) => change(host, 'on'),
    armOn: (host, afterMs) => {
      const wait = 'sleep "$1"; shift; exec "$@"';
      const args = ['-c', wait, 'sh', String(Math.ceil(afterMs / 1000)), ...argv(host, 'on')];
      // A group of its own: neither Ctrl-C nor the end of pgs reaches it.
      const child = spawn('sh', args, { detached: true, stdio: 'ignore', env: { ...process.env, ...env } });
      child.on('error', () => undefined);
      child.unref();
      return () => endGroup(child);
    },
  };
}

function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGTERM');
  } catch {
    // It has ended.
  }
}

function noPower(): Power {
  const refuse = (host: string) =>
    Promise.reject(
      new PgsError('configuration', {
        doing: 'switching power',
        host,
        found: 'there is no way to its power switch',
        hint: 'Say --power-command <program>; it is called with the name of the host and on or off.',
      }),
    );
  return { driver: null, off: refuse, on: refuse, armOn: () => () => undefined };
}
