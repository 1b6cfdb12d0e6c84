// Finds and reads pgs.yaml.

import { access } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { PgsError } from '../errors.js';
import { readFileIfPresent } from '../operator-files.js';
import type { Inventory } from './inventory.js';
import { labelFault } from './names.js';
import { parseInventory } from './parse.js';

export interface InventoryLocation {
  /** Absolute. */
  path: string;
  /** What said so: `--config`, `$PGS_CONFIG`, a pgs.yaml in this directory or above, or the sandbox's. */
  source: 'option' | 'environment' | 'directory' | 'sandbox';
}

const sandboxRootDefault = process.env.PGS_SANDBOX_ROOT || '/var/lib/pgs-sandbox';

/**
 * Which pgs.yaml a command means: `explicit` (`--config`), `$PGS_CONFIG`, the nearest pgs.yaml from `cwd` upwards, or that
 * of the sandbox `$PGS_SANDBOX` (default `pgs`).
 * @throws PgsError `configuration` that says how to make one.
 */
export async function findInventoryPath(
  explicit: string | undefined,
  env: NodeJS.ProcessEnv,
  cwd: string,
  sandboxRoot = sandboxRootDefault,
): Promise<InventoryLocation> {
  if (explicit !== undefined) return { path: resolve(cwd, explicit), source: 'option' };
  if (env.PGS_CONFIG) return { path: resolve(cwd, env.PGS_CONFIG), source: 'environment' };
  for (let directory = resolve(cwd); ; directory = dirname(directory)) {
    const path = join(directory, 'pgs.yaml');
    if (await exists(path)) return { path, source: 'directory' };
    if (directory === dirname(directory)) break;
  }
  const sandbox = env.PGS_SANDBOX || 'pgs';
  const fault = labelFault(sandbox);
  if (fault !== null) {
    throw new PgsError('usage', {
      doing: 'looking for pgs.yaml',
      found: `PGS_SANDBOX is ${JSON.stringify(sandbox.slice(0, 80))}, which cannot be the name of a sandbox: ${fault}`,
      hint: 'Set it to the name that was given to `pgs sandbox up`, or unset it.',
    });
  }
  const path = join(sandboxRoot, sandbox, 'pgs.yaml');
  if (await exists(path)) return { path, source: 'sandbox' };
  throw new PgsError('configuration', {
    doing: 'looking for pgs.yaml',
    found: `none in ${resolve(cwd)} or above, and no sandbox ${sandbox}`,
    hint: 'Make one with `pgs init`, point to one with --config or PGS_CONFIG, or try pgs on this machine with `pgs sandbox up`.',
  });
}

/**
 * Reads and checks a pgs.yaml.
 * @throws PgsError `configuration` with all faults of the file, each with line and column.
 */
export async function loadInventory(path: string): Promise<Inventory> {
  const absolute = resolve(path);
  const text = await readFileIfPresent(absolute, 'reading pgs.yaml');
  if (text === null) {
    throw new PgsError('configuration', {
      doing: 'reading pgs.yaml',
      found: `${absolute} does not exist`,
      hint: `Make it with \`pgs init --dir ${dirname(absolute)}\`, or correct the path.`,
    });
  }
  return parseInventory(text, absolute);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
