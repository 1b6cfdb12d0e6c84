// The rules of pgs.yaml that look at several places at once: unique addresses, etcd's members, ports that do not collide.

import type { Fault } from '../fault.js';
import { canonicalAddress } from './names.js';
import type { Salvaged } from './salvage.js';
import type { InventoryFile } from './schema.js';

/** Linux hands these out to outgoing connections (`net.ipv4.ip_local_port_range`), so a service there may find its port taken. */
const ephemeral = { from: 32768, to: 60999 };

/** Ports that one tenant takes on every host. */
export const portsPerTenant = 10;

export const etcdPortDefaults = { client: 2379, peer: 2380 };

/** Faults of a file, or of what was salvaged of it; a section in which values are missing is not judged. */
export function faultsOf({ file, hostNames, broken }: Salvaged): Fault[] {
  return [
    ...addressFaults(file),
    ...(broken.has('etcd') || hostNames === null ? [] : etcdFaults(file, hostNames)),
    ...(broken.has('ports') ? [] : portFaults(file)),
    ...(broken.has('door') ? [] : doorFaults(file)),
    ...(broken.has('defaults') ? [] : defaultFaults(file)),
    ...(broken.has('notify') ? [] : notifyFaults(file)),
  ];
}

function addressFaults(file: InventoryFile): Fault[] {
  const owners = new Map<string, string>();
  const faults: Fault[] = [];
  for (const [name, host] of Object.entries(file.hosts)) {
    const address = canonicalAddress(host.address);
    const owner = owners.get(address);
    if (owner === undefined) owners.set(address, name);
    else
      faults.push({ path: ['hosts', name, 'address'], message: `${host.address} is the address of ${owner} already` });
  }
  return faults;
}

function etcdFaults(file: InventoryFile, names: string[]): Fault[] {
  const { external, members, client_port: clientPort, peer_port: peerPort } = file.etcd;
  if (external !== undefined) {
    const own = (['members', 'client_port', 'peer_port'] as const).filter((key) => file.etcd[key] !== undefined);
    const faults: Fault[] = own.map((key) => ({
      path: ['etcd', key],
      at: 'key',
      message: 'cannot stand beside etcd.external: either pgs runs etcd on the hosts or somebody else does',
    }));
    if ((external.cert === undefined) !== (external.key === undefined)) {
      faults.push({
        path: ['etcd', 'external'],
        at: 'key',
        message: 'cert and key belong together: give both or none',
      });
    }
    return faults;
  }
  const faults: Fault[] = [];
  if (members === undefined && names.length < 3) {
    faults.push({
      path: ['hosts'],
      at: 'key',
      message:
        `has ${names.length} of the at least 3 hosts that are needed: etcd keeps a majority through the loss of one ` +
        `member only if it has three, each on its own host. Add hosts, or give etcd.external`,
    });
  }
  if (members !== undefined) faults.push(...memberFaults(members, names));
  if ((clientPort ?? etcdPortDefaults.client) === (peerPort ?? etcdPortDefaults.peer)) {
    faults.push({
      path: ['etcd', peerPort === undefined ? 'client_port' : 'peer_port'],
      message: 'etcd needs two different ports',
    });
  }
  return faults;
}

function memberFaults(members: string[], names: string[]): Fault[] {
  const faults: Fault[] = [];
  if (members.length !== 3 && members.length !== 5) {
    faults.push({
      path: ['etcd', 'members'],
      message: `has ${members.length} names, and must have 3 or 5: of three one may fail, of five two; an even number gains nothing`,
    });
  }
  members.forEach((name, index) => {
    if (!names.includes(name)) {
      faults.push({
        path: ['etcd', 'members', index],
        message: `${JSON.stringify(name)} is not a host; hosts are ${names.join(', ')}`,
      });
    } else if (members.indexOf(name) !== index) {
      faults.push({ path: ['etcd', 'members', index], message: `${name} is named twice` });
    }
  });
  return faults;
}

function portFaults(file: InventoryFile): Fault[] {
  const { from, to } = file.ports;
  const path = ['ports'];
  if (to - from + 1 < portsPerTenant) {
    return [
      {
        path,
        at: 'key',
        message: `from ${from} to ${to} does not hold one block of ${portsPerTenant}, which each tenant takes`,
      },
    ];
  }
  const faults: Fault[] = [];
  if (from <= ephemeral.to && to >= ephemeral.from) {
    faults.push({
      path,
      at: 'key',
      message:
        `${from}-${to} overlaps ${ephemeral.from}-${ephemeral.to}, from which Linux takes ports for outgoing connections: ` +
        `a member could find its port taken`,
    });
  }
  const taken: [string, number][] = [
    ['ssh.port', file.ssh.port],
    ['door.port', file.door.port],
  ];
  if (file.etcd.external === undefined) {
    taken.push(['etcd.client_port', file.etcd.client_port ?? etcdPortDefaults.client]);
    taken.push(['etcd.peer_port', file.etcd.peer_port ?? etcdPortDefaults.peer]);
  }
  for (const [owner, number] of taken) {
    if (number >= from && number <= to) {
      faults.push({ path, at: 'key', message: `${from}-${to} holds ${number}, which is ${owner}` });
    }
  }
  return faults;
}

function doorFaults({ door, ssh, etcd }: InventoryFile): Fault[] {
  const own = etcd.external === undefined;
  const taken: [string, number][] = [
    ['ssh.port', ssh.port],
    ...(own ? [['etcd.client_port', etcd.client_port ?? etcdPortDefaults.client] as [string, number]] : []),
    ...(own ? [['etcd.peer_port', etcd.peer_port ?? etcdPortDefaults.peer] as [string, number]] : []),
  ];
  return taken
    .filter(([, number]) => number === door.port)
    .map(([owner]) => ({ path: ['door', 'port'], message: `${door.port} is ${owner} already` }));
}

function defaultFaults(file: InventoryFile): Fault[] {
  const { durability, rpo } = file.defaults;
  if (durability !== 'strict' || rpo === 0) return [];
  return [
    {
      path: ['defaults', 'durability'],
      message: `strict needs rpo 0, and rpo is ${rpo}: asynchronous commits never wait for a standby`,
    },
  ];
}

function notifyFaults({ notify }: InventoryFile): Fault[] {
  if (notify.webhook === undefined || notify.webhook_file === undefined) return [];
  return [{ path: ['notify', 'webhook_file'], at: 'key', message: 'cannot stand beside webhook: give one of the two' }];
}
