// Opens an ssh connection to a host that proved its key. What can go wrong on the way is told apart here, because each case
// has another way out: no route, nothing listening, a key that is unknown, a key that changed, a login that is refused.

import { readFile } from 'node:fs/promises';
import type { Client, ConnectConfig, ServerHostKeyAlgorithm } from 'ssh2';
import { PgsError, toPgsError } from '../errors.js';
import type { Host, SshSettings } from '../inventory/inventory.js';
import {
  findHostKeys,
  fingerprint,
  hostKeyAlgorithms,
  judgeHostKey,
  parseHostKeyBlob,
  type HostKey,
} from './known-hosts.js';

const connectTimeoutMs = 10_000;
/** A silent peer is given up after three of these. */
const keepaliveIntervalMs = 5_000;

/** @throws PgsError `unreachable`, or `configuration` when the operator's own key cannot be used */
export async function openConnection(host: Host, ssh: SshSettings): Promise<Client> {
  const knownHosts = await readKnownHosts(ssh);
  const known = knownKeys(knownHosts, host, ssh);
  const login = await readLogin(ssh);
  let refused: PgsError | undefined;
  // 0.05 s to load, which commands that go to no host do without.
  const { NodeSSH } = await import('node-ssh');
  const node = new NodeSSH();
  try {
    await node.connect({
      host: host.address,
      port: ssh.port,
      username: ssh.user,
      ...login,
      readyTimeout: connectTimeoutMs,
      keepaliveInterval: keepaliveIntervalMs,
      keepaliveCountMax: 3,
      // Asked for another kind of key than the known one, an honest host would look like an impostor.
      algorithms: { serverHostKey: hostKeyAlgorithms(known).filter(isSupported) },
      hostVerifier: (offered: Buffer) => {
        refused = judgeOffer(host, ssh, knownHosts, offered);
        return refused === undefined;
      },
    });
  } catch (thrown) {
    throw refused ?? connectError(host, ssh, thrown);
  }
  const client = node.connection!;
  // Without a listener, a connection that breaks later would end the process; whoever uses it sees it close.
  client.on('error', () => {});
  return client;
}

/** ssh2 throws at a kind that it does not know, such as that of a certificate or a security key. */
function isSupported(algorithm: string): algorithm is ServerHostKeyAlgorithm {
  return /^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|rsa-sha2-(256|512))$/.test(algorithm);
}

async function readKnownHosts(ssh: SshSettings): Promise<string> {
  return readFile(ssh.knownHostsPath, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw new PgsError('configuration', { doing: `reading ${ssh.knownHostsPath}`, found: error.message, cause: error });
  });
}

function knownKeys(knownHosts: string, host: Host, ssh: SshSettings): HostKey[] {
  const keys = findHostKeys(knownHosts, host.address, ssh.port);
  if (keys.length > 0) return keys;
  throw new PgsError('unreachable', {
    doing: 'connecting by ssh',
    host: host.name,
    found: `the host key of ${host.address} port ${ssh.port} is not in ${ssh.knownHostsPath}`,
    hint: `Run \`pgs host trust ${host.name}\` and compare the fingerprint it shows with the one on the machine.`,
  });
}

async function readLogin(ssh: SshSettings): Promise<Pick<ConnectConfig, 'agent'> | { privateKey: string }> {
  const doing = 'preparing the ssh login';
  if (ssh.keyPath === null) {
    const agent = process.env.SSH_AUTH_SOCK;
    if (agent) return { agent };
    throw new PgsError('configuration', {
      doing,
      found: 'pgs.yaml names no ssh key, and no ssh agent is running (SSH_AUTH_SOCK is not set)',
      hint: 'Set `key` under `ssh` in pgs.yaml, or start an agent and add your key: eval $(ssh-agent) && ssh-add',
    });
  }
  try {
    return { privateKey: await readFile(ssh.keyPath, 'utf8') };
  } catch (thrown) {
    throw new PgsError('configuration', {
      doing,
      found: `the key ${ssh.keyPath} cannot be read: ${messageOf(thrown)}`,
      hint: 'Set `key` under `ssh` in pgs.yaml to a private key that you may read.',
      cause: thrown,
    });
  }
}

/** Undefined if the host may be trusted. Never throws: it runs in the middle of the handshake. */
function judgeOffer(host: Host, ssh: SshSettings, knownHosts: string, offered: Buffer): PgsError | undefined {
  try {
    const shown = parseHostKeyBlob(offered);
    const verdict = judgeHostKey(knownHosts, host.address, ssh.port, shown);
    if (verdict === 'trusted') return undefined;
    if (verdict === 'revoked') return revokedKey(host, ssh, shown);
    return changedKey(host, ssh, findHostKeys(knownHosts, host.address, ssh.port), shown);
  } catch (thrown) {
    return toPgsError(thrown, 'checking a host key');
  }
}

function changedKey(host: Host, ssh: SshSettings, known: HostKey[], shown: HostKey): PgsError {
  return new PgsError('unreachable', {
    doing: 'connecting by ssh',
    host: host.name,
    found: [
      `${host.address} shows another host key than the known one: it was reinstalled, or somebody stands in between`,
      ...known.map((key) => `known:   ${fingerprint(key)} (${ssh.knownHostsPath})`),
      `offered: ${fingerprint(shown)}`,
    ].join('\n'),
    hint: `Only if you know why it changed: pgs host trust ${host.name} --replace`,
  });
}

function revokedKey(host: Host, ssh: SshSettings, shown: HostKey): PgsError {
  return new PgsError('unreachable', {
    doing: 'connecting by ssh',
    host: host.name,
    found: `${host.address} shows a host key that ${ssh.knownHostsPath} marks as revoked: ${fingerprint(shown)}`,
    hint: 'Give the host a new key, and find out who may hold the old one.',
  });
}

const failures: [RegExp, (where: string, host: Host, ssh: SshSettings) => { found: string; hint: string }][] = [
  [
    /authentication methods failed/i,
    (where, host, { user, port, keyPath }) => ({
      found: `${where} does not let ${user} in with ${keyPath ?? 'the keys of the ssh agent'}`,
      hint: `See that this works: ssh -p ${port} ${keyPath ? `-i ${keyPath} ` : ''}${user}@${host.address} true`,
    }),
  ],
  [
    /no matching host key|host key format/i,
    (where, host) => ({
      found: `${where} has no host key of the kind that is known of it`,
      hint: `If it was reinstalled: pgs host trust ${host.name} --replace`,
    }),
  ],
  [
    /ECONNREFUSED/,
    (where) => ({ found: `nothing listens on ${where}`, hint: 'See that sshd runs there, and the port in pgs.yaml.' }),
  ],
  [
    /EHOSTUNREACH|ENETUNREACH|EHOSTDOWN/,
    (where) => ({
      found: `nothing answers at ${where}: the network finds no such machine`,
      hint: 'See that the host is up, and its address in pgs.yaml is right.',
    }),
  ],
  [
    /ETIMEDOUT|timed out|No response/i,
    (where) => ({
      found: `no answer from ${where} within ${connectTimeoutMs / 1000} s`,
      hint: 'See that the host is up, its address in pgs.yaml is right, and no firewall is in between.',
    }),
  ],
  [
    /parse privateKey|passphrase|Encrypted/i,
    (_where, _host, { keyPath }) => ({
      found: `the key ${keyPath} cannot be used: it is damaged or needs a passphrase`,
      hint: `Add it to an agent (ssh-add ${keyPath}) and leave \`key\` out of pgs.yaml.`,
    }),
  ],
];

function connectError(host: Host, ssh: SshSettings, thrown: unknown): PgsError {
  const message = `${(thrown as NodeJS.ErrnoException).code ?? ''} ${messageOf(thrown)}`.trim();
  const where = `${host.address} port ${ssh.port}`;
  const about = failures.find(([pattern]) => pattern.test(message))?.[1](where, host, ssh);
  return new PgsError('unreachable', {
    doing: 'connecting by ssh',
    host: host.name,
    ...(about ?? { found: `${where}: ${message}`, hint: `See what this says: ssh -v -p ${ssh.port} ${host.address}` }),
    cause: thrown,
  });
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
