// The names and addresses of a sandbox: everything is derived from its name and its subnet, so that a rerun finds what an
// interrupted run had begun.

import { createHash } from 'node:crypto';
import { PgsError } from '../errors.js';

/** A fleet of its own has no fewer: etcd keeps a majority through the loss of one member only if it has three. */
export const hostsMin = 3;

/** Most hosts of one sandbox; the addresses .11 to .60 of its subnet. */
export const hostsMax = 50;

export const releases = ['trixie', 'bookworm'] as const;
export type Release = (typeof releases)[number];

/** All sandboxes share this /16; each has one /24 of it. */
const block = '10.213';

/** Longest name of a network interface in Linux (IFNAMSIZ - 1). */
const interfaceNameMax = 15;

/**
 * The name if it can name a sandbox, its bridge and its cgroup.
 * @throws PgsError `usage`
 */
export function checkSandboxName(name: string): string {
  if (/^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/.test(name)) return name;
  throw new PgsError('usage', {
    doing: 'naming the sandbox',
    found: `${JSON.stringify(name)} is no name for a sandbox`,
    hint: 'Use lower-case letters, digits and dashes, at most 32, beginning with a letter (see PGS_SANDBOX).',
  });
}

export function hostNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `h${index + 1}`);
}

/** `pgs-<name>` where that fits an interface name, else a hash of it. */
export function bridgeName(name: string): string {
  const plain = `pgs-${name}`;
  return plain.length <= interfaceNameMax ? plain : `pgs-${digest(name).slice(0, interfaceNameMax - 4)}`;
}

/** Name under which systemd-nspawn runs a machine; unique on this box. */
export function machineName(sandbox: string, host: string): string {
  return `pgs-${sandbox}-${host}`;
}

/** This box's end of a virtual machine's cable. */
export function tapName(sandbox: string, host: string): string {
  return `pgv-${digest(`${sandbox}/${host}`).slice(0, interfaceNameMax - 4)}`;
}

/** A virtual machine's own MAC address. */
export function vmMac(sandbox: string, host: string): string {
  return macFromBytes(Buffer.from(digest(`${sandbox}/${host}`), 'hex'));
}

/** Address of the bridge: the sandbox's side of this box. */
export function gatewayAddress(subnet: string): string {
  return `${prefix(subnet)}.1`;
}

/** `h1` is .11, `h2` is .12. */
export function hostAddress(subnet: string, host: string): string {
  return `${prefix(subnet)}.${10 + Number(host.slice(1))}`;
}

/** A locally administered unicast MAC address. It is recorded before the bridge is made, and says later whose the bridge is. */
export function macFromBytes(bytes: Uint8Array): string {
  const octets = [...bytes.slice(0, 6)];
  octets[0] = ((octets[0] ?? 0) & 0xfc) | 0x02;
  return octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}

/**
 * A /24 of 10.213.0.0/16 that overlaps none of `taken` (CIDR or bare addresses, IPv4). Where the search begins depends on
 * the name, so that a sandbox gets the same subnet again where possible; null when all are taken.
 */
export function chooseSubnet(name: string, taken: string[]): string | null {
  const first = parseInt(digest(name).slice(0, 8), 16) % 256;
  const ranges = taken.flatMap(rangeOf);
  for (let step = 0; step < 256; step++) {
    const subnet = `${block}.${(first + step) % 256}.0/24`;
    const [candidate] = rangeOf(subnet);
    if (candidate && !ranges.some((range) => range.first <= candidate.last && candidate.first <= range.last))
      return subnet;
  }
  return null;
}

/** First 12 hex digits of a hash over everything given, for names in the cache. */
export function cacheKey(...parts: unknown[]): string {
  return digest(JSON.stringify(parts)).slice(0, 12);
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function prefix(subnet: string): string {
  return subnet.split('.').slice(0, 3).join('.');
}

function rangeOf(cidr: string): { first: number; last: number }[] {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)(?:\/(\d+))?$/.exec(cidr);
  if (!match) return [];
  const bits = Number(match[5] ?? 32);
  const address = match.slice(1, 5).reduce((sum, octet) => sum * 256 + Number(octet), 0);
  const size = 2 ** (32 - bits);
  const first = Math.floor(address / size) * size;
  return [{ first, last: first + size - 1 }];
}
