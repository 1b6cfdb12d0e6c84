// The daemon as a service runs as a user of its own, who can read none of the operator's files. systemd hands it the rights that it was
// granted (`grant.ts`) as credentials; here they take the places of the operator's.

import { readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ExternalEtcd, Inventory } from '../inventory/inventory.js';
import { parseInventory } from '../inventory/parse.js';
import type { OpenFleet } from '../reconcile/session.js';
import { fleetKeyPath, loadFleetKey } from '../secrets/fleet-key.js';
import { fleetSecretsPath, readFleetSecrets } from '../secrets/fleet-secrets.js';
import { daemonDirectory, daemonSshKeyPath } from './granted-files.js';

export interface Credential {
  /** Name of the file in $CREDENTIALS_DIRECTORY. */
  name: string;
  /** The operator's file, absolute. */
  path: string;
}

const names = {
  inventory: 'pgs.yaml',
  key: 'fleet.key',
  secrets: 'fleet-secrets.json',
  knownHosts: 'known_hosts',
  ssh: 'ssh.key',
  webhook: 'webhook-url',
};
const external = {
  caPath: 'etcd-ca.crt',
  certPath: 'etcd-client.crt',
  keyPath: 'etcd-client.key',
  passwordPath: 'etcd-password',
} as const;

/** Everything that a daemon of this fleet reads. Nothing of it need exist yet. */
export function credentialsOf(inventory: Inventory): Credential[] {
  const { path, stateDir, ssh, etcd, notify } = inventory;
  const granted = daemonDirectory(stateDir);
  const own: Credential[] = [
    { name: names.inventory, path },
    { name: names.key, path: fleetKeyPath(granted) },
    { name: names.secrets, path: fleetSecretsPath(granted) },
    { name: names.knownHosts, path: ssh.knownHostsPath },
    { name: names.ssh, path: daemonSshKeyPath(stateDir) },
  ];
  if (notify.webhookPath !== null) own.push({ name: names.webhook, path: notify.webhookPath });
  if (etcd.kind === 'external') own.push(...ofEtcd(etcd));
  return own;
}

function ofEtcd(etcd: ExternalEtcd): Credential[] {
  return (Object.keys(external) as (keyof typeof external)[]).flatMap((key) => {
    const path = etcd[key];
    return path === null ? [] : [{ name: external[key], path }];
  });
}

/** The inventory with the credentials in the places of the operator's files. */
export function withCredentials(inventory: Inventory, directory: string, stateDir: string): Inventory {
  const { ssh, etcd, notify } = inventory;
  const at = (name: string) => join(directory, name);
  const swapped =
    etcd.kind === 'fleet'
      ? etcd
      : {
          ...etcd,
          caPath: at(external.caPath),
          certPath: etcd.certPath && at(external.certPath),
          keyPath: etcd.keyPath && at(external.keyPath),
          passwordPath: at(external.passwordPath),
        };
  return {
    ...inventory,
    stateDir,
    ssh: { ...ssh, keyPath: at(names.ssh), knownHostsPath: at(names.knownHosts) },
    notify: { ...notify, webhookPath: notify.webhookPath && at(names.webhook) },
    etcd: swapped,
  };
}

/** Where systemd put the credentials, and where the daemon may write; null when it did not start this process. */
export function credentialPlaces(env: NodeJS.ProcessEnv): { directory: string; stateDir: string } | null {
  const { CREDENTIALS_DIRECTORY: directory, STATE_DIRECTORY: stateDir } = env;
  if (!directory || !stateDir || !existsSync(join(directory, names.inventory))) return null;
  return { directory, stateDir };
}

/** @param path - of the operator's pgs.yaml, which need not be readable: relative paths in it are counted from there */
export async function openWithCredentials(
  path: string,
  { directory, stateDir }: { directory: string; stateDir: string },
): Promise<OpenFleet> {
  const text = await readFile(join(directory, names.inventory), 'utf8');
  const inventory = withCredentials(parseInventory(text, path), directory, stateDir);
  // systemd gives the service's user access by an ACL, whose mask shows as the group's right to read.
  const fleetKey = await loadFleetKey(directory, 0o037);
  return { inventory, fleetKey, fleetSecrets: await readFleetSecrets(directory, fleetKey), rights: 'daemon' };
}
