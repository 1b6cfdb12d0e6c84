// What a command works with: the fleet, its hosts and its DCS, opened when first used and closed together.

import type { FleetKey } from '../secrets/fleet-key.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import type { Inventory } from '../inventory/inventory.js';
import { connectDcs, type Dcs } from '../etcd/client.js';
import { openHosts, type HostPool } from '../host/ssh-host.js';
import { StateStore } from '../state/store.js';

export interface OpenFleet {
  inventory: Inventory;
  fleetKey: FleetKey;
  fleetSecrets: FleetSecrets;
}

export interface Session extends OpenFleet {
  hosts: HostPool;
  dcs(): Promise<Dcs>;
  store(): Promise<StateStore>;
  close(): Promise<void>;
}

export function openSession(fleet: OpenFleet): Session {
  const hosts = openHosts(fleet.inventory);
  let dcs: Promise<Dcs> | null = null;
  const connect = () => (dcs ??= connectDcs(fleet.inventory, fleet.fleetSecrets));
  return {
    ...fleet,
    hosts,
    dcs: connect,
    store: async () => new StateStore(await connect()),
    close: async () => {
      await hosts.close();
      const open = await dcs?.catch(() => null);
      open?.close();
    },
  };
}
