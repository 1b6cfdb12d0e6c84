// The bare Debian that machines begin with: made by debootstrap, once for each release and list of packages, and kept in
// the cache.

import { existsSync } from 'node:fs';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PgsError } from '../errors.js';
import { runLocal } from './local.js';
import { cacheKey, type Release } from './names.js';
import { stagingDirectory } from './staging.js';

/** What a plainly installed Debian server has, and what nspawn needs to boot it. */
const packages = [
  'systemd',
  'systemd-sysv',
  'dbus',
  'libpam-systemd',
  'openssh-server',
  'sudo',
  'iproute2',
  'nftables',
  'ca-certificates',
  'procps',
];

/** Raise it when `finishBase` changes, so that caches of before are not used. */
const recipe = 1;

/** debootstrap takes under a minute on a fast line. */
const debootstrapTimeoutMs = 30 * 60_000;

const mirror = () => process.env.PGS_DEBIAN_MIRROR || 'http://deb.debian.org/debian';

export function basePath(cache: string, release: Release): string {
  return join(cache, `base-${release}-${cacheKey(recipe, packages, mirror())}`);
}

/**
 * Makes the base if it is not there yet; an interrupted attempt leaves nothing that could be taken for one.
 * @returns its path.
 */
export async function ensureBase(cache: string, release: Release, progress: (line: string) => void): Promise<string> {
  const path = basePath(cache, release);
  if (existsSync(path)) return path;
  const staging = stagingDirectory(cache, `base-${release}`);
  progress(`installing Debian ${release} for the machines (once, about a minute)`);
  try {
    await debootstrap(release, staging, progress);
    await finishBase(staging, release);
    await rename(staging, path);
  } catch (thrown) {
    await rm(staging, { recursive: true, force: true });
    if (!existsSync(path)) throw thrown; // another pgs was faster
  }
  return path;
}

async function debootstrap(release: Release, target: string, progress: (line: string) => void): Promise<void> {
  const include = `--include=${packages.join(',')}`;
  // Its own namespaces, ended with pgs: an interrupted installation leaves neither processes nor mounts.
  const contained = ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child'];
  const argv = [...contained, 'debootstrap', '--variant=minbase', include, release, target, mirror()];
  let count = 0;
  const onLine = (line: string) => {
    if (/^I: (Retrieving|Validating|Extracting|Unpacking|Configuring) /.test(line) && ++count % 100 === 0) {
      progress(`  ${line.slice(3)}`);
    }
  };
  const { code, stdout } = await runLocal(argv, { timeoutMs: debootstrapTimeoutMs, onLine });
  if (code === 0) return;
  const complaints = stdout.split('\n').filter((line) => /^[WE]:/.test(line));
  throw new PgsError('command-failed', {
    doing: `installing Debian ${release} for the sandbox`,
    found: `debootstrap ended with code ${code}:\n${(complaints.length ? complaints : stdout.trim().split('\n')).slice(-8).join('\n')}`,
    hint: /unknown key|NO_PUBKEY|Invalid Release signature/.test(stdout)
      ? 'apt-get update && apt-get install debian-archive-keyring: the one that is here does not know this release.'
      : `Check that ${mirror()} can be reached from here, or set PGS_DEBIAN_MIRROR.`,
  });
}

/** Makes the installation a server without an identity: sshd and networking on, no keys, no ids, no outside name server. */
async function finishBase(root: string, release: Release): Promise<void> {
  const put = async (path: string, content: string) => {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  };
  const drop = (...paths: string[]) =>
    Promise.all(paths.map((path) => rm(join(root, path), { recursive: true, force: true })));
  const hostKeys = ['rsa', 'ecdsa', 'ed25519'].map((kind) => `etc/ssh/ssh_host_${kind}_key`);
  await drop(...hostKeys, ...hostKeys.map((key) => `${key}.pub`), 'etc/hostname', 'var/lib/dbus/machine-id');
  await drop('etc/resolv.conf', 'var/cache/apt/archives', 'var/log/bootstrap.log');
  await mkdir(join(root, 'var/cache/apt/archives/partial'), { recursive: true });
  await put('etc/machine-id', '');
  await put('etc/resolv.conf', '# The sandbox has no name server; machines know each other by /etc/hosts.\n');
  await put('etc/default/locale', 'LANG=C.UTF-8\n');
  await put('etc/apt/sources.list', renderSources(release));
  await put('etc/ssh/sshd_config.d/pgs-sandbox.conf', 'PermitRootLogin prohibit-password\nPasswordAuthentication no\n');
  await mkdir(join(root, 'var/log/journal'), { recursive: true });
  await enableUnit(root, 'systemd-networkd.service');
  // No mirror can be reached but through the sandbox's proxy, and nothing may take apt's lock at odd times.
  for (const unit of ['apt-daily.timer', 'apt-daily-upgrade.timer']) await maskUnit(root, unit);
  // Nobody sits at a console here.
  await maskUnit(root, 'console-getty.service');
}

function renderSources(release: Release): string {
  const security = 'http://deb.debian.org/debian-security';
  return [
    `deb ${mirror()} ${release} main`,
    `deb ${mirror()} ${release}-updates main`,
    `deb ${security} ${release}-security main`,
    '',
  ].join('\n');
}

async function enableUnit(root: string, unit: string): Promise<void> {
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  await mkdir(wants, { recursive: true });
  await rm(join(wants, unit), { force: true });
  await symlink(`/usr/lib/systemd/system/${unit}`, join(wants, unit));
}

async function maskUnit(root: string, unit: string): Promise<void> {
  const path = join(root, 'etc/systemd/system', unit);
  await rm(path, { force: true });
  await symlink('/dev/null', path);
}
