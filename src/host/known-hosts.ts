// OpenSSH's known_hosts as data: which keys a host is known by, and what a key that it showed means. Pure.
// The format is that of sshd(8), section SSH_KNOWN_HOSTS FILE FORMAT.

import { createHash, createHmac } from 'node:crypto';
import { PgsError } from '../errors.js';

export interface HostKey {
  /** Such as `ssh-ed25519`. */
  type: string;
  /** The public key blob in base64, as in known_hosts. */
  key: string;
}

export type HostKeyVerdict =
  /** The key is the known one. */
  | 'trusted'
  /** No key of the host is known. */
  | 'unknown'
  /** Other keys of the host are known, but not this one. */
  | 'changed'
  /** The file says that this key must not be trusted. */
  | 'revoked';

interface Entry {
  marker: string | null;
  patterns: string;
  hostKey: HostKey;
  lineIndex: number;
}

/** The keys by which a host is known, in the file's order; revoked ones and certificate authorities are left out. */
export function findHostKeys(text: string, address: string, port: number): HostKey[] {
  return entriesOf(text, address, port)
    .filter((entry) => entry.marker === null)
    .map((entry) => entry.hostKey);
}

/** What the known_hosts in `text` says of a key that the host showed. */
export function judgeHostKey(text: string, address: string, port: number, shown: HostKey): HostKeyVerdict {
  const entries = entriesOf(text, address, port);
  if (entries.some((entry) => entry.marker === '@revoked' && isSameKey(entry.hostKey, shown))) return 'revoked';
  const known = entries.filter((entry) => entry.marker === null);
  if (known.length === 0) return 'unknown';
  return known.some((entry) => isSameKey(entry.hostKey, shown)) ? 'trusted' : 'changed';
}

/** The text with the key added; the same text if it is there already. */
export function addHostKey(text: string, address: string, port: number, hostKey: HostKey): string {
  if (findHostKeys(text, address, port).some((known) => isSameKey(known, hostKey))) return text;
  const separator = text === '' || text.endsWith('\n') ? '' : '\n';
  return `${text}${separator}${hostPattern(address, port)} ${hostKey.type} ${hostKey.key}\n`;
}

/** The text without the host's own keys. An entry shared by several hosts loses only this one's name. */
export function removeHostKeys(text: string, address: string, port: number): string {
  const wanted = hostPattern(address, port);
  const lines = text.split('\n');
  for (const entry of entriesOf(text, address, port)) {
    if (entry.marker !== null) continue;
    const others = entry.patterns.startsWith('|') ? [] : entry.patterns.split(',').filter((name) => name !== wanted);
    const line = lines[entry.lineIndex]!;
    lines[entry.lineIndex] = others.length === 0 ? removedLine : line.replace(entry.patterns, () => others.join(','));
  }
  return lines.filter((line) => line !== removedLine).join('\n');
}

/** No line of a file can hold a line feed. */
const removedLine = '\n';

/** As `ssh-keygen -l` shows it: `SHA256:` and base64 without padding. */
export function fingerprint(hostKey: HostKey): string {
  const hash = createHash('sha256').update(Buffer.from(hostKey.key, 'base64')).digest('base64');
  return `SHA256:${hash.replace(/=+$/, '')}`;
}

/** A public key blob as an ssh client gets it from the server. */
export function parseHostKeyBlob(blob: Buffer): HostKey {
  const length = blob.length >= 4 ? blob.readUInt32BE(0) : 0;
  const type = blob.subarray(4, 4 + length).toString('latin1');
  if (length === 0 || length > 64 || type.length !== length || !/^[a-z0-9@.-]+$/i.test(type)) {
    throw new PgsError('unreachable', {
      doing: 'reading a host key',
      found: 'the server sent something that is no ssh public key',
      hint: 'Check that sshd listens on this address and port.',
    });
  }
  return { type, key: blob.toString('base64') };
}

/**
 * Signature algorithms to offer so that the server shows a key that is known; without them a server with several keys may
 * show one that is not. Empty if nothing is known.
 */
export function hostKeyAlgorithms(known: HostKey[]): string[] {
  const names = known.flatMap(({ type }) => (type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]));
  return [...new Set(names)];
}

export interface HostPlace {
  name: string;
  address: string;
  port: number;
}

/** The error for a host that shows another key than the one it is known by. */
export function changedHostKeyError(
  host: HostPlace,
  knownHostsPath: string,
  known: HostKey[],
  shown: HostKey[],
): PgsError {
  const list = (keys: HostKey[]) => keys.map((key) => `${key.type} ${fingerprint(key)}`).join('\n  ');
  return new PgsError('unreachable', {
    doing: 'verifying the ssh host key',
    host: host.name,
    found:
      `${hostPattern(host.address, host.port)} shows another key than the one in ${knownHostsPath}: the machine was ` +
      `reinstalled, or somebody answers in its place\nknown:\n  ${list(known)}\nshown:\n  ${list(shown)}`,
    hint:
      `Compare with \`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\` on the machine's own console. ` +
      `Only if it is the same: pgs host trust ${host.name} --replace`,
  });
}

/** The error for a host of which no key is known. */
export function unknownHostKeyError(host: HostPlace, knownHostsPath: string): PgsError {
  return new PgsError('unreachable', {
    doing: 'verifying the ssh host key',
    host: host.name,
    found: `${knownHostsPath} has no key of ${hostPattern(host.address, host.port)}`,
    hint: `Look at its fingerprints and trust them: pgs host trust ${host.name}`,
  });
}

/** The name under which OpenSSH keeps a host: the address alone on port 22, else `[address]:port`. */
export function hostPattern(address: string, port: number): string {
  return port === 22 ? address : `[${address}]:${port}`;
}

function isSameKey(a: HostKey, b: HostKey): boolean {
  return a.type === b.type && a.key === b.key;
}

function entriesOf(text: string, address: string, port: number): Entry[] {
  const name = hostPattern(address, port);
  return text.split('\n').flatMap((line, lineIndex): Entry[] => {
    const words = line.trim().split(/\s+/);
    if (words[0] === '' || words[0]!.startsWith('#')) return [];
    const marker = words[0]!.startsWith('@') ? words.shift()! : null;
    const [patterns, type, key] = words;
    if (patterns === undefined || type === undefined || key === undefined || !matches(patterns, name)) return [];
    return [{ marker, patterns, hostKey: { type, key }, lineIndex }];
  });
}

function matches(patterns: string, name: string): boolean {
  if (patterns.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = patterns.split('|');
    return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash;
  }
  const list = patterns.split(',');
  if (list.some((pattern) => pattern.startsWith('!') && globMatches(pattern.slice(1), name))) return false;
  return list.some((pattern) => !pattern.startsWith('!') && globMatches(pattern, name));
}

/** `*` and `?` as in OpenSSH; brackets stand for themselves. Linear in both lengths per star, so no input makes it slow. */
function globMatches(pattern: string, name: string): boolean {
  let [at, inPattern, star, retry] = [0, 0, -1, 0];
  while (at < name.length) {
    if (pattern[inPattern] === '*') [star, retry, inPattern] = [inPattern, at, inPattern + 1];
    else if (inPattern < pattern.length && (pattern[inPattern] === '?' || pattern[inPattern] === name[at]))
      [at, inPattern] = [at + 1, inPattern + 1];
    else if (star >= 0) [retry, at, inPattern] = [retry + 1, retry + 1, star + 1];
    else return false;
  }
  return /^\**$/.test(pattern.slice(inPattern));
}
