// Sets up a fleet on the operator's machine: pgs.yaml, the fleet key, the CAs. Nothing that exists is written over, so a
// second run makes only what is missing. Touches no host.

import { basename, join, resolve } from 'node:path';
import type { Inventory } from '../inventory/inventory.js';
import { labelFault, parseFleetName, parseHostName } from '../inventory/names.js';
import { parseInventory } from '../inventory/parse.js';
import { renderInventory, type NewInventory } from '../inventory/render.js';
import { createFileOnce, ensurePrivateDirectory, readFileIfPresent } from '../operator-files.js';
import { createFleetKey, fleetKeyPath, loadFleetKey, type FleetKey } from '../secrets/fleet-key.js';
import { ensureFleetSecrets, fleetSecretsPath } from '../secrets/fleet-secrets.js';

export interface FleetInit extends Omit<NewInventory, 'fleet'> {
  /** Where pgs.yaml is or will be. */
  dir: string;
  /** Default: the directory's name where it is a DNS label, else `main`. */
  fleet?: string;
}

export interface FleetInitResult {
  /** Absolute path of pgs.yaml. */
  path: string;
  /** Absolute paths of what was made, in order; empty if everything was there. */
  created: string[];
  /** Null if pgs.yaml names no hosts yet. */
  inventory: Inventory | null;
}

/** @throws PgsError `usage` or `configuration`; nothing is written then */
export async function initFleet(init: FleetInit): Promise<FleetInitResult> {
  const dir = resolve(init.dir);
  const path = join(dir, 'pgs.yaml');
  init.hosts.forEach((host) => parseHostName(host.name));
  const existing = await readFileIfPresent(path, 'reading pgs.yaml');
  const wanted: NewInventory = { ...init, fleet: parseFleetName(init.fleet ?? defaultFleetName(dir)) };
  const text = existing ?? renderInventory(wanted);
  // With no hosts yet the file cannot be valid, and is written for the operator to fill in.
  const isTemplate = existing === null && init.hosts.length === 0;
  const inventory = isTemplate ? null : parseInventory(text, path);
  const stateDir = join(dir, '.pgs');
  const created: string[] = [];
  await ensurePrivateDirectory(stateDir);
  if (await createFileOnce(join(stateDir, '.gitignore'), gitignore, 0o644)) created.push(join(stateDir, '.gitignore'));
  const { key, created: keyCreated } = await keyFor(stateDir);
  if (keyCreated) created.push(fleetKeyPath(stateDir));
  const fleet = { fleet: inventory?.fleet ?? wanted.fleet, hosts: inventory?.hosts ?? [], stateDir };
  const { changed } = await ensureFleetSecrets(fleet, key);
  if (changed) created.push(fleetSecretsPath(stateDir));
  // Last: commands find a fleet by it, and shall find one that is whole.
  if (existing === null && (await createFileOnce(path, text, 0o644))) created.push(path);
  return { path, created, inventory };
}

/** The key; a new one only where nothing is sealed with an old one. */
async function keyFor(stateDir: string): Promise<{ key: FleetKey; created: boolean }> {
  const sealed = await readFileIfPresent(fleetSecretsPath(stateDir), 'reading the fleet secrets');
  return sealed === null ? createFleetKey(stateDir) : { key: await loadFleetKey(stateDir), created: false };
}

function defaultFleetName(dir: string): string {
  const name = basename(dir);
  return labelFault(name) === null ? name : 'main';
}

/** fleet-secrets.json is sealed with the key and may be committed; the key may not. */
const gitignore = `# The fleet key opens every stored secret. Keep it out of version control, and keep a copy in a safe place.
fleet.key
*.lock
*.tmp
`;
