// Trust on first use, the only place where it happens: the keys that hosts show are put before a person and, if
// confirmed, into the fleet's known_hosts.

import { dirname } from 'node:path';
import { Client } from 'ssh2';
import { PgsError, PgsErrors, toPgsError } from '../errors.js';
import type { Inventory } from '../inventory/inventory.js';
import { ensurePrivateDirectory, readFileIfPresent, withFileLock, writeFileAtomically } from '../operator-files.js';
import {
  addHostKey,
  changedHostKeyError,
  findHostKeys,
  fingerprint,
  hostKeyAlgorithms,
  judgeHostKey,
  parseHostKeyBlob,
  removeHostKeys,
  type HostKey,
  type HostPlace,
} from './known-hosts.js';

export interface TrustProposal extends HostPlace {
  /** Keys that would be written, with the fingerprints to compare. */
  keys: { type: string; fingerprint: string }[];
  /** Fingerprints that would be forgotten; empty for a host that is new. */
  replaces: string[];
}

export interface TrustOutcome {
  host: string;
  outcome: 'already-trusted' | 'added' | 'replaced' | 'declined';
  keys: { type: string; fingerprint: string }[];
}

export interface TrustOptions {
  /** Asks the person, one host at a time. `--yes` is `async () => true`. */
  confirm: (proposal: TrustProposal) => Promise<boolean>;
  /** A host with another key than the known one is proposed as well, instead of being an error. */
  replace?: boolean;
  /** Per connection. */
  timeoutMs?: number;
  /** Stands in for the network in tests. */
  scan?: typeof scanHostKeys;
}

/**
 * Makes the named hosts (all if the list is empty) known. Hosts that are known already cost nothing but the look.
 * @throws PgsError `unreachable` per host that does not answer, or shows a changed key without `replace`; the other hosts
 * are dealt with first.
 */
export async function trustHosts(
  inventory: Inventory,
  names: string[],
  options: TrustOptions,
): Promise<TrustOutcome[]> {
  const scan = options.scan ?? scanHostKeys;
  const places = placesOf(inventory, names);
  const scans = await Promise.allSettled(places.map((place) => scan(place, options.timeoutMs ?? 10_000)));
  const outcomes: TrustOutcome[] = [];
  const errors: PgsError[] = [];
  for (const [index, place] of places.entries()) {
    const scanned = scans[index]!;
    try {
      if (scanned.status === 'rejected') throw scanned.reason;
      outcomes.push(await trustKeys(inventory.ssh.knownHostsPath, place, scanned.value, options));
    } catch (thrown) {
      errors.push(toPgsError(thrown, 'trusting a host'));
    }
  }
  if (errors.length === 1) throw errors[0]!;
  if (errors.length > 1) throw new PgsErrors('trusting hosts', errors);
  return outcomes;
}

function placesOf(inventory: Inventory, names: string[]): HostPlace[] {
  const unknown = names.filter((name) => !inventory.hosts.some((host) => host.name === name));
  if (unknown.length > 0) {
    throw new PgsError('usage', {
      doing: 'choosing hosts to trust',
      found: `${unknown.map((name) => JSON.stringify(name)).join(', ')} not in ${inventory.path}`,
      hint: `Hosts of this fleet are ${inventory.hosts.map((host) => host.name).join(', ')}.`,
    });
  }
  return inventory.hosts
    .filter((host) => names.length === 0 || names.includes(host.name))
    .map((host) => ({ name: host.name, address: host.address, port: inventory.ssh.port }));
}

async function trustKeys(
  path: string,
  place: HostPlace,
  shown: HostKey[],
  options: TrustOptions,
): Promise<TrustOutcome> {
  const { name, address, port } = place;
  const text = (await readFileIfPresent(path, 'reading known hosts')) ?? '';
  const keys = shown.map((key) => ({ type: key.type, fingerprint: fingerprint(key) }));
  const verdicts = shown.map((key) => judgeHostKey(text, address, port, key));
  if (verdicts.includes('revoked')) throw revokedError(place, path);
  if (verdicts.every((verdict) => verdict === 'trusted')) return { host: name, outcome: 'already-trusted', keys };
  const known = findHostKeys(text, address, port);
  // A new kind of key beside a known one is an addition; the same kind with another key is a change.
  const changed = known.filter((old) => shown.some((key) => key.type === old.type && key.key !== old.key));
  const differs = changed.length > 0 || (known.length > 0 && !verdicts.includes('trusted'));
  if (differs && options.replace !== true) throw changedHostKeyError(place, path, known, shown);
  const proposal = { ...place, keys, replaces: differs ? known.map(fingerprint) : [] };
  if (!(await options.confirm(proposal))) return { host: name, outcome: 'declined', keys };
  await ensurePrivateDirectory(dirname(path));
  await withFileLock(path, async () => {
    const current = (await readFileIfPresent(path, 'reading known hosts')) ?? '';
    const kept = differs ? removeHostKeys(current, address, port) : current;
    const next = shown.reduce((content, key) => addHostKey(content, address, port, key), kept);
    await writeFileAtomically(path, next, 0o644);
  });
  return { host: name, outcome: differs ? 'replaced' : 'added', keys };
}

function revokedError(place: HostPlace, path: string): PgsError {
  return new PgsError('unreachable', {
    doing: 'verifying the ssh host key',
    host: place.name,
    found: `${path} says @revoked for the key that ${place.address} shows`,
    hint: 'Give the host new keys (`ssh-keygen -A` after removing the old ones), then trust it again.',
  });
}

/** Kinds of keys that are asked for, best first. sshd shows one a connection. */
const keyTypes = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ssh-rsa'];

/**
 * The host keys that a machine shows, without logging in. The kinds are asked one after the other and each is one
 * connection: newer sshd (9.8) slows down addresses that come often without logging in.
 * @throws PgsError `unreachable`
 */
export async function scanHostKeys(place: HostPlace, timeoutMs: number): Promise<HostKey[]> {
  const keys: HostKey[] = [];
  for (const type of keyTypes) {
    const key = await scanHostKey(place, hostKeyAlgorithms([{ type, key: '' }]), timeoutMs);
    if (key !== null) keys.push(key);
  }
  if (keys.length > 0) return keys;
  throw unreachable(place, `sshd has no host key of the kinds ${keyTypes.join(', ')}`);
}

/** Null if the server has no key for these algorithms. */
async function scanHostKey(place: HostPlace, algorithms: string[], timeoutMs: number): Promise<HostKey | null> {
  const client = new Client();
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<HostKey | null>((resolve, reject) => {
      const fail = (found: string) => reject(unreachable(place, found));
      timer = setTimeout(() => fail(`no host key after ${timeoutMs} ms`), timeoutMs);
      client.on('error', ({ message }: Error) => (/no matching/i.test(message) ? resolve(null) : fail(message)));
      client.on('close', () => fail('the connection was closed before a host key was shown'));
      client.connect({
        host: place.address,
        port: place.port,
        username: 'pgs-key-scan',
        readyTimeout: timeoutMs,
        algorithms: { serverHostKey: algorithms as never },
        hostVerifier: (blob: Buffer) => {
          try {
            resolve(parseHostKeyBlob(blob));
          } catch (thrown) {
            reject(toPgsError(thrown));
          }
          return false; // ends the connection before anything is sent that needs trust
        },
      });
    });
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
}

function unreachable(place: HostPlace, found: string): PgsError {
  return new PgsError('unreachable', {
    doing: 'asking for the ssh host key',
    host: place.name,
    found: `${place.address} port ${place.port}: ${found}`,
    hint: 'Check that the machine is up, the address in pgs.yaml is right, and sshd listens on ssh.port.',
  });
}
