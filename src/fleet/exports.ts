// Exports on the operator's disk: collected, written, and kept in number. Whoever changes something gets a new one by itself.

import { readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { PgsError } from '../errors.js';
import type { Dcs } from '../etcd/client.js';
import type { Inventory } from '../inventory/inventory.js';
import { createFileOnce, ensurePrivateDirectory, readFileIfPresent, writeFileAtomically } from '../operator-files.js';
import { derivePassphraseKey, type PassphraseKey } from '../secrets/envelope.js';
import type { FleetKey } from '../secrets/fleet-key.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { seal, unseal } from '../secrets/seal.js';
import { Secret } from '../secrets/secret.js';
import { digestOf, pgsVersion, readExported, writeExport, type ExportContent } from '../state/export.js';

/** Files of the operator that an export holds, beside pgs.yaml. */
export const exportedFiles = ['.pgs/fleet.key', '.pgs/fleet-secrets.json', '.pgs/known_hosts'];

/** As many are kept of those that pgs writes by itself. */
const keptMax = 10;

export interface Exporting {
  inventory: Inventory;
  fleetKey: FleetKey;
  fleetSecrets: FleetSecrets;
}

export function exportsDirectory({ stateDir }: Pick<Inventory, 'stateDir'>): string {
  return join(stateDir, 'exports');
}

export async function collectExport({ inventory, fleetSecrets }: Exporting, dcs: Dcs): Promise<ExportContent> {
  const home = dirname(inventory.path);
  const texts = await Promise.all(
    exportedFiles.map(
      async (name) => [name, await readFileIfPresent(join(home, name), 'reading what to export')] as const,
    ),
  );
  const yaml = await readFileIfPresent(inventory.path, 'reading what to export');
  return {
    ...{ pgs: pgsVersion, fleet: inventory.fleet, fleetId: fleetSecrets.fleetId },
    files: {
      'pgs.yaml': yaml ?? '',
      ...Object.fromEntries(texts.flatMap(([name, text]) => (text === null ? [] : [[name, text]]))),
    },
    ...(await readExported(dcs)),
  };
}

/** Writes a file that is asked for. @throws PgsError `usage` when there is one of that name */
export async function exportTo(
  path: string,
  exporting: Exporting,
  dcs: Dcs,
  now: Date,
): Promise<'with passphrase' | 'without'> {
  const passphrase = await readPassphraseKey(exporting);
  const file = writeExport(await collectExport(exporting, dcs), { fleetKey: exporting.fleetKey, passphrase }, now);
  if (await createFileOnce(path, `${JSON.stringify(file)}\n`, 0o600)) return passphrase ? 'with passphrase' : 'without';
  throw new PgsError('usage', {
    doing: 'writing the export',
    found: `${path} exists`,
    hint: 'Name another file; an export never replaces one.',
  });
}

/**
 * Writes one into `.pgs/exports` unless the newest there says the same, and removes the oldest beyond ten.
 * @returns its path, null when nothing was to write
 */
export async function keepExport(exporting: Exporting, dcs: Dcs, now: Date): Promise<string | null> {
  const directory = exportsDirectory(exporting.inventory);
  const content = await collectExport(exporting, dcs);
  const names = await keptExports(directory);
  if (names.length > 0 && (await digestIn(join(directory, names.at(-1)!))) === digestOf(content, exporting.fleetKey))
    return null;
  await ensurePrivateDirectory(directory);
  // Fleets may be older than this directory, and their own .gitignore too.
  await createFileOnce(join(directory, '.gitignore'), '*\n', 0o644);
  const keys = { fleetKey: exporting.fleetKey, passphrase: await readPassphraseKey(exporting) };
  const path = join(directory, `${now.toISOString().replace(/[:.]/g, '-')}.json`);
  await writeFileAtomically(path, `${JSON.stringify(writeExport(content, keys, now))}\n`, 0o600);
  for (const name of names.slice(0, Math.max(0, names.length + 1 - keptMax)))
    await rm(join(directory, name), { force: true });
  return path;
}

/** The oldest first: their names are times. */
export async function keptExports(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter((name) => /^\d{4}-.*\.json$/.test(name)).sort();
}

async function digestIn(path: string): Promise<string | null> {
  const text = await readFileIfPresent(path, 'reading the last export');
  try {
    return (JSON.parse(text ?? '') as { digest?: string }).digest ?? null;
  } catch {
    return null;
  }
}

// The passphrase: what it gives is kept under the fleet key, so that exports need not ask for it.

const passphraseShape = z.strictObject({ version: z.literal(1), salt: z.string(), sealed: z.string() });
const passphraseContext = 'state-passphrase';

function passphrasePath({ stateDir }: Pick<Inventory, 'stateDir'>): string {
  return join(stateDir, 'state-passphrase.json');
}

/** From now on a passphrase opens exports, too. @throws PgsError `usage` for one that is too short */
export async function setPassphrase({ inventory, fleetKey }: Exporting, passphrase: Secret): Promise<void> {
  const { salt, key } = await derivePassphraseKey(passphrase);
  const file = { version: 1, salt, sealed: seal(fleetKey, key, passphraseContext) };
  await writeFileAtomically(passphrasePath(inventory), `${JSON.stringify(file)}\n`, 0o600);
}

/** Null: none was set. */
export async function readPassphraseKey({ inventory, fleetKey }: Exporting): Promise<PassphraseKey | null> {
  const text = await readFileIfPresent(passphrasePath(inventory), 'reading what the passphrase gave');
  if (text === null) return null;
  const { salt, sealed } = passphraseShape.parse(JSON.parse(text));
  return { salt, key: unseal(fleetKey, sealed, passphraseContext) };
}

/** The first line of a file. @throws PgsError `usage` when it is not there or empty */
export async function readPassphraseFile(path: string): Promise<Secret> {
  const text = await readFileIfPresent(path, 'reading the passphrase');
  const [line = ''] = (text ?? '').split('\n');
  if (line !== '') return new Secret(line);
  throw new PgsError('usage', {
    doing: 'reading the passphrase',
    found: text === null ? `${path} does not exist` : `the first line of ${path} is empty`,
    hint: 'Write it into a file that only you can read, and name that.',
  });
}
