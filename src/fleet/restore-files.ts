// The operator's files from an export. What is there stays as it is; files of another fleet are never mixed with it.

import { dirname, join } from 'node:path';
import { PgsError } from '../errors.js';
import { createFileOnce, ensurePrivateDirectory, readFileIfPresent } from '../operator-files.js';
import { loadFleetKey, type FleetKey } from '../secrets/fleet-key.js';
import { readFleetSecrets } from '../secrets/fleet-secrets.js';
import type { ExportContent } from '../state/export.js';

/** Null where there is none. @throws PgsError `configuration` for a damaged one */
export async function fleetKeyAt(directory: string): Promise<FleetKey | null> {
  const stateDir = join(directory, '.pgs');
  const there = await readFileIfPresent(join(stateDir, 'fleet.key'), 'looking for a fleet key');
  return there === null ? null : loadFleetKey(stateDir);
}

/**
 * @returns paths of what was written
 * @throws PgsError `endangers` when the directory is another fleet's; nothing is written then
 */
export async function restoreFiles(directory: string, content: ExportContent): Promise<string[]> {
  await refuseOtherFleet(directory, content);
  const written: string[] = [];
  await ensurePrivateDirectory(join(directory, '.pgs'));
  await createFileOnce(join(directory, '.pgs', '.gitignore'), 'fleet.key\n*.lock\n*.tmp\n', 0o644);
  // pgs.yaml last: commands find a fleet by it, and shall find one that is whole.
  const names = Object.keys(content.files).sort((a, b) => Number(a === 'pgs.yaml') - Number(b === 'pgs.yaml'));
  for (const name of names) {
    const path = join(directory, name);
    await ensurePrivateDirectory(dirname(path));
    const mode = name === 'pgs.yaml' ? 0o644 : 0o600;
    if (await createFileOnce(path, content.files[name]!, mode)) written.push(path);
  }
  return written;
}

/** A fleet is known by the random id of `pgs init`; where its secrets are gone, by its key. */
async function refuseOtherFleet(directory: string, content: ExportContent): Promise<void> {
  const key = await fleetKeyAt(directory);
  if (key === null) return;
  const other = (found: string) =>
    new PgsError('endangers', {
      doing: 'importing an export',
      found: `${directory} has another fleet: ${found}`,
      hint: `The export is of fleet ${content.fleet}: import it into a directory of its own with --dir. Nothing was changed.`,
    });
  if (key.reveal() !== content.files['.pgs/fleet.key']?.trim())
    throw other('its fleet key is not the one in the export');
  const stateDir = join(directory, '.pgs');
  if ((await readFileIfPresent(join(stateDir, 'fleet-secrets.json'), 'looking for the fleet')) === null) return;
  const { fleetId } = await readFleetSecrets(stateDir, key);
  if (fleetId !== content.fleetId) throw other('its random id is not the one in the export');
}
