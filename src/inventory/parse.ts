// The text of pgs.yaml to an `Inventory`, pure. Whatever is wrong is found in one go and said with line and column.

import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { isMap, isScalar, type Document } from 'yaml';
import type { Fault } from '../fault.js';
import { readYaml } from '../yaml-file.js';
import type { Inventory } from './inventory.js';
import { hostNameFault } from './names.js';
import { etcdPortDefaults, faultsOf } from './rules.js';
import { salvage } from './salvage.js';
import { inventorySchema, type InventoryFile } from './schema.js';

/**
 * Reads the text of a pgs.yaml that is at `path` (absolute).
 * @throws PgsError `configuration` with every fault as `pgs.yaml:LINE:COLUMN: path: message`.
 */
export function parseInventory(text: string, path: string, home = homedir()): Inventory {
  const file = readYaml(text, path, inventorySchema, (document, value, issues) => {
    const left = salvage(value, issues);
    return [...hostNameFaults(document), ...(left === null ? [] : faultsOf(left))];
  });
  return toInventory(file, path, home);
}

/** Read from the YAML itself: as an object's keys, `1:` and `__proto__:` would be something else. */
function hostNameFaults(document: Document.Parsed): Fault[] {
  const hosts = document.get('hosts');
  if (!isMap(hosts)) return [];
  return hosts.items.flatMap((pair): Fault[] => {
    const key: unknown = isScalar(pair.key) ? pair.key.value : pair.key;
    const fault = typeof key === 'string' ? hostNameFault(key) : 'it is not text';
    if (fault === null) return [];
    const shown = isScalar(pair.key) ? String(pair.key.value) : '?';
    return [
      { path: ['hosts', shown], at: 'key', message: `${JSON.stringify(shown)} cannot be the name of a host: ${fault}` },
    ];
  });
}

function toInventory(file: InventoryFile, path: string, home: string): Inventory {
  const directory = dirname(path);
  const stateDir = join(directory, '.pgs');
  const absolute = (text: string) => resolve(directory, text.replace(/^~(?=\/|$)/, home));
  const names = Object.keys(file.hosts);
  const { external } = file.etcd;
  const given = ({ cert, key, ca }: { cert: string; key: string; ca?: string | undefined }) => ({
    certPath: absolute(cert),
    keyPath: absolute(key),
    caPath: ca === undefined ? null : absolute(ca),
  });
  return {
    path,
    stateDir,
    fleet: file.fleet,
    domain: file.domain ?? `${file.fleet}.internal`,
    hosts: names.map((name) => ({ ...file.hosts[name]!, name, zone: file.hosts[name]!.zone ?? name })),
    ssh: {
      user: file.ssh.user,
      port: file.ssh.port,
      keyPath: file.ssh.key === undefined ? null : absolute(file.ssh.key),
      knownHostsPath:
        file.ssh.known_hosts === undefined ? join(stateDir, 'known_hosts') : absolute(file.ssh.known_hosts),
    },
    packages: file.packages,
    ports: file.ports,
    etcd:
      external === undefined
        ? {
            kind: 'fleet',
            members: file.etcd.members ?? names.slice(0, 3),
            clientPort: file.etcd.client_port ?? etcdPortDefaults.client,
            peerPort: file.etcd.peer_port ?? etcdPortDefaults.peer,
          }
        : {
            kind: 'external',
            endpoints: external.endpoints,
            caPath: absolute(external.ca),
            certPath: external.cert === undefined ? null : absolute(external.cert),
            keyPath: external.key === undefined ? null : absolute(external.key),
            user: external.user,
            passwordPath: absolute(external.password_file),
          },
    door: {
      port: file.door.port,
      ...(file.door.certificate ? { certificate: given(file.door.certificate) } : {}),
      ...(file.door.tenants ? { tenants: mapValues(file.door.tenants, given) } : {}),
    },
    notify: {
      webhook: file.notify.webhook ?? null,
      webhookPath: file.notify.webhook_file === undefined ? null : absolute(file.notify.webhook_file),
      command: file.notify.command ?? null,
    },
    watch: file.watch.repair,
    drills: {
      backup: file.drills.backup
        ? { command: file.drills.backup.command, maxAgeMs: file.drills.backup.max_age_hours * 3_600_000 }
        : null,
    },
    defaults: {
      postgres: file.defaults.postgres ?? null,
      rto: file.defaults.rto,
      rpoBytes: file.defaults.rpo,
      durability: file.defaults.durability,
      watchdog: file.defaults.watchdog,
      ...(file.defaults.access ? { access: { ...file.defaults.access, from: file.defaults.access.from ?? [] } } : {}),
    },
  };
}

function mapValues<A, B>(values: Record<string, A>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, change(value)]));
}
