// What this box needs to run a sandbox, checked at once, so that one message says all that is missing and how to get it.

import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PgsError } from '../errors.js';
import { cgroupMount } from './cgroup.js';
import { runLocal } from './local.js';

/** Programs and the Debian package that has each. */
const programs: [program: string, debianPackage: string][] = [
  ['systemd-nspawn', 'systemd-container'],
  ['debootstrap', 'debootstrap'],
  ['apt-cacher-ng', 'apt-cacher-ng'],
  ['ip', 'iproute2'],
  ['ssh', 'openssh-client'],
  ['ssh-keygen', 'openssh-client'],
  ['nsenter', 'util-linux'],
  ['unshare', 'util-linux'],
  ['setpriv', 'util-linux'],
  ['flock', 'util-linux'],
  ['mount', 'mount'],
];

/** What virtual machines need besides. */
const vmPrograms: [program: string, debianPackage: string][] = [
  ['qemu-system-x86_64', 'qemu-system-x86'],
  ['qemu-img', 'qemu-utils'],
  ['mkfs.ext4', 'e2fsprogs'],
];

/** What was found on this box. */
export interface BoxFacts {
  platform: string;
  uid: number;
  missingPrograms: string[];
  overlay: boolean;
  /** Mount point of version 2 cgroups, null without them. */
  cgroup2: string | null;
}

/**
 * @param virtualMachines - they are wanted too
 * @throws PgsError `unfit` with everything that is missing.
 */
export async function checkBox(virtualMachines = false): Promise<void> {
  const faults = boxFaults(await gatherBoxFacts(virtualMachines));
  if (faults.length === 0) return;
  throw new PgsError('unfit', {
    doing: 'checking whether this machine can run a sandbox',
    found: faults.map((fault) => fault.found).join('\n'),
    hint: faults.map((fault) => fault.hint).join('\n'),
  });
}

export function boxFaults(facts: BoxFacts): { found: string; hint: string }[] {
  if (facts.platform !== 'linux') {
    const hint = 'Run pgs on a Debian machine, or point pgs.yaml to hosts that you have (`pgs init`).';
    return [{ found: `this is ${facts.platform}, not Linux`, hint }];
  }
  const faults: { found: string; hint: string }[] = [];
  if (facts.uid !== 0) {
    faults.push({
      found: `you are user ${facts.uid}, not root`,
      hint: 'Run it as root: machines, bridges and mounts need that.',
    });
  }
  if (facts.missingPrograms.length > 0) {
    const wanted = [...programs, ...vmPrograms]
      .filter(([program]) => facts.missingPrograms.includes(program))
      .map(([, name]) => name);
    faults.push({
      found: `not installed: ${facts.missingPrograms.join(', ')}`,
      hint: `apt-get install ${[...new Set(wanted)].join(' ')}`,
    });
  }
  if (!facts.overlay) {
    faults.push({ found: 'the kernel has no overlayfs', hint: 'modprobe overlay, or run a kernel that has it.' });
  }
  if (facts.cgroup2 === null) {
    faults.push({
      found: 'version 2 cgroups are not mounted',
      hint: 'mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified',
    });
  }
  return faults;
}

async function gatherBoxFacts(virtualMachines: boolean): Promise<BoxFacts> {
  const platform = process.platform;
  if (platform !== 'linux') return { platform, uid: -1, missingPrograms: [], overlay: false, cgroup2: null };
  const uid = process.getuid?.() ?? -1;
  const needed = virtualMachines ? [...programs, ...vmPrograms] : programs;
  const missingPrograms = needed.map(([program]) => program).filter((program) => !onPath(program));
  return { platform, uid, missingPrograms, overlay: await hasOverlay(uid), cgroup2: cgroupMount() };
}

async function hasOverlay(uid: number): Promise<boolean> {
  const known = () => /\toverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'));
  if (known() || uid !== 0 || !onPath('modprobe')) return known();
  await runLocal(['modprobe', 'overlay'], { timeoutMs: 10_000 });
  return known();
}

function onPath(program: string): boolean {
  const directories = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];
  return directories.filter(Boolean).some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
