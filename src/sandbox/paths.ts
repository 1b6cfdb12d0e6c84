// Where a sandbox keeps its things: its state, which `down` removes, and the cache, which outlives it.

import { join, resolve } from 'node:path';

export interface SandboxPaths {
  /** All of the sandbox's own files; `/var/lib/pgs-sandbox/<name>`. */
  directory: string;
  /** What was made, so that only that is ever removed. */
  state: string;
  /** Locked (as `<lock>.lock`) while `up`, `down` or `power` works. Beside the directory, because `down` removes that. */
  lock: string;
  machines: string;
  logs: string;
  key: string;
  config: string;
  operatorState: string;
  knownHosts: string;
  aptCache: string;
}

export interface MachinePaths {
  directory: string;
  /** Mounted overlay: the machine's root directory. */
  root: string;
  /** What the machine has written. */
  upper: string;
  work: string;
  log: string;
}

/** `$PGS_SANDBOX_ROOT` or `/var/lib/pgs-sandbox`. */
export function sandboxRoot(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(env.PGS_SANDBOX_ROOT || '/var/lib/pgs-sandbox');
}

/** `$PGS_SANDBOX` or `pgs`. */
export function sandboxName(env: NodeJS.ProcessEnv = process.env): string {
  return env.PGS_SANDBOX || 'pgs';
}

/** `$PGS_CACHE/sandbox` or `/var/cache/pgs/sandbox`. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return join(resolve(env.PGS_CACHE || '/var/cache/pgs'), 'sandbox');
}

export function sandboxPaths(name: string, root = sandboxRoot()): SandboxPaths {
  const directory = join(root, name);
  const operatorState = join(directory, '.pgs');
  return {
    directory,
    state: join(directory, 'sandbox.json'),
    lock: join(root, `.${name}`),
    machines: join(directory, 'machines'),
    logs: join(directory, 'logs'),
    key: join(directory, 'ssh_key'),
    config: join(directory, 'pgs.yaml'),
    operatorState,
    knownHosts: join(operatorState, 'known_hosts'),
    aptCache: join(directory, 'apt-cacher-ng'),
  };
}

export function machinePaths(paths: SandboxPaths, host: string): MachinePaths {
  const directory = join(paths.machines, host);
  return {
    directory,
    root: join(directory, 'root'),
    upper: join(directory, 'upper'),
    work: join(directory, 'work'),
    log: join(paths.logs, `${host}.log`),
  };
}

/** pgs.yaml of a sandbox, whether it is there or not. */
export function sandboxConfigPath(name = sandboxName()): string {
  return sandboxPaths(name).config;
}
