// What every `pgs host` command begins with: the fleet's pgs.yaml, the hosts that were named, a terminal.

import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import type { Inventory } from '../../inventory/inventory.js';
import { findInventoryPath, loadInventory } from '../../inventory/load.js';
import { createTerminal, type OutputFormat, type Terminal } from '../terminal.js';

export interface HostCommandContext {
  inventory: Inventory;
  /** Names in the order of pgs.yaml. */
  names: string[];
  terminal: Terminal;
}

/** @throws PgsError `configuration` of pgs.yaml, `usage` for a host that is not in it */
export async function openFleet(command: Command, asked: string[]): Promise<HostCommandContext> {
  const globals = command.optsWithGlobals<{ output: OutputFormat; config?: string }>();
  const { path } = await findInventoryPath(globals.config, process.env, process.cwd());
  const inventory = await loadInventory(path);
  const names = inventory.hosts.map(({ name }) => name);
  const strange = asked.filter((name) => !names.includes(name));
  if (strange.length > 0) {
    throw new PgsError('usage', {
      doing: 'choosing hosts',
      found: `${strange.map((name) => JSON.stringify(name)).join(', ')} not in ${path}`,
      hint: `Hosts of this fleet are ${names.join(', ')}.`,
    });
  }
  const chosen = asked.length > 0 ? names.filter((name) => asked.includes(name)) : names;
  return { inventory, names: chosen, terminal: createTerminal(globals.output) };
}
