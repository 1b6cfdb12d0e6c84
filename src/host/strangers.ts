// The distribution's own units of the programs that pgs runs. pgs runs these programs from units of its own; one of the
// distribution's that runs belongs to somebody and is never touched, and one that does not run is masked before installing.

import type { Inventory } from '../inventory/inventory.js';
import type { CheckFacts } from './check-facts.js';

/** Units that installing a package would start, or that would fight for the same ports and files. */
export function distributionUnits({ etcd }: Pick<Inventory, 'etcd'>): string[] {
  return [
    // An etcd that pgs did not make may be the external one.
    ...(etcd.kind === 'fleet' ? ['etcd.service'] : []),
    'haproxy.service',
    'pgbouncer.service',
    'patroni.service',
    'pgbackrest.service',
  ];
}

/** Units of the distribution that run, those of its PostgreSQL and Patroni instances included. */
export function strangersUnits({ units }: Pick<CheckFacts, 'units'>, inventory: Pick<Inventory, 'etcd'>): string[] {
  const names = distributionUnits(inventory);
  return Object.entries(units)
    .filter(([name, { active }]) => runs(active) && (names.includes(name) || /^(postgresql|patroni)@/.test(name)))
    .map(([name]) => name);
}

/** A unit that crashes and comes back is somebody's as well. */
function runs(active: string): boolean {
  return active === 'active' || active === 'activating' || active === 'reloading' || active === 'deactivating';
}
