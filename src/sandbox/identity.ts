// What makes a machine this machine and no other: its name, address, keys and ids, as files of its root directory. The
// list of them also says what a prepared layer must not contain.

import { gatewayAddress } from './names.js';

export interface MachineIdentity {
  name: string;
  address: string;
  subnet: string;
  /** 32 hexadecimal digits */
  machineId: string;
  /** OpenSSH private key and its public line. */
  hostKey: { private: string; public: string };
  /** Public line of the key that may log in as root. */
  authorizedKey: string;
  peers: { name: string; address: string }[];
  /** `http://address:port` through which apt reaches the mirrors; there is no other way out. */
  aptProxy: string;
  /** Of a virtual machine: begun from a saved state, its card has the address of another. */
  macAddress?: string;
}

export interface MachineFile {
  path: string;
  content: string;
  mode: number;
}

/** Files that belong to one machine; never part of a layer that others share. */
export function machineFiles(identity: MachineIdentity): MachineFile[] {
  return [
    { path: '/etc/hostname', content: `${identity.name}\n`, mode: 0o644 },
    { path: '/etc/machine-id', content: `${identity.machineId}\n`, mode: 0o444 },
    { path: '/etc/hosts', content: renderHosts(identity.peers), mode: 0o644 },
    { path: networkFile, content: renderNetwork(identity), mode: 0o644 },
    { path: hostKeyFile, content: identity.hostKey.private, mode: 0o600 },
    { path: `${hostKeyFile}.pub`, content: identity.hostKey.public, mode: 0o644 },
    { path: '/root/.ssh/authorized_keys', content: `${identity.authorizedKey.trim()}\n`, mode: 0o600 },
    { path: aptProxyFile, content: `Acquire::http::Proxy "${identity.aptProxy}";\n`, mode: 0o644 },
  ];
}

export const hostKeyFile = '/etc/ssh/ssh_host_ed25519_key';
const networkFile = '/etc/systemd/network/10-pgs-sandbox.network';
const aptProxyFile = '/etc/apt/apt.conf.d/00pgs-sandbox-proxy';

/** What a machine has that no other may have, and what it wrote about itself while it ran. */
export const identityPaths = [
  '/etc/hostname',
  '/etc/machine-id',
  '/etc/hosts',
  networkFile,
  hostKeyFile,
  `${hostKeyFile}.pub`,
  '/root/.ssh',
  '/root/.bash_history',
  aptProxyFile,
  '/run',
  '/tmp',
  '/var/tmp',
  '/var/log/journal',
  '/var/log/wtmp.db',
  '/var/lib/systemd/random-seed',
  '/var/lib/systemd/timers',
  '/var/lib/dbus/machine-id',
  // Not an identity, but a hundred megabytes that the sandbox's package cache has anyway.
  '/var/cache/apt',
];

export function renderHosts(peers: { name: string; address: string }[]): string {
  const lines = [
    '127.0.0.1 localhost',
    '::1 localhost ip6-localhost',
    ...peers.map((peer) => `${peer.address} ${peer.name}`),
  ];
  return `${lines.join('\n')}\n`;
}

function renderNetwork({ address, subnet, macAddress }: MachineIdentity): string {
  return `# The sandbox's only network. There is no gateway: ${gatewayAddress(subnet)} is reached, and nothing behind it.
[Match]
Name=host0
${
  macAddress === undefined
    ? ''
    : `
[Link]
MACAddress=${macAddress}
`
}
[Network]
Address=${address}/24
DHCP=no
LinkLocalAddressing=no
IPv6AcceptRA=no
`;
}

/** known_hosts lines of the machines; pgs made the keys, so nothing has to be trusted on first use. */
export function renderKnownHosts(machines: { address: string; publicKey: string }[]): string {
  return machines
    .map(({ address, publicKey }) => `${address} ${publicKey.trim().split(' ').slice(0, 2).join(' ')}\n`)
    .join('');
}
