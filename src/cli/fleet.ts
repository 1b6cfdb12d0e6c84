// Opens the fleet that a command is about: finds pgs.yaml, reads it, the fleet key and the fleet's own secrets.

import type { Inventory } from '../inventory/inventory.js';
import type { FleetKey } from '../secrets/fleet-key.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { createTerminal, type OutputFormat } from './terminal.js';

export interface OpenedFleet {
  inventory: Inventory;
  fleetKey: FleetKey;
  fleetSecrets: FleetSecrets;
  rights: 'operator';
}

export interface FleetGlobals {
  /** Of `--config`. */
  config?: string;
  output?: OutputFormat;
}

/**
 * Certificates of hosts that are new in pgs.yaml, or that end soon, are made here and said on standard error.
 * @throws PgsError `configuration`
 */
export async function openFleet(globals: FleetGlobals): Promise<OpenedFleet> {
  const inventory = await openInventory(globals);
  const [{ loadFleetKey }, { loadFleetSecrets }] = await Promise.all([
    import('../secrets/fleet-key.js'),
    import('../secrets/fleet-secrets.js'),
  ]);
  const fleetKey = await loadFleetKey(inventory.stateDir);
  const { secrets, changed } = await loadFleetSecrets(inventory, fleetKey);
  if (changed) {
    createTerminal(globals.output ?? 'text').progress(`made certificates for the hosts of fleet ${inventory.fleet}`);
  }
  return { inventory, fleetKey, fleetSecrets: secrets, rights: 'operator' };
}

/** Only pgs.yaml, for commands that need no secrets (`pgs host trust`, `pgs host check`). */
export async function openInventory(globals: FleetGlobals): Promise<Inventory> {
  const { findInventoryPath, loadInventory } = await import('../inventory/load.js');
  const { path, source } = await findInventoryPath(globals.config, process.env, process.cwd());
  if (source === 'sandbox') {
    createTerminal(globals.output ?? 'text').progress(`using the sandbox's fleet, ${path}`);
  }
  return loadInventory(path);
}
