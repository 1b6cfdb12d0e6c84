// What the daemon may know: an own login to etcd, and of each tenant that it drills the few secrets that drills and switchovers take.
// They are sealed with a key of its own, which opens nothing else. The rest is withheld: its place is taken by a word.

import { randomBytes } from 'node:crypto';
import type { Dcs } from '../etcd/client.js';
import { fleetKeyBytes, type FleetKey } from '../secrets/fleet-key.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { seal, unseal } from '../secrets/seal.js';
import { Secret } from '../secrets/secret.js';
import { sealTenantSecrets, unsealTenantSecrets, type TenantSecrets } from '../secrets/tenant-secrets.js';
import { StateStore } from '../state/store.js';
import { drillKeys } from './keys.js';

/** Stands where a secret is not given. */
const withheld = new Secret('withheld from the daemon');

/** Clients' certificates and passwords, the certificates of the CAs; no CA's key, and nothing of a member's. */
export function tenantSecretsForDaemon(secrets: TenantSecrets): TenantSecrets {
  const { rest, probe, app } = secrets.passwords;
  const without = (user: string) => ({ user, password: withheld });
  const { etcd, replication, rewind } = secrets.passwords;
  return {
    restCa: { ...secrets.restCa, keyPem: withheld },
    sqlCa: { ...secrets.sqlCa, keyPem: withheld },
    passwords: {
      ...{ rest, probe, app },
      etcd: without(etcd.user),
      replication: without(replication.user),
      rewind: without(rewind.user),
    },
    appScram: withheld,
    probeScram: withheld,
    certificates: {},
    restChecks: { ...secrets.restChecks, keyPem: withheld },
    restOperator: secrets.restOperator,
    pooler: { ...secrets.pooler, keyPem: withheld },
    door: { ...secrets.door, keyPem: withheld },
    ...rotationForDaemon(secrets),
  };
}

/** Of what is being replaced it needs what it has itself: what members let in, and whom it may trust, meanwhile. */
function rotationForDaemon({ rotation }: TenantSecrets): Pick<TenantSecrets, 'rotation'> {
  if (!rotation) return {};
  const { rest, restCa, sqlCa } = rotation.other;
  const other = {
    ...(rest ? { rest } : {}),
    ...(restCa ? { restCa: { ...restCa, keyPem: withheld } } : {}),
    ...(sqlCa ? { sqlCa: { ...sqlCa, keyPem: withheld } } : {}),
  };
  return { rotation: { ...rotation, other } };
}

/** While the CAs of etcd are replaced it has to trust both. */
function rolloverForDaemon({ rollover }: FleetSecrets): Pick<FleetSecrets, 'rollover'> {
  if (!rollover) return {};
  const { etcdPeerCa, etcdClientCa } = rollover.other;
  const other = {
    etcdPeerCa: { ...etcdPeerCa, keyPem: withheld },
    etcdClientCa: { ...etcdClientCa, keyPem: withheld },
  };
  return { rollover: { ...rollover, other } };
}

/** The CAs' certificates, and a login of its own to etcd. */
export function fleetSecretsForDaemon(
  secrets: FleetSecrets,
  own: { client: FleetSecrets['operatorEtcdClient']; user: string; password: Secret },
): FleetSecrets {
  return {
    fleetId: secrets.fleetId,
    etcdPeerCa: { ...secrets.etcdPeerCa, keyPem: withheld },
    etcdClientCa: { ...secrets.etcdClientCa, keyPem: withheld },
    etcdRootPassword: withheld,
    hosts: {},
    operatorEtcdClient: own.client,
    etcdLogin: { user: own.user, password: own.password },
    ...rolloverForDaemon(secrets),
  };
}

const keyContext = 'daemon-key';

export function newDaemonKey(): FleetKey {
  return new Secret(randomBytes(fleetKeyBytes).toString('base64'));
}

/** Kept in etcd under the fleet key, so that every operator can give the daemon a tenant's secrets. */
export async function storeDaemonKey(dcs: Dcs, fleetKey: FleetKey, key: FleetKey): Promise<void> {
  await dcs.put(drillKeys.daemonKey, seal(fleetKey, key, keyContext));
}

/** Null: no daemon has rights of its own. @throws PgsError `configuration` for what this fleet key does not open */
export async function readDaemonKey(dcs: Dcs, fleetKey: FleetKey): Promise<FleetKey | null> {
  const kv = await dcs.get(drillKeys.daemonKey);
  return kv && unseal(fleetKey, kv.value, keyContext);
}

/** Gives the daemon a tenant's changed secrets if it has that tenant's. */
export async function giveAgain(dcs: Dcs, fleetKey: FleetKey, tenant: string): Promise<void> {
  if (await dcs.get(drillKeys.secrets(tenant))) await giveTenant(dcs, fleetKey, tenant);
}

/**
 * Gives the daemon what it needs of a tenant; nothing where no daemon has rights of its own.
 * @throws PgsError as `readDaemonKey` and the DCS
 */
export async function giveTenant(dcs: Dcs, fleetKey: FleetKey, tenant: string): Promise<void> {
  const [key, stored] = await Promise.all([readDaemonKey(dcs, fleetKey), new StateStore(dcs).getTenant(tenant)]);
  if (!key || !stored?.sealedSecrets) return;
  const secrets = unsealTenantSecrets(fleetKey, tenant, stored.sealedSecrets);
  // A cluster from before there were poolers, or a front door, has no certificate of theirs; here it is withheld anyway.
  const { pooler = secrets.restChecks, door = secrets.restChecks } = secrets;
  const given = tenantSecretsForDaemon({ ...secrets, pooler, door });
  await dcs.put(drillKeys.secrets(tenant), sealTenantSecrets(key, tenant, given));
}
