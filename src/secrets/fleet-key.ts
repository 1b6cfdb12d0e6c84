// The fleet key: 32 random bytes that seal every stored secret of a fleet. The operator keeps it in `.pgs/fleet.key`; whoever
// has it and the state has everything, and without it the stored secrets are lost.

import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PgsError } from '../errors.js';
import { createFileOnce, ensurePrivateDirectory, readFileIfPresent } from '../operator-files.js';
import { Secret } from './secret.js';

/** 32 bytes in base64. */
export type FleetKey = Secret;

export const fleetKeyBytes = 32;

export function fleetKeyPath(stateDir: string): string {
  return join(stateDir, 'fleet.key');
}

/** Makes the key unless there is one; an existing key is never overwritten. Returns whether it was made. */
export async function createFleetKey(stateDir: string): Promise<{ key: FleetKey; created: boolean }> {
  await ensurePrivateDirectory(stateDir);
  const text = `${randomBytes(fleetKeyBytes).toString('base64')}\n`;
  const created = await createFileOnce(fleetKeyPath(stateDir), text, 0o600);
  return { key: await loadFleetKey(stateDir), created };
}

/**
 * @param forbidden - bits of the file's mode that it must not have
 * @throws PgsError `configuration` if the key is missing, readable by others, or no key
 */
export async function loadFleetKey(stateDir: string, forbidden = 0o077): Promise<FleetKey> {
  const path = fleetKeyPath(stateDir);
  const doing = 'reading the fleet key';
  const text = await readFileIfPresent(path, doing);
  if (text === null) {
    throw new PgsError('configuration', {
      doing,
      found: `${path} does not exist`,
      hint:
        'If this fleet was set up before, copy the key from the operator who has it or from your backup: stored secrets ' +
        'cannot be opened with a new one. For a new fleet run `pgs init`.',
    });
  }
  const { mode } = await stat(path);
  if ((mode & forbidden) !== 0) {
    throw new PgsError('configuration', {
      doing,
      found: `${path} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}: other users of this machine can read or change it`,
      hint: `chmod 600 ${path}`,
    });
  }
  const encoded = text.trim();
  if (!/^[A-Za-z0-9+/]{43}=$/.test(encoded)) {
    throw new PgsError('configuration', {
      doing,
      found: `${path} does not hold ${fleetKeyBytes} bytes in base64`,
      hint: 'Restore the file from your backup.',
    });
  }
  return new Secret(encoded);
}
