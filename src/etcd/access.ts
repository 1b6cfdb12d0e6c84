// How pgs itself reaches the DCS: which endpoints, which certificates, which login. The fleet's own etcd and one that
// somebody else runs differ only here.

import { readFile } from 'node:fs/promises';
import { PgsError } from '../errors.js';
import type { ExternalEtcd, FleetEtcd, Inventory } from '../inventory/inventory.js';
import { etcdClientTrust } from '../secrets/fleet-rollover.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { Secret } from '../secrets/secret.js';

export interface DcsEndpoint {
  /** Name for people: the host's name in pgs.yaml, or `host:port` of an external etcd. */
  name: string;
  /** `https://address:port` */
  url: string;
  /** Name that the server's certificate must have; null: the one in the url. */
  serverName: string | null;
}

export interface DcsAccess {
  endpoints: DcsEndpoint[];
  caPem: string;
  /** Client certificate; null where an external etcd asks for none. */
  client: { certPem: string; keyPem: Secret } | null;
  user: string;
  password: Secret;
}

export const etcdRootUser = 'root';

/** @throws PgsError `configuration` if a file of an external etcd cannot be read */
export async function dcsAccess(inventory: Inventory, secrets: FleetSecrets): Promise<DcsAccess> {
  const { etcd } = inventory;
  if (etcd.kind === 'external') return externalAccess(etcd);
  return {
    endpoints: fleetEndpoints(inventory, etcd),
    caPem: etcdClientTrust(secrets),
    client: secrets.recovery?.client ?? secrets.operatorEtcdClient,
    user: secrets.etcdLogin?.user ?? etcdRootUser,
    password: secrets.etcdLogin?.password ?? secrets.etcdRootPassword,
  };
}

export function fleetEndpoints(inventory: Inventory, etcd: FleetEtcd): DcsEndpoint[] {
  return etcd.members.map((name) => {
    const host = inventory.hosts.find((h) => h.name === name);
    if (!host) {
      throw new PgsError('configuration', {
        doing: 'finding the members of etcd',
        found: `etcd member ${name} is no host of ${inventory.path}`,
        hint: 'Name hosts of the fleet under etcd.members.',
      });
    }
    return { name, url: endpointUrl(host.address, etcd.clientPort), serverName: name };
  });
}

async function externalAccess(etcd: ExternalEtcd): Promise<DcsAccess> {
  const ca = await readGiven('etcd.external.ca', etcd.caPath);
  const cert = etcd.certPath ? await readGiven('etcd.external.cert', etcd.certPath) : null;
  const key = etcd.keyPath ? await readGiven('etcd.external.key', etcd.keyPath) : null;
  const password = await readGiven('etcd.external.password_file', etcd.passwordPath);
  return {
    endpoints: etcd.endpoints.map((url) => ({ name: url.replace(/^https?:\/\//, ''), url, serverName: null })),
    caPem: ca,
    client: cert !== null && key !== null ? { certPem: cert, keyPem: new Secret(key) } : null,
    user: etcd.user,
    password: new Secret(password.replace(/\r?\n$/, '')),
  };
}

export function endpointUrl(address: string, port: number): string {
  return `https://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

async function readGiven(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw new PgsError('configuration', {
      doing: 'reading what opens the external etcd',
      found: `${setting}: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
      hint: `Put the file at ${path}, or correct ${setting} in pgs.yaml.`,
      cause: thrown,
    });
  }
}
