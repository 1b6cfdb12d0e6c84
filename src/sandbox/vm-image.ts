// The disk, kernel and first file system of the sandbox's virtual machines: the same prepared root as the containers, with Debian's
// cloud kernel (which has softdog) and a unit that waits for the machine's identity. Made once, kept in the cache.

import { existsSync, readdirSync } from 'node:fs';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PgsError } from '../errors.js';
import { readTemplate } from '../host/template.js';
import { aptProxyUrl } from './apt-cache.js';
import { runLocal, runLocalChecked } from './local.js';
import { mountRoot, unmountRoot } from './machine.js';
import { cacheKey } from './names.js';
import type { MachinePaths } from './paths.js';
import { stagingDirectory } from './staging.js';
import type { Sandbox } from './state.js';

export interface VmImage {
  directory: string;
  /** Raw ext4, never written to: machines lie over it. */
  disk: string;
  kernel: string;
  initrd: string;
}

/** Raise it when what is put into the image changes beside the templates. */
const recipe = 1;
const diskSize = '16G';
// chrony: `host prepare` gives it to every machine with a clock of its own, and software emulation installs it slowly.
const packages = ['linux-image-cloud-amd64', 'initramfs-tools', 'lz4', 'udev', 'chrony'];
const modules = ['virtio_pci', 'virtio_blk', 'virtio_net', 'ext4'];
const installTimeoutMs = 15 * 60_000;

/**
 * @returns the image over these layers, made if the cache has none
 * @throws PgsError `command-failed` with apt's last words if the kernel cannot be installed
 */
export async function ensureVmImage(
  sandbox: Sandbox,
  cache: string,
  layers: string[],
  progress: (line: string) => void,
): Promise<VmImage> {
  const templates = ['sandbox/identity.sh', 'sandbox/identity.service'].map(readTemplate);
  const key = cacheKey(
    recipe,
    layers.map((layer) => basename(layer)),
    packages,
    modules,
    diskSize,
    templates,
  );
  const image = imageIn(join(cache, `vm-${key}`));
  if (existsSync(image.directory)) return image;
  const staging = stagingDirectory(cache, 'vm');
  progress(`making the disk of the virtual machines (once, about a minute; kept in ${cache})`);
  const root = rootIn(staging);
  try {
    await mountRoot(root, layers);
    await installKernel(sandbox, root.root);
    await addMachineFiles(root.root);
    await keepFiles(root.root, imageIn(staging));
    await unmountRoot(root);
    for (const part of [root.upper, root.work, root.root]) await rm(part, { recursive: true, force: true });
    await rename(staging, image.directory);
  } catch (thrown) {
    await unmountRoot(root);
    await rm(staging, { recursive: true, force: true });
    if (!existsSync(image.directory)) throw thrown; // another pgs was faster
  }
  return image;
}

function imageIn(directory: string): VmImage {
  const file = (name: string) => join(directory, name);
  return { directory, disk: file('disk.raw'), kernel: file('vmlinuz'), initrd: file('initrd') };
}

function rootIn(directory: string): MachinePaths {
  const part = (name: string) => join(directory, name);
  return { directory, root: part('root'), upper: part('upper'), work: part('work'), log: part('log') };
}

async function installKernel(sandbox: Sandbox, root: string): Promise<void> {
  // Only what the machines' disk needs, so that the first file system is small: software emulation unpacks it slowly.
  await put(root, 'etc/initramfs-tools/conf.d/pgs-sandbox', 'MODULES=list\nCOMPRESS=lz4\n');
  await put(root, 'etc/initramfs-tools/modules', `${modules.join('\n')}\n`);
  const proxy = `-oAcquire::http::Proxy=${aptProxyUrl(sandbox)}`;
  const line =
    'mount -t proc proc "$1/proc" && cd / && root=$1 && shift &&' +
    ' chroot "$root" apt-get -q "$1" update &&' +
    ' chroot "$root" apt-get -q -y "$@" install --no-install-recommends ' +
    packages.join(' ');
  const contained = ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child'];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const argv = [...contained, 'sh', '-c', line, 'sh', root, proxy];
  const { code, stdout, stderr } = await runLocal(argv, { timeoutMs: installTimeoutMs, env });
  if (code === 0) return;
  throw new PgsError('command-failed', {
    doing: 'installing a kernel for the virtual machines',
    found: `apt-get ended with code ${code}:\n${(stderr.trim() || stdout.trim()).split('\n').slice(-8).join('\n')}`,
    hint: "Check that Debian's mirror can be reached from here.",
  });
}

/** What a machine of its own needs and a container does not: the name of its network card, its disk, its identity. */
async function addMachineFiles(root: string): Promise<void> {
  const script = '/usr/local/sbin/pgs-sandbox-identity';
  const unit = '/etc/systemd/system/pgs-sandbox-identity.service';
  await put(root, script, readTemplate('sandbox/identity.sh'), 0o755);
  await put(root, unit, readTemplate('sandbox/identity.service'));
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  await mkdir(wants, { recursive: true });
  await symlink(unit, join(wants, basename(unit)));
  await put(root, 'etc/systemd/network/10-pgs-sandbox.link', '[Match]\nDriver=virtio_net\n[Link]\nName=host0\n');
  await put(root, 'etc/fstab', '/dev/vda / ext4 defaults 0 1\n');
  // Replaced by the machine's own; without any, systemd would ask at the first boot.
  await put(root, 'etc/machine-id', `${'0123456789abcdef'.repeat(2)}\n`);
  await put(root, 'etc/hostname', 'vm\n');
}

async function put(root: string, path: string, content: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await rm(join(root, path), { force: true });
  await writeFile(join(root, path), content, { mode });
}

async function keepFiles(root: string, image: VmImage): Promise<void> {
  const doing = 'making the disk of the virtual machines';
  for (const [prefix, target] of [
    ['vmlinuz-', image.kernel],
    ['initrd.img-', image.initrd],
  ] as const) {
    const name = readdirSync(join(root, 'boot')).find((file) => file.startsWith(prefix));
    if (!name) throw new PgsError('command-failed', { doing, found: `the kernel's package left no /boot/${prefix}*` });
    await runLocalChecked(doing, ['cp', join(root, 'boot', name), target], { timeoutMs: 60_000 });
  }
  const features = ['-E', 'lazy_itable_init=1,lazy_journal_init=1', '-O', '^metadata_csum'];
  const argv = ['mkfs.ext4', '-q', '-F', '-d', root, ...features, image.disk, diskSize];
  await runLocalChecked(doing, argv, { timeoutMs: 300_000 });
}
