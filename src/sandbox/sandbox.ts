// Sandboxes as the command line and the tests see them: up, down, status and the power switch. Each can be run again at
// any time and ends in the same state, whatever an interrupted run left behind.

import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PgsError } from '../errors.js';
import { withFileLock } from '../operator-files.js';
import { randomBytes } from 'node:crypto';
import { ensureAptCache, stopAptCache } from './apt-cache.js';
import { ensureBase } from './base.js';
import { ensureConfig } from './config.js';
import { ensureLayer, type Preparation } from './layer.js';
import {
  answersSsh,
  isOn,
  refreshHostsFile,
  clearRemains,
  identityOf,
  startContainer,
  unmountRoot,
  unplugMachine,
  waitForSshd,
} from './machine.js';
import {
  bridgeName,
  checkSandboxName,
  hostAddress,
  hostNames,
  hostsMax,
  hostsMin,
  macFromBytes,
  type Release,
} from './names.js';
import { bridgeOwner, ensureBridge, findFreeSubnet, refuseForeignBridge, removeBridge } from './network.js';
import { cacheDirectory, machinePaths, sandboxPaths, sandboxRoot } from './paths.js';
import { checkBox } from './preconditions.js';
import { sweepStaging } from './staging.js';
import {
  findSandbox,
  loadSandbox,
  sandboxHost,
  saveSandbox,
  type MachineKind,
  type Sandbox,
  type SandboxHost,
} from './state.js';
import { ensureVmImage } from './vm-image.js';
import { startVm } from './vm.js';

export { sandboxConfigPath, sandboxName } from './paths.js';
export { loadSandbox, machineKinds, sandboxHost, type MachineKind, type Sandbox } from './state.js';
export type { Preparation } from './layer.js';

export interface SandboxOptions {
  name: string;
  /** Default: as many as it has, or 3. */
  hosts?: number;
  /** Default: what it has, or trixie. */
  release?: Release;
  /** Kinds of machines by host name, or of all; default: what it has, else containers. */
  machines?: MachineKind | Record<string, MachineKind>;
  progress: (line: string) => void;
}

/** The stable shape of `pgs sandbox status -o json`. */
export interface SandboxStatus {
  name: string;
  bridge: string;
  subnet: string;
  release: Release;
  /** Path of its pgs.yaml. */
  config: string;
  hosts: { name: string; kind: MachineKind; address: string; power: 'on' | 'off'; ssh: boolean }[];
}

const lockWaitMs = 30_000;

/**
 * Makes the sandbox, or repairs it, and starts every machine that is off.
 * @param preparation - makes bare machines fit; null leaves them bare.
 * @throws PgsError `unfit` if this box lacks something, `held` if another pgs works on the sandbox.
 */
export async function sandboxUp(options: SandboxOptions, preparation: Preparation | null): Promise<Sandbox> {
  checkSandboxName(options.name);
  checkHostCount(options.hosts);
  await checkBox(wantsVm(options));
  return withSandboxLock(options.name, async () => {
    const { progress } = options;
    const sandbox = await ensureState(options);
    await mkdir(sandbox.paths.logs, { recursive: true, mode: 0o700 });
    await ensureBridge(sandbox);
    await ensureAptCache(sandbox);
    await ensureConfig(sandbox);
    const layers = await ensureLayers(sandbox, preparation, progress);
    const off = sandbox.state.hosts.filter((host) => !isOn(sandbox, host));
    if (off.length > 0) progress(`starting ${off.map((host) => host.name).join(', ')}`);
    await Promise.all(sandbox.state.hosts.map((host) => refreshHostsFile(sandbox, host)));
    // One image for all: made before the machines start side by side, and the first of them leaves its state for the others.
    const [first, ...others] = off.filter(({ kind }) => kind === 'vm');
    if (first) await bringUp(sandbox, first, layers, progress);
    const rest = sandbox.state.hosts.filter(({ kind }) => kind === 'container').concat(others);
    await Promise.all(rest.map((host) => bringUp(sandbox, host, layers, progress)));
    await saveSandbox(sandbox);
    return sandbox;
  });
}

/** Removes everything that the sandbox consists of; the cache stays. Says nothing when there is none. */
export async function sandboxDown(name: string, progress: (line: string) => void): Promise<void> {
  checkSandboxName(name);
  if (!findSandbox(name)) return;
  await withSandboxLock(name, async () => {
    const sandbox = findSandbox(name);
    if (!sandbox) return;
    progress(`removing ${sandbox.state.hosts.map((host) => host.name).join(', ')}`);
    await Promise.all(sandbox.state.hosts.map((host) => unplugMachine(sandbox, host)));
    await stopAptCache(sandbox);
    for (const host of sandbox.state.hosts) await unmountRoot(machinePaths(sandbox.paths, host.name));
    if (bridgeOwner(sandbox) === 'foreign')
      progress(`leaving ${sandbox.state.bridge} alone: this sandbox did not make it`);
    await removeBridge(sandbox);
    await removeDirectory(sandbox);
  });
  await sweepLocks(name);
}

export async function sandboxStatus(sandbox: Sandbox): Promise<SandboxStatus> {
  const { name, paths, state } = sandbox;
  const hosts = state.hosts.map(async (host) => {
    const on = isOn(sandbox, host);
    return {
      name: host.name,
      kind: host.kind,
      address: host.address,
      power: on ? ('on' as const) : ('off' as const),
      ssh: on && (await answersSsh(host.address)),
    };
  });
  const { bridge, subnet, release } = state;
  return { name, bridge, subnet, release, config: paths.config, hosts: await Promise.all(hosts) };
}

/** Hard, as pulling the plug: the cable goes first, then every process at once. */
export async function powerOff(sandbox: Sandbox, host: string): Promise<void> {
  sandboxHost(sandbox, host);
  await changePower(sandbox, host, (current, machine) => unplugMachine(current, machine));
}

/** Starts the machine and waits until ssh answers. */
export async function powerOn(sandbox: Sandbox, host: string): Promise<void> {
  sandboxHost(sandbox, host);
  await changePower(sandbox, host, async (current, machine) => {
    const { layers } = current.state;
    if (layers === null) {
      throw new PgsError('unfit', {
        doing: 'switching the machine on',
        host,
        found: 'the sandbox was never completed',
        hint: 'Run `pgs sandbox up`.',
      });
    }
    await ensureBridge(current);
    await ensureAptCache(current);
    await bringUp(current, machine, layers, () => undefined);
  });
}

/** Arguments of an ssh to a machine, with its key verified. */
export function sshArguments(sandbox: Sandbox, host: string): string[] {
  const { address } = sandboxHost(sandbox, host);
  const options = [
    'IdentitiesOnly=yes',
    'StrictHostKeyChecking=yes',
    `UserKnownHostsFile=${sandbox.paths.knownHosts}`,
    'ConnectTimeout=15',
    // A machine that is reset says no goodbye: without these the command would wait for ever.
    'ServerAliveInterval=5',
    'ServerAliveCountMax=4',
    'LogLevel=ERROR',
  ];
  return [
    'ssh',
    '-F',
    'none',
    '-i',
    sandbox.paths.key,
    ...options.flatMap((option) => ['-o', option]),
    `root@${address}`,
  ];
}

/** The lock and a fresh look at the state: another pgs may have switched another machine since the caller's. */
async function changePower(
  sandbox: Sandbox,
  host: string,
  change: (current: Sandbox, machine: SandboxHost) => Promise<void>,
): Promise<void> {
  await withSandboxLock(sandbox.name, async () => {
    const current = loadSandbox(sandbox.name);
    await change(current, sandboxHost(current, host));
    Object.assign(sandbox.state, current.state);
  });
}

async function withSandboxLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  await mkdir(sandboxRoot(), { recursive: true, mode: 0o755 });
  return withFileLock(sandboxPaths(name).lock, work, lockWaitMs);
}

/** A pgs that is killed while it takes the lock leaves a file of some bytes; nobody needs it for longer than a moment. */
async function sweepLocks(name: string): Promise<void> {
  const files = (await readdir(sandboxRoot())).filter((file) => file.startsWith(`.${name}.lock.`));
  for (const path of files.map((file) => join(sandboxRoot(), file))) {
    const age = Date.now() - ((await stat(path).catch(() => null))?.mtimeMs ?? 0);
    if (age > 60_000) await rm(path, { force: true });
  }
}

async function bringUp(
  sandbox: Sandbox,
  host: SandboxHost,
  layers: string[],
  progress: (line: string) => void,
): Promise<void> {
  if (host.kind === 'vm') return bringUpVm(sandbox, host, layers, progress);
  await startContainer(sandbox, host, layers);
  await waitForSshd(sandbox, host);
  // While it boots, the machine's parent may still be a short-lived process of nspawn: noted again now that it runs.
  await startContainer(sandbox, host, layers);
}

async function bringUpVm(
  sandbox: Sandbox,
  host: SandboxHost,
  layers: string[],
  progress: (line: string) => void,
): Promise<void> {
  if (!isOn(sandbox, host)) {
    const image = await ensureVmImage(sandbox, cacheDirectory(), layers, progress);
    await clearRemains(sandbox, host);
    await startVm(sandbox, host, image, await identityOf(sandbox, host));
  }
  await waitForSshd(sandbox, host);
}

function wantsVm({ name, machines = {} }: SandboxOptions): boolean {
  const kinds = typeof machines === 'string' ? [machines] : Object.values(machines);
  return kinds.includes('vm') || (findSandbox(name)?.state.hosts.some(({ kind }) => kind === 'vm') ?? false);
}

/** The recorded state, with hosts added where more are wanted; it is on disk before anything is made. */
async function ensureState(options: SandboxOptions): Promise<Sandbox> {
  const sandbox = findSandbox(options.name) ?? (await beginSandbox(options));
  const { state } = sandbox;
  refuseForeignBridge(sandbox);
  if (options.release && options.release !== state.release) {
    throw mismatch(sandbox, `it runs Debian ${state.release}, not ${options.release}`);
  }
  const wanted = options.hosts ?? (state.hosts.length || hostsMin);
  if (wanted < state.hosts.length) throw mismatch(sandbox, `it has ${state.hosts.length} hosts, more than ${wanted}`);
  const kindOf = (name: string) => (typeof options.machines === 'string' ? options.machines : options.machines?.[name]);
  const stranger = Object.keys(typeof options.machines === 'object' ? options.machines : {}).find(
    (name) => !hostNames(wanted).includes(name),
  );
  if (stranger !== undefined) throw mismatch(sandbox, `--machines names ${stranger}, which it does not have`);
  for (const name of hostNames(wanted)) {
    const there = state.hosts.find((host) => host.name === name);
    const kind = kindOf(name) ?? there?.kind ?? 'container';
    if (there && there.kind !== kind) throw mismatch(sandbox, `its machine ${name} is a ${there.kind}, not a ${kind}`);
    if (there) continue;
    const address = hostAddress(state.subnet, name);
    state.hosts.push({ name, kind, address, veth: null, pid: null, pidStartTicks: null });
  }
  await saveSandbox(sandbox);
  return sandbox;
}

async function beginSandbox({ name, release = 'trixie' }: SandboxOptions): Promise<Sandbox> {
  const paths = sandboxPaths(name);
  const subnet = await findFreeSubnet(name);
  const bridgeMac = macFromBytes(randomBytes(6));
  return {
    name,
    paths,
    state: { version: 1, name, release, bridge: bridgeName(name), bridgeMac, subnet, layers: null, hosts: [] },
  };
}

function mismatch(sandbox: Sandbox, found: string): PgsError {
  return new PgsError('usage', {
    doing: `bringing up sandbox ${sandbox.name}`,
    found,
    hint: 'Run `pgs sandbox down` first, which removes its machines and their data, or choose another name with PGS_SANDBOX.',
  });
}

function checkHostCount(hosts: number | undefined): void {
  if (hosts === undefined || (Number.isInteger(hosts) && hosts >= hostsMin && hosts <= hostsMax)) return;
  throw new PgsError('usage', {
    doing: 'bringing up a sandbox',
    found: `${hosts} is no number of hosts for a sandbox`,
    hint: `Give a whole number from ${hostsMin} to ${hostsMax}.`,
  });
}

/** What the machines lie on. Once chosen it stays, because what they have written fits nothing else. */
async function ensureLayers(
  sandbox: Sandbox,
  preparation: Preparation | null,
  progress: (line: string) => void,
): Promise<string[]> {
  const cache = cacheDirectory();
  const recorded = sandbox.state.layers;
  const gone = recorded?.find((layer) => !existsSync(layer));
  if (recorded && !gone) return recorded;
  if (gone) throw mismatch(sandbox, `its machines lie on ${gone}, which is not there any more`);
  await mkdir(cache, { recursive: true });
  await sweepStaging(cache);
  const base = await ensureBase(cache, sandbox.state.release, progress);
  const layers = [base];
  if (preparation) layers.push(await ensureLayer(sandbox, cache, base, preparation, progress));
  sandbox.state.layers = layers;
  await saveSandbox(sandbox);
  return layers;
}

async function removeDirectory({ name, paths }: Sandbox): Promise<void> {
  const mounted = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${paths.directory}/`));
  if (mounted.length > 0) {
    throw new PgsError('held', {
      doing: `removing sandbox ${name}`,
      found: `something is still mounted there: ${mounted.join(', ')}`,
      hint: 'Unmount it and run `pgs sandbox down` again.',
    });
  }
  // The state goes last, so that an interrupted removal is finished by the next one.
  for (const path of [paths.machines, paths.aptCache, paths.logs, paths.operatorState, paths.config]) {
    await rm(path, { recursive: true, force: true });
  }
  await rm(paths.directory, { recursive: true, force: true });
}
