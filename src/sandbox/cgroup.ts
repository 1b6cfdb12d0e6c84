// One cgroup per machine: what runs in it is the machine, whatever process ids say. It tells a running machine from a
// leftover, keeps the machines' systemds apart, and one write to cgroup.kill is the power switch.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { waitUntil } from './local.js';

const parent = 'pgs-sandbox';

/** Where the version 2 hierarchy is mounted: `/sys/fs/cgroup`, or beside version 1 ("hybrid"); null when there is none. */
export function parseCgroupMount(procMounts: string): string | null {
  const line = procMounts.split('\n').find((mount) => mount.split(' ')[2] === 'cgroup2');
  return line?.split(' ')[1] ?? null;
}

export function cgroupMount(): string | null {
  return parseCgroupMount(readFileSync('/proc/mounts', 'utf8'));
}

/** Path of the cgroup of one machine or helper process of a sandbox; it need not exist. */
export function cgroupPath(sandbox: string, member: string): string {
  return join(cgroupMount() ?? '/sys/fs/cgroup', parent, sandbox, member);
}

/** Makes the cgroup; it and what is beside it get every controller that this box can give. */
export function createCgroup(path: string): void {
  mkdirSync(path, { recursive: true });
  let directory = join(cgroupMount() ?? '/sys/fs/cgroup', parent);
  for (const part of relative(directory, path).split('/')) {
    delegateControllers(directory);
    directory = join(directory, part);
  }
}

function delegateControllers(directory: string): void {
  const controllers = readFileSync(join(directory, 'cgroup.controllers'), 'utf8').trim().split(/\s+/).filter(Boolean);
  for (const controller of controllers) {
    try {
      writeFileSync(join(directory, 'cgroup.subtree_control'), `+${controller}`);
    } catch {
      // Some controllers cannot be delegated on some kernels; the machines then run without that limit.
    }
  }
}

/** Whether any process lives in it or below. */
export function cgroupPopulated(path: string): boolean {
  try {
    return /^populated 1$/m.test(readFileSync(join(path, 'cgroup.events'), 'utf8'));
  } catch {
    return false;
  }
}

/** Kills everything in it at once, without a chance to say good-bye. */
export async function killCgroup(path: string, timeoutMs = 10_000): Promise<boolean> {
  if (!cgroupPopulated(path)) return true;
  if (existsSync(join(path, 'cgroup.kill'))) writeFileSync(join(path, 'cgroup.kill'), '1');
  return waitUntil(() => {
    if (!cgroupPopulated(path)) return true;
    for (const pid of cgroupProcesses(path)) killQuietly(pid);
    return false;
  }, timeoutMs);
}

/** Process ids in it and below. */
export function cgroupProcesses(path: string): number[] {
  if (!existsSync(path)) return [];
  const own = readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  return [...own, ...childrenOf(path).flatMap(cgroupProcesses)].filter((pid) => pid > 0);
}

/** Removes the empty cgroup of a machine or helper process and those below it. */
export function removeCgroup(path: string): void {
  if (existsSync(path)) removeTree(path);
  // The sandbox's and that of all sandboxes go when nothing else is in them.
  for (const directory of [join(path, '..'), join(path, '..', '..')]) {
    try {
      rmdirSync(directory);
    } catch {
      return;
    }
  }
}

function removeTree(path: string): void {
  childrenOf(path).forEach(removeTree);
  rmdirSync(path);
}

function childrenOf(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(path, entry.name));
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}
