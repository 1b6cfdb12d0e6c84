// Who may reach a tenant through the front door. The entry enforces it, which alone sees a client's address. Pure.

import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { canonicalAddress } from '../inventory/names.js';

export interface Access {
  enabled: boolean;
  /** Networks that may come, in CIDR form, no two of which overlap; empty: everybody. Kept while access is disabled. */
  from: string[];
}

/** What a tenant has of whom nothing was said: the front door is closed. */
export const closedAccess: Access = { enabled: false, from: [] };

/** The form in pgs.yaml and in a spec. */
export const accessSchema = z.strictObject({
  enabled: z.boolean(),
  from: z
    .array(z.string())
    .superRefine((networks, context) => {
      for (const { index, message } of networkFaults(networks))
        context.addIssue({ code: 'custom', path: [index], message });
    })
    .transform((networks) => networks.map(withLength))
    .optional(),
});

/** What is wrong with which of the networks: not one, bits beyond its length, or another one that it overlaps. */
export function networkFaults(networks: string[]): { index: number; message: string }[] {
  return networks.flatMap((network, index) => {
    const fault = networkFault(network);
    if (fault !== null) return [{ index, message: `${JSON.stringify(network)} is refused: ${fault}` }];
    const other = networks.slice(0, index).find((one) => networkFault(one) === null && overlaps(one, network));
    if (other === undefined) return [];
    const how = withLength(other) === withLength(network) ? 'is there a second time' : `overlaps ${other}`;
    return [{ index, message: `${network} ${how}: give the larger network only` }];
  });
}

function networkFault(text: string): string | null {
  const [address = '', length, ...more] = text.split('/');
  const family = isIP(address);
  if (family === 0 || address.includes('%') || more.length > 0) return 'it is not a network such as 10.20.0.0/16';
  const bits = family === 4 ? 32 : 128;
  if (length !== undefined && (!/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > bits))
    return `its length must be from 0 to ${bits}`;
  const first = firstAddress(address, Number(length ?? bits));
  if (first !== canonicalAddress(address)) return `it has bits beyond its length; the network is ${first}/${length}`;
  return null;
}

/** One spelling of it: with its length, IPv6 in its short form. */
function withLength(network: string): string {
  const [address = '', length] = network.split('/');
  return `${canonicalAddress(address)}/${length ?? (isIP(address) === 4 ? 32 : 128)}`;
}

export function overlaps(a: string, b: string): boolean {
  return isInside(b.split('/')[0]!, [a]) || isInside(a.split('/')[0]!, [b]);
}

/** Whether an address is in one of the networks. An IPv6 network holds no IPv4 address. */
export function isInside(address: string, networks: string[]): boolean {
  const family = isIP(address);
  return networks.some((network) => {
    const [base = '', length] = withLength(network).split('/');
    if (isIP(base) !== family) return false;
    const list = new BlockList();
    list.addSubnet(base, Number(length), family === 4 ? 'ipv4' : 'ipv6');
    return list.check(address, family === 4 ? 'ipv4' : 'ipv6');
  });
}

/** As a map of HAProxy, where the longest network that holds an address decides: `open`, or why it is not. */
export function accessMap(access: Access = closedAccess): string {
  const everybody = ['0.0.0.0/0', '::/0'];
  if (!access.enabled) return lines(everybody, 'closed');
  if (access.from.length === 0) return lines(everybody, 'open');
  const rest = everybody.filter((network) => !access.from.includes(network));
  return `${lines(access.from, 'open')}${lines(rest, 'address')}`;
}

function lines(networks: string[], value: string): string {
  return networks.map((network) => `${network} ${value}\n`).join('');
}

export function describeAccess(access: Access | undefined): string {
  if (!access?.enabled) return 'closed';
  return access.from.length === 0 ? 'open' : access.from.join(' ');
}

function bytesOf(address: string): number[] {
  if (isIP(address) === 4) return address.split('.').map(Number);
  const [head = '', back] = canonicalAddress(address).split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const [left, right] = [groups(head), groups(back ?? '')];
  const zeros = back === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  return [...left, ...zeros, ...right].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

function firstAddress(address: string, length: number): string {
  const masked = bytesOf(address).map((byte, i) => {
    const kept = Math.min(8, Math.max(0, length - i * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  if (masked.length === 4) return masked.join('.');
  const groups = masked.flatMap((byte, i) => (i % 2 === 0 ? [((byte << 8) | masked[i + 1]!).toString(16)] : []));
  return canonicalAddress(groups.join(':'));
}
