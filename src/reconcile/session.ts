// What a command works with: the fleet, its hosts, its DCS and its members, opened when first used and closed together. The one seam
// between pgs and the world: a test that simulates a fleet gives another session.

import type { FleetKey } from '../secrets/fleet-key.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import type { Inventory } from '../inventory/inventory.js';
import { connectDcs, type Dcs } from '../etcd/client.js';
import { openHosts, type HostPool } from '../host/ssh-host.js';
import { connectPatroni } from '../patroni/client.js';
import { shownCertificate } from '../pki/handshake.js';
import type { proveServices } from '../postgres/proof.js';
import type { tryServiceLogin } from '../postgres/try-login.js';
import { startWriteProbe } from '../postgres/write-probe.js';
import { drillKeys } from '../drills/keys.js';
import { noteChanges } from '../state/changes.js';
import { stateKeys, StateStore } from '../state/store.js';

export interface OpenFleet {
  inventory: Inventory;
  fleetKey: FleetKey;
  fleetSecrets: FleetSecrets;
  /** `daemon`: what it may not know is withheld, and it compares no cluster with its spec. */
  rights: 'operator' | 'daemon';
}

export interface Session extends OpenFleet {
  hosts: HostPool;
  /** REST of a cluster's members. */
  patroni: typeof connectPatroni;
  /** Proof through the services. */
  prove: typeof proveServices;
  /** Writes through `primary` while something changes. */
  probe: typeof startWriteProbe;
  /** What a process shows to whoever connects. */
  shown: typeof shownCertificate;
  /** A login through a service. */
  tryService: typeof tryServiceLogin;
  /** The same fleet with other secrets of its own: its etcd is connected to anew. Closed by its own `close`. */
  reopen(fleetSecrets: FleetSecrets): Session;
  /** Something of what pgs keeps (in etcd, and of the fleet's own secrets) was changed through this session or one that it reopened. */
  stateChanged(): boolean;
  dcs(): Promise<Dcs>;
  store(): Promise<StateStore>;
  close(): Promise<void>;
}

/** Where a tenant's secrets are that the fleet key of the session opens. */
const secretsKeys = { operator: stateKeys.secrets, daemon: drillKeys.secrets };

export function openSession(fleet: OpenFleet): Session {
  const hosts = openHosts(fleet.inventory);
  const session = sessionWith(fleet, hosts, { changed: false });
  return {
    ...session,
    close: async () => {
      await hosts.close();
      await session.close();
    },
  };
}

function sessionWith(fleet: OpenFleet, hosts: HostPool, state: { changed: boolean }): Session {
  let dcs: Promise<Dcs> | null = null;
  const open = async () =>
    noteChanges(await connectDcs(fleet.inventory, fleet.fleetSecrets), () => (state.changed = true));
  const connect = () => (dcs ??= open());
  return {
    ...fleet,
    hosts,
    patroni: connectPatroni,
    prove: async (...args) => (await import('../postgres/proof.js')).proveServices(...args),
    probe: startWriteProbe,
    shown: shownCertificate,
    tryService: async (...args) => (await import('../postgres/try-login.js')).tryServiceLogin(...args),
    reopen: (fleetSecrets) => {
      state.changed ||= fleetSecrets !== fleet.fleetSecrets;
      return sessionWith({ ...fleet, fleetSecrets }, hosts, state);
    },
    stateChanged: () => state.changed,
    dcs: connect,
    store: async () => new StateStore(await connect(), secretsKeys[fleet.rights]),
    close: async () => {
      const opened = await dcs?.catch(() => null);
      opened?.close();
    },
  };
}
