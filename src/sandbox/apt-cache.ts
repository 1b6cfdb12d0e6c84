// The machines' way to the Debian mirrors: an apt-cacher-ng on the sandbox's bridge. They have no route to the outside,
// and what one of them has fetched is there for all others and for the next sandbox.

import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { PgsError } from '../errors.js';
import { cgroupPath, cgroupPopulated, createCgroup, killCgroup, removeCgroup } from './cgroup.js';
import { runLocalChecked, startDetached, waitUntil } from './local.js';
import { gatewayAddress } from './names.js';
import { cacheDirectory } from './paths.js';
import { processStartTicks } from './staging.js';
import type { Sandbox } from './state.js';

const port = 3142;
const cgroupMember = 'apt-cacher-ng';

/** Made by Debian's package; what machines can talk to shall not be root on this box. */
const user = 'apt-cacher-ng';

export function aptProxyUrl(sandbox: Sandbox): string {
  return `http://${gatewayAddress(sandbox.state.subnet)}:${port}`;
}

/** Starts it unless it runs, and waits until it answers. */
export async function ensureAptCache(sandbox: Sandbox): Promise<void> {
  const cgroup = cgroupPath(sandbox.name, cgroupMember);
  const address = gatewayAddress(sandbox.state.subnet);
  if (cgroupPopulated(cgroup) && (await answers(address))) return;
  await killCgroup(cgroup);
  const log = join(sandbox.paths.logs, 'apt-cacher-ng.log');
  // Two of them must not write the same files, so sandboxes that run at the same time have a cache each.
  for (const store of ['apt', 'apt-2', 'apt-3', 'apt-4', `apt-${sandbox.name}`]) {
    const directory = join(cacheDirectory(), store);
    mkdirSync(directory, { recursive: true });
    await writeConfiguration(sandbox, directory);
    for (const owned of [directory, sandbox.paths.aptCache]) await giveToAptCacher(owned);
    createCgroup(cgroup);
    const lock = ['flock', '--nonblock', '--no-fork', join(cacheDirectory(), `.${store}.lock`)];
    const asItsUser = ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--no-new-privs'];
    const pid = startDetached([...lock, ...asItsUser, 'apt-cacher-ng', '-c', sandbox.paths.aptCache], { cgroup, log });
    const ended = () => processStartTicks(pid) === null;
    const settled = await waitUntil(async () => ended() || (await answers(address)), 10_000);
    if (settled && !ended()) return;
    await killCgroup(cgroup);
  }
  throw new PgsError('command-failed', {
    doing: `starting the package cache of sandbox ${sandbox.name}`,
    found: `apt-cacher-ng does not answer on ${address}:${port}:\n${lastLines(log)}`,
    hint: `See ${log}; \`pgs sandbox down\` and \`up\` start afresh.`,
  });
}

export async function stopAptCache(sandbox: Sandbox): Promise<void> {
  const cgroup = cgroupPath(sandbox.name, cgroupMember);
  await killCgroup(cgroup);
  removeCgroup(cgroup);
}

async function writeConfiguration(sandbox: Sandbox, store: string): Promise<void> {
  await rm(sandbox.paths.aptCache, { recursive: true, force: true });
  await mkdir(sandbox.paths.aptCache, { recursive: true });
  await writeFile(join(sandbox.paths.aptCache, 'acng.conf'), renderAptCacheConfiguration(sandbox, store));
}

async function giveToAptCacher(directory: string): Promise<void> {
  const uid = (await runLocalChecked(`looking for the user ${user}`, ['id', '-u', user], { timeoutMs: 5_000 })).trim();
  if (statSync(directory).uid === Number(uid)) return;
  const argv = ['chown', '-R', `${user}:${user}`, directory];
  await runLocalChecked('giving the package cache its directory', argv, { timeoutMs: 60_000 });
}

/** @param store - directory of the cached files. */
export function renderAptCacheConfiguration(sandbox: Pick<Sandbox, 'paths' | 'state'>, store: string): string {
  const upstream = process.env.http_proxy ?? process.env.HTTP_PROXY;
  return `# Written by \`pgs sandbox up\`; the package cache of one sandbox.
CacheDir: ${store}
LogDir: ${sandbox.paths.aptCache}
SupportDir: /usr/lib/apt-cacher-ng
SocketPath: ${join(sandbox.paths.aptCache, 'socket')}
PidFile: ${join(sandbox.paths.aptCache, 'pid')}
BindAddress: ${gatewayAddress(sandbox.state.subnet)}
Port: ${port}
ForeGround: 1
# Old packages are what the next sandbox needs.
ExThreshold: 180
# PGDG is reached by TLS, which passes through uncached; nothing else does.
PassThroughPattern: ^apt\\.postgresql\\.org:443$
${upstream ? `Proxy: ${upstream}\n` : ''}`;
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port, timeout: 1000 });
    const end = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.on('connect', () => end(true));
    socket.on('timeout', () => end(false));
    socket.on('error', () => end(false));
  });
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').slice(-8).join('\n');
  } catch {
    return 'it logged nothing';
  }
}
