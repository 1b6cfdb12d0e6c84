// The prepared layer: what pgs's own package step adds to a bare machine, kept so that the next machines begin with it.
// The step itself is given by the caller; here is only where its result is kept.

import { existsSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { forgetIdentity, shutDownMachine, startContainer, unmountRoot, waitForSshd } from './machine.js';
import { runLocalChecked } from './local.js';
import { cacheKey, type Release } from './names.js';
import { machinePaths } from './paths.js';
import { stagingDirectory } from './staging.js';
import type { Sandbox } from './state.js';

/** How bare machines are made fit. */
export interface Preparation {
  /** Changes when what the step would put on a machine changes; part of the layer's name in the cache. */
  fingerprint(release: Release, configPath: string): Promise<string>;
  /** Runs the step on one machine of the fleet that pgs.yaml at `configPath` describes. May be run again on a half-prepared one. */
  prepareMachine(machine: { configPath: string; host: string; progress: (line: string) => void }): Promise<void>;
}

/** Raise it when what is left out of a layer changes. */
const recipe = 2;

export function layerPath(cache: string, base: string, fingerprint: string): string {
  return join(cache, `prepared-${cacheKey(recipe, basename(base), fingerprint)}`);
}

/**
 * Makes the layer if the cache has none, on the first machine of a sandbox whose machines have not been used yet.
 * @returns its path.
 */
export async function ensureLayer(
  sandbox: Sandbox,
  cache: string,
  base: string,
  preparation: Preparation,
  progress: (line: string) => void,
): Promise<string> {
  const fingerprint = await preparation.fingerprint(sandbox.state.release, sandbox.paths.config);
  const path = layerPath(cache, base, fingerprint);
  const [host] = sandbox.state.hosts;
  if (!host) throw new Error('a sandbox has at least one host');
  if (!existsSync(path)) {
    progress(`preparing the first machine (once; the result is kept in ${cache})`);
    await startContainer(sandbox, host, [base]);
    await waitForSshd(sandbox, host);
    await preparation.prepareMachine({ configPath: sandbox.paths.config, host: host.name, progress });
    progress('keeping the prepared machine as a layer');
    await shutDownMachine(sandbox, host);
    await keepUpper(sandbox, host.name, cache, path);
  }
  // Whatever machines there are now lie on the bare base, and nobody has used them.
  for (const made of sandbox.state.hosts) {
    await shutDownMachine(sandbox, made);
    await discardWritten(sandbox, made.name);
  }
  return path;
}

async function keepUpper(sandbox: Sandbox, host: string, cache: string, path: string): Promise<void> {
  const paths = machinePaths(sandbox.paths, host);
  await unmountRoot(paths);
  forgetIdentity(paths.upper);
  const staging = stagingDirectory(cache, 'prepared');
  await rm(staging, { recursive: true, force: true });
  // A copy only where a rename cannot do: an upper directory has device nodes and attributes that both keep.
  const sameFilesystem = statSync(cache).dev === statSync(paths.upper).dev;
  const argv = sameFilesystem ? ['mv', paths.upper, staging] : ['cp', '-a', paths.upper, staging];
  await runLocalChecked('keeping the prepared layer', argv, { timeoutMs: 300_000 });
  await runLocalChecked('keeping the prepared layer', ['sync', '-f', staging], { timeoutMs: 300_000 });
  await rename(staging, path).catch((thrown: unknown) => {
    if (!existsSync(path)) throw thrown; // another pgs was faster
  });
  await rm(staging, { recursive: true, force: true });
}

async function discardWritten(sandbox: Sandbox, host: string): Promise<void> {
  const paths = machinePaths(sandbox.paths, host);
  await unmountRoot(paths);
  for (const directory of [paths.upper, paths.work]) await rm(directory, { recursive: true, force: true });
}
