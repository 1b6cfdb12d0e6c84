// The daemon must not run on a machine that its drills break: it would take itself away in the middle of one.

import { networkInterfaces } from 'node:os';
import { PgsError } from '../errors.js';
import type { Inventory } from '../inventory/inventory.js';
import { canonicalAddress } from '../inventory/names.js';

export function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((i) => i.address));
}

/** The fleet's hosts that this machine is. */
export function hostsHere({ hosts }: Pick<Inventory, 'hosts'>, own: string[]): string[] {
  const here = new Set(own.map((a) => canonicalAddress(a.replace(/%.*$/, ''))));
  return hosts.filter((h) => here.has(canonicalAddress(h.address))).map((h) => h.name);
}

/** @throws PgsError `endangers` on a host of the fleet */
export function refuseOwnHost(inventory: Inventory, own = ownAddresses()): void {
  const [host] = hostsHere(inventory, own);
  if (host === undefined) return;
  throw new PgsError('endangers', {
    doing: 'starting the daemon',
    host,
    found: 'this machine is a host of the fleet, and its drills would break it',
    hint: 'Run the daemon on a machine that is not in pgs.yaml.',
  });
}
