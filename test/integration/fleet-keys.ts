// What an attacker, or a search for leaks, starts from: every secret of the test's fleet and of its tenants, opened with the fleet key
// exactly as pgs opens them.

import { readFileSync } from 'node:fs';
import { connectDcs, type Dcs } from '../../src/etcd/client.js';
import type { Inventory } from '../../src/inventory/inventory.js';
import { loadInventory } from '../../src/inventory/load.js';
import { fleetKeyPath, loadFleetKey, type FleetKey } from '../../src/secrets/fleet-key.js';
import { loadFleetSecrets, type FleetSecrets } from '../../src/secrets/fleet-secrets.js';
import { unsealTenantSecrets, type StoredTenantSecrets } from '../../src/secrets/tenant-secrets.js';
import { StateStore } from '../../src/state/store.js';
import { layOutCluster, type Cluster } from '../../src/topology/cluster.js';
import { environment } from './machines.js';

export interface FleetKeys {
  inventory: Inventory;
  key: FleetKey;
  /** The key as its file holds it. */
  keyText: string;
  secrets: FleetSecrets;
}

export async function openFleetKeys(path: string = environment.PGS_CONFIG): Promise<FleetKeys> {
  const inventory = await loadInventory(path);
  const key = await loadFleetKey(inventory.stateDir);
  const { secrets } = await loadFleetSecrets(inventory, key);
  return { inventory, key, secrets, keyText: readFileSync(fleetKeyPath(inventory.stateDir), 'utf8').trim() };
}

export interface TenantKeys {
  cluster: Cluster;
  secrets: StoredTenantSecrets;
  /** As etcd holds them. */
  sealed: string;
}

/** A tenant as the DCS knows it; the connection is made anew, as an operator's command makes one. */
export async function openTenantKeys(fleet: FleetKeys, tenant: string): Promise<TenantKeys> {
  return withDcs(fleet, async (dcs) => {
    const stored = await new StateStore(dcs).getTenant(tenant);
    if (!stored?.sealedSecrets) throw new Error(`there are no secrets of ${tenant}`);
    return {
      cluster: layOutCluster(stored.record, fleet.inventory),
      secrets: unsealTenantSecrets(fleet.key, tenant, stored.sealedSecrets),
      sealed: stored.sealedSecrets,
    };
  });
}

export async function withDcs<T>(fleet: FleetKeys, work: (dcs: Dcs) => Promise<T>): Promise<T> {
  const dcs = await connectDcs(fleet.inventory, fleet.secrets);
  try {
    return await work(dcs);
  } finally {
    dcs.close();
  }
}
