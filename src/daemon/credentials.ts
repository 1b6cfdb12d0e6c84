// The daemon as a service runs as a user of its own, who can read none of the operator's files. systemd hands it what it needs as
// credentials; here they take the places of the files.

import { copyFile, chmod, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PgsError } from '../errors.js';
import type { ExternalEtcd, Inventory } from '../inventory/inventory.js';
import { parseInventory } from '../inventory/parse.js';
import type { OpenFleet } from '../reconcile/session.js';
import { fleetKeyPath, loadFleetKey } from '../secrets/fleet-key.js';
import { fleetSecretsPath, loadFleetSecrets } from '../secrets/fleet-secrets.js';

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

/** Everything that a daemon of this fleet reads. @throws PgsError `configuration` where ssh asks an agent, which a service has not */
export function credentialsOf(inventory: Inventory): Credential[] {
  const { path, stateDir, ssh, etcd, notify } = inventory;
  if (ssh.keyPath === null) {
    throw new PgsError('configuration', {
      doing: 'making the unit of the daemon',
      found: 'ssh has no key in pgs.yaml, and a service has no agent to ask',
      hint: 'Make a key without a passphrase for the daemon, let the hosts accept it, and name it in pgs.yaml: ssh: { key: … }.',
    });
  }
  const own: Credential[] = [
    { name: names.inventory, path },
    { name: names.key, path: fleetKeyPath(stateDir) },
    { name: names.secrets, path: fleetSecretsPath(stateDir) },
    { name: names.knownHosts, path: ssh.knownHostsPath },
    { name: names.ssh, path: ssh.keyPath },
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
  // A copy: certificates that end soon are renewed in it. It is sealed with the key, which stays where it is.
  const sealed = fleetSecretsPath(stateDir);
  await copyFile(join(directory, names.secrets), sealed);
  await chmod(sealed, 0o600);
  const { secrets } = await loadFleetSecrets(inventory, fleetKey);
  return { inventory, fleetKey, fleetSecrets: secrets };
}
