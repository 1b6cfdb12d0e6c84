// One machine: its root directory, its start, and its end by a pulled plug or a clean shutdown.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { chmod, mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { dirname, join } from 'node:path';
import { PgsError } from '../errors.js';
import { aptProxyUrl } from './apt-cache.js';
import { cgroupPath, cgroupPopulated, cgroupProcesses, createCgroup, killCgroup, removeCgroup } from './cgroup.js';
import { identityPaths, machineFiles, renderHosts, type MachineFile } from './identity.js';
import { ensureKeyPair, type KeyPair } from './keys.js';
import { runLocal, runLocalChecked, startDetached, waitUntil } from './local.js';
import { machineName, vmMac } from './names.js';
import { cutCable, findCable, removeCable } from './network.js';
import { machinePaths, type MachinePaths } from './paths.js';
import { processStartTicks } from './staging.js';
import { saveSandbox, type Sandbox, type SandboxHost } from './state.js';

const mountTimeoutMs = 20_000;

/** From the start of nspawn to sshd's greeting; it takes about 2 s on an idle box. */
const bootTimeoutMs = { container: 90_000, vm: 240_000 };

export function isOn(sandbox: Sandbox, host: SandboxHost): boolean {
  return cgroupPopulated(cgroupPath(sandbox.name, host.name));
}

/** The machine's own host key, made when it is first asked for. */
export function hostKey(sandbox: Sandbox, host: SandboxHost): Promise<KeyPair> {
  return ensureKeyPair(join(machinePaths(sandbox.paths, host.name).directory, 'host_key'), host.name);
}

/** Tells a machine of those that joined after it; one that is off learns it when it starts. */
export async function refreshHostsFile(sandbox: Sandbox, host: SandboxHost): Promise<void> {
  const path = join(machinePaths(sandbox.paths, host.name).root, 'etc/hosts');
  const content = renderHosts(sandbox.state.hosts);
  // A virtual machine's files cannot be reached from here; it has those that it was told of when it was made.
  if (host.kind === 'vm' || !isOn(sandbox, host) || readFileSync(path, 'utf8') === content) return;
  await writeFile(path, content);
}

/** Starts a container unless it runs. Waits until it is known by its cable, not until it answers. */
export async function startContainer(sandbox: Sandbox, host: SandboxHost, layers: string[]): Promise<void> {
  if (isOn(sandbox, host)) return recordProcess(sandbox, host, null);
  const paths = machinePaths(sandbox.paths, host.name);
  await clearRemains(sandbox, host);
  await mountRoot(paths, layers);
  await writeIdentity(sandbox, host, paths);
  const cgroup = cgroupPath(sandbox.name, host.name);
  await mkdir(sandbox.paths.logs, { recursive: true, mode: 0o700 });
  const power = join(cgroup, 'power');
  createCgroup(power);
  const pid = startDetached(['/bin/sh', '-c', powerLoop, 'sh', cgroup, ...nspawnArguments(sandbox, host, paths)], {
    cgroup: power,
    log: paths.log,
    // systemd 257 does not start on version 1 cgroups, which nspawn would pass on from a "hybrid" box.
    env: { SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
  });
  await recordProcess(sandbox, host, pid);
}

/**
 * nspawn ends with 133 when its machine reboots, and is then started again. It needs a fresh cgroup without processes
 * beside it, or it could not give the machine its controllers.
 */
const powerLoop = `
cgroup=$1; shift; code=133
while [ "$code" = 133 ]; do
  [ ! -d "$cgroup/run" ] || find "$cgroup/run" -depth -type d -exec rmdir {} +
  mkdir "$cgroup/run"
  /bin/sh -c 'echo $$ >"$1/run/cgroup.procs" && shift && exec "$@"' sh "$cgroup" "$@"
  code=$?
done
exit "$code"`;

function nspawnArguments(sandbox: Sandbox, host: SandboxHost, paths: MachinePaths): string[] {
  return [
    'systemd-nspawn',
    '--quiet',
    '--boot',
    `--directory=${paths.root}`,
    `--machine=${machineName(sandbox.name, host.name)}`,
    `--hostname=${host.name}`,
    `--network-bridge=${sandbox.state.bridge}`,
    '--register=no',
    '--keep-unit',
    '--console=passive',
    '--resolv-conf=off',
    '--timezone=off',
    '--link-journal=no',
    'systemd.show_status=error',
  ];
}

/** Notes process and cable of a machine that runs, or whose start is the process `starting`. */
async function recordProcess(sandbox: Sandbox, host: SandboxHost, starting: number | null): Promise<void> {
  const { log } = machinePaths(sandbox.paths, host.name);
  const found = await waitUntil(async () => {
    if (!isOn(sandbox, host)) return starting === null || processStartTicks(starting) === null;
    return describeProcess(sandbox, host);
  }, 20_000);
  if (!found || !isOn(sandbox, host)) {
    throw new PgsError('command-failed', {
      doing: 'starting the machine',
      host: host.name,
      found: `systemd-nspawn ${found ? 'ended' : 'has given it no network'}:\n${lastLines(log)}`,
      hint: `See ${log}.`,
    });
  }
  await saveSandbox(sandbox);
}

/** Notes the machine's process and cable; false while it has none. */
async function describeProcess(sandbox: Sandbox, host: SandboxHost): Promise<boolean> {
  const processes = cgroupProcesses(cgroupPath(sandbox.name, host.name));
  const leader = processes.find((pid) => /^NSpid:\t\d+\t1$/m.test(readProc(pid, 'status')));
  const nspawn = leader === undefined ? undefined : parentOf(leader);
  if (nspawn === undefined || leader === undefined) return false;
  host.pid = nspawn;
  host.pidStartTicks = processStartTicks(nspawn);
  host.veth = await findCable(sandbox, leader);
  return host.veth !== null;
}

/**
 * Pulls the plug. The cable goes first: a dying machine would send FINs and resets, which one without power does not.
 * What the machine wrote without fsync survives, unlike on hardware: this box's own page cache stays.
 */
export async function unplugMachine(sandbox: Sandbox, host: SandboxHost): Promise<void> {
  const cgroup = cgroupPath(sandbox.name, host.name);
  if (isOn(sandbox, host) && host.kind === 'container' && host.veth === null) await describeProcess(sandbox, host);
  if (host.veth) await cutCable(sandbox, host.veth);
  if (!(await killCgroup(cgroup))) {
    throw new PgsError('unknown-result', {
      doing: 'pulling the plug',
      host: host.name,
      found: `processes ${cgroupProcesses(cgroup).join(', ')} outlived SIGKILL for 10 s`,
      hint: 'They wait for the kernel, most likely for the disk. Run it again.',
    });
  }
  await clearRemains(sandbox, host);
  host.pid = host.pidStartTicks = null;
  await saveSandbox(sandbox);
}

/** Shuts the machine down as its own `poweroff` would, and waits for the end. */
export async function shutDownMachine(sandbox: Sandbox, host: SandboxHost): Promise<void> {
  if (isOn(sandbox, host) && (await describeProcess(sandbox, host)) && host.pid !== null) {
    process.kill(host.pid, 'SIGTERM'); // nspawn passes it on as systemd's "power off"
    await waitUntil(() => !isOn(sandbox, host), 60_000);
  }
  await unplugMachine(sandbox, host);
}

/** Cable and cgroup of a machine that does not run any more, and what its nspawn had no chance to clear away. */
export async function clearRemains(sandbox: Sandbox, host: SandboxHost): Promise<void> {
  if (host.veth) await removeCable(sandbox, host.veth);
  host.veth = null;
  for (const kind of ['propagate', 'unix-export']) {
    const left = join('/run/systemd/nspawn', kind, machineName(sandbox.name, host.name));
    // A newer nspawn mounts the second one, and refuses to start a machine for which it is mounted.
    if (isMountPoint(left)) await runLocal(['umount', '--lazy', left], { timeoutMs: mountTimeoutMs });
    await rmdir(left).catch(() => undefined);
  }
  removeCgroup(cgroupPath(sandbox.name, host.name));
}

/** Waits for sshd's greeting. */
export async function waitForSshd(sandbox: Sandbox, host: SandboxHost): Promise<void> {
  const ready = () => !isOn(sandbox, host) || answersSsh(host.address);
  const limitMs = bootTimeoutMs[host.kind];
  if ((await waitUntil(ready, limitMs)) && isOn(sandbox, host)) return;
  const { log } = machinePaths(sandbox.paths, host.name);
  throw new PgsError('unreachable', {
    doing: 'waiting for ssh',
    host: host.name,
    found: isOn(sandbox, host)
      ? `no answer on ${host.address}:22 in ${limitMs / 1000} s`
      : `the machine ended:\n${lastLines(log)}`,
    hint: `See ${log}.`,
  });
}

export function answersSsh(address: string, timeoutMs = 1000): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: address, port: 22 });
    const end = (result: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(result);
    };
    const timer = setTimeout(() => end(false), timeoutMs);
    socket.on('data', (greeting) => end(greeting.toString('latin1').startsWith('SSH-')));
    socket.on('error', () => end(false));
    socket.on('close', () => end(false));
  });
}

/** Puts the machine's root directory together: what it writes, over what all machines share. */
export async function mountRoot(paths: MachinePaths, layers: string[]): Promise<void> {
  if (isMountPoint(paths.root)) return;
  for (const directory of [paths.upper, paths.work, paths.root]) await mkdir(directory, { recursive: true });
  const lower = [...layers].reverse().join(':');
  const options = `lowerdir=${lower},upperdir=${paths.upper},workdir=${paths.work}`;
  const argv = ['mount', '-t', 'overlay', 'overlay', '-o', options, paths.root];
  const { code, stderr } = await runLocal(argv, { timeoutMs: mountTimeoutMs });
  if (code === 0) return;
  throw new PgsError('unfit', {
    doing: `mounting ${paths.root}`,
    found: stderr.trim(),
    hint: 'The sandbox needs overlayfs on a file system such as ext4, xfs or btrfs; point PGS_SANDBOX_ROOT and PGS_CACHE to one.',
  });
}

export async function unmountRoot(paths: MachinePaths): Promise<void> {
  while (isMountPoint(paths.root)) {
    await runLocalChecked(`unmounting ${paths.root}`, ['umount', paths.root], { timeoutMs: mountTimeoutMs });
  }
}

function isMountPoint(path: string): boolean {
  if (!existsSync(path)) return false;
  return statSync(path).dev !== statSync(dirname(path)).dev;
}

/** The files that make it this machine. */
export async function identityOf(
  sandbox: Sandbox,
  host: SandboxHost,
  machineId: string | null = null,
): Promise<MachineFile[]> {
  const { public: authorizedKey } = await ensureKeyPair(sandbox.paths.key, `pgs sandbox ${sandbox.name}`);
  return machineFiles({
    name: host.name,
    address: host.address,
    subnet: sandbox.state.subnet,
    machineId: machineId ?? randomBytes(16).toString('hex'),
    hostKey: await hostKey(sandbox, host),
    authorizedKey,
    peers: sandbox.state.hosts,
    aptProxy: aptProxyUrl(sandbox),
    ...(host.kind === 'vm' ? { macAddress: vmMac(sandbox.name, host.name) } : {}),
  });
}

async function writeIdentity(sandbox: Sandbox, host: SandboxHost, paths: MachinePaths): Promise<void> {
  const files = await identityOf(sandbox, host, knownMachineId(paths));
  await mkdir(join(paths.root, 'root/.ssh'), { recursive: true, mode: 0o700 });
  for (const file of files) {
    const path = join(paths.root, file.path);
    await mkdir(dirname(path), { recursive: true });
    await rm(path, { force: true });
    await writeFile(path, file.content, { mode: file.mode });
    await chmod(path, file.mode);
  }
}

/** A machine keeps its id through power cuts; a copied or empty one is none. */
function knownMachineId(paths: MachinePaths): string | null {
  try {
    const id = readFileSync(join(paths.upper, 'etc/machine-id'), 'utf8').trim();
    return /^[0-9a-f]{32}$/.test(id) ? id : null;
  } catch {
    return null;
  }
}

/** Takes away from what a machine wrote what makes it this machine, so that others can begin with the rest. */
export function forgetIdentity(upper: string): void {
  for (const path of identityPaths) rmSync(join(upper, path), { recursive: true, force: true });
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readProc(pid, 'status'))?.[1] ?? 0);
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}

function lastLines(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim().split('\n').slice(-8).join('\n') || 'it logged nothing';
  } catch {
    return 'it logged nothing';
  }
}
