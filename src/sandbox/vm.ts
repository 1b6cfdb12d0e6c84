// A virtual machine of the sandbox: a real kernel under QEMU, on the same bridge as the containers. What it is, it is told over its second
// serial port on its first boot; the state before that is kept, so that later ones begin there.

import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PgsError } from '../errors.js';
import { cgroupPath, createCgroup } from './cgroup.js';
import type { MachineFile } from './identity.js';
import { runLocal, runLocalChecked, startDetached, waitUntil } from './local.js';
import { cacheKey, tapName, vmMac } from './names.js';
import { plugTap } from './network.js';
import { machinePaths } from './paths.js';
import { askMonitor, connectPort, type Port } from './qemu.js';
import { processStartTicks, stagingDirectory } from './staging.js';
import { saveSandbox, type Sandbox, type SandboxHost } from './state.js';
import type { VmImage } from './vm-image.js';

const memoryMiB = 1024;
/** To the point where it waits for its identity: 25 s on an idle box without hardware help. */
const bootTimeoutMs = 240_000;

/**
 * Starts a machine that is off. One that was never on gets a disk, and its identity before anything of the network starts.
 * @throws PgsError `command-failed` if QEMU ends, `unreachable` if the machine does not take its identity
 */
export async function startVm(
  sandbox: Sandbox,
  host: SandboxHost,
  image: VmImage,
  files: MachineFile[],
): Promise<void> {
  const { directory } = machinePaths(sandbox.paths, host.name);
  const marker = join(directory, 'identified');
  const disk = join(directory, 'disk.qcow2');
  const fresh = !existsSync(marker);
  await mkdir(directory, { recursive: true });
  const saved = fresh ? await savedState(image, coresOf(sandbox)) : null;
  if (fresh) await makeDisk(disk, image, saved);
  const port = await launch(sandbox, host, image, disk, saved !== null && existsSync(saved));
  if (!fresh) return port.close();
  try {
    if (saved === null || !existsSync(saved)) {
      await port.expect('waiting', bootTimeoutMs);
      if (saved !== null) await keepState(directory, disk, saved, image);
    }
    port.send(await renderIdentity(directory, files));
    await port.expect('done', bootTimeoutMs);
  } catch (thrown) {
    const found = thrown instanceof Error ? thrown.message : String(thrown);
    const log = machinePaths(sandbox.paths, host.name).log;
    throw new PgsError('unreachable', {
      doing: 'booting the virtual machine',
      host: host.name,
      found,
      hint: `See ${log}.`,
    });
  } finally {
    port.close();
  }
  await writeFile(marker, '');
}

/** Where the state of a machine that waits for its identity is kept; it fits this QEMU and these arguments only. */
async function savedState(image: VmImage, cores: number): Promise<string> {
  const version = await runLocalChecked('asking QEMU for its version', ['qemu-system-x86_64', '--version'], {
    timeoutMs: 10_000,
  });
  return join(image.directory, `state-${cacheKey(version, machineArguments(cores))}.qcow2`);
}

async function makeDisk(disk: string, image: VmImage, saved: string | null): Promise<void> {
  const doing = 'making the disk of a virtual machine';
  await rm(disk, { force: true });
  const argv =
    saved !== null && existsSync(saved)
      ? ['cp', '--sparse=always', saved, disk]
      : ['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', image.disk, '-F', 'raw', disk];
  await runLocalChecked(doing, argv, { timeoutMs: 60_000 });
}

const machineArguments = (cores: number) => [
  ...['-M', 'q35', '-cpu', 'qemu64', '-accel', 'tcg,thread=multi,tb-size=128'],
  ...['-smp', String(cores), '-m', String(memoryMiB)],
  ...['-nodefaults', '-display', 'none', '-device', 'virtio-rng-pci', '-rtc', 'base=utc,clock=host'],
];

/** Emulated cores that outnumber the box's wait for each other's locks while the box runs another machine's: several machines get one each. */
function coresOf({ state: { hosts } }: Sandbox): number {
  return hosts.filter((h) => h.kind === 'vm').length > 1 ? 1 : 2;
}

async function launch(
  sandbox: Sandbox,
  host: SandboxHost,
  image: VmImage,
  disk: string,
  restore: boolean,
): Promise<Port> {
  const { directory, log } = machinePaths(sandbox.paths, host.name);
  const tap = tapName(sandbox.name, host.name);
  host.veth = tap;
  await saveSandbox(sandbox);
  await plugTap(sandbox, tap);
  const sockets = { identity: join(directory, 'identity.sock'), monitor: join(directory, 'monitor.sock') };
  for (const socket of Object.values(sockets)) await rm(socket, { force: true });
  const chardev = (id: string, path: string) => ['-chardev', `socket,id=${id},path=${path},server=on,wait=off`];
  const boot =
    'root=/dev/vda rw console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on systemd.show_status=error';
  const argv = [
    'qemu-system-x86_64',
    ...machineArguments(coresOf(sandbox)),
    ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', boot],
    ...['-drive', `file=${disk},if=virtio,format=qcow2,cache=writeback`],
    ...['-netdev', `tap,id=net,ifname=${tap},script=no,downscript=no`],
    ...['-device', `virtio-net-pci,netdev=net,mac=${vmMac(sandbox.name, host.name)}`],
    ...['-chardev', `file,id=console,path=${log},append=on`, '-serial', 'chardev:console'],
    ...chardev('identity', sockets.identity),
    ...['-serial', 'chardev:identity'],
    ...chardev('monitor', sockets.monitor),
    ...['-mon', 'chardev=monitor,mode=control'],
    ...(restore ? ['-loadvm', 'waiting'] : []),
  ];
  const cgroup = cgroupPath(sandbox.name, host.name);
  createCgroup(cgroup);
  const pid = startDetached(argv, { cgroup, log });
  host.pid = pid;
  host.pidStartTicks = processStartTicks(pid);
  await saveSandbox(sandbox);
  const ended = () => processStartTicks(pid) === null;
  await waitUntil(() => ended() || Object.values(sockets).every(existsSync), 20_000);
  if (ended()) {
    const hint = `See ${log}.`;
    throw new PgsError('command-failed', { doing: 'starting QEMU', host: host.name, found: 'it ended at once', hint });
  }
  return connectPort(sockets.identity);
}

/** Written beside and renamed, so that a state that is there is whole. */
async function keepState(directory: string, disk: string, saved: string, image: VmImage): Promise<void> {
  const monitor = join(directory, 'monitor.sock');
  await askMonitor(monitor, ['stop', 'savevm waiting']);
  const staging = stagingDirectory(image.directory, 'state');
  await runLocalChecked('keeping the state of a virtual machine', ['cp', '--sparse=always', disk, staging], {
    timeoutMs: 60_000,
  });
  await rename(staging, saved);
  await askMonitor(monitor, ['cont', 'delvm waiting']);
}

/** A tar of the files in base64, as `templates/sandbox/identity.sh` reads them. */
async function renderIdentity(directory: string, files: MachineFile[]): Promise<string> {
  const root = join(directory, 'identity');
  await rm(root, { recursive: true, force: true });
  for (const { path, content, mode } of files) {
    await mkdir(join(root, path, '..'), { recursive: true, mode: 0o755 });
    await writeFile(join(root, path), content, { mode });
  }
  await mkdir(join(root, 'root/.ssh'), { recursive: true });
  await runLocalChecked(
    'packing the identity of a machine',
    ['chmod', '0700', join(root, 'root'), join(root, 'root/.ssh')],
    {
      timeoutMs: 5_000,
    },
  );
  const archive = join(directory, 'identity.tar');
  const { code } = await runLocal(['tar', '-C', root, '--owner=0', '--group=0', '-cf', archive, '.'], {
    timeoutMs: 10_000,
  });
  if (code !== 0)
    throw new PgsError('command-failed', { doing: 'packing the identity of a machine', found: 'tar failed' });
  const base64 = await runLocalChecked('packing the identity of a machine', ['base64', '-w', '76', archive], {
    timeoutMs: 5_000,
  });
  await rm(root, { recursive: true, force: true });
  await rm(archive, { force: true });
  return `${base64}end\n`;
}
