// A tenant's limits on a host: a drop-in of its slice, and what the kernel says of them afterwards. What systemd was told says nothing of
// whether the kernel does it: a controller that was not delegated is left out without a word.

import { tenantSlice } from '../topology/cluster.js';
import { sliceProperties, wantedLimits, type Limits } from '../topology/limits.js';
import type { TenantSpec } from '../topology/tenant.js';
import type { Command } from './command.js';
import type { Resource } from './resource.js';
import { readTemplate } from './template.js';

/** A drop-in, since a slice without a file of its own is there by itself and would not be read again for one. */
function folderOf(tenant: string): string {
  return `/etc/systemd/system/${tenantSlice(tenant)}.d`;
}

const root = { owner: 'root', group: 'root' };

/** What somebody else put beside it stays. */
export function desiredLimits({ tenant, limits }: Pick<TenantSpec, 'tenant' | 'limits'>): Resource[] {
  const folder = folderOf(tenant);
  const path = `${folder}/50-pgs-limits.conf`;
  const properties = sliceProperties(limits);
  if (properties.length === 0) return [{ kind: 'absent', what: 'path', name: path, destructive: false }];
  const content = [`# Written by pgs. What tenant ${tenant} may use of this host.`, '[Slice]', ...properties, ''];
  return [
    { kind: 'directory', path: folder, mode: '0755', ...root },
    { kind: 'file', path, mode: '0644', ...root, content: content.join('\n') },
  ];
}

/** What must be gone from a host that the tenant leaves. */
export function absentLimits(tenant: string): Resource[] {
  return [{ kind: 'absent', what: 'path', name: folderOf(tenant), destructive: false }];
}

/** Asks the kernel what a slice and the main process of a unit in it are held to. */
export function readLimits(slice: string, unit: string): Command {
  return { argv: ['sh', '-c', readTemplate('host/limits.sh'), 'sh', slice, unit], timeoutMs: 10_000 };
}

/** By name of the file, or `nofile`; `group`: the slice's path below the cgroups' roots. */
export type KernelLimits = Record<string, string>;

export function parseLimits(output: string): KernelLimits {
  const lines = output.split('\n').filter((line) => line.includes(' '));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]));
}

interface Wanted {
  /** Key of the spec. */
  key: string;
  value: string;
  /** What the kernel says, in the same words; null: nothing. */
  found: string | null;
  /** Where it was looked for. */
  where: string;
}

/** Limits that the kernel does not hold the tenant to, each with what was found, for people; none when all are in force. */
export function judgeLimits(limits: Limits, kernel: KernelLimits): string[] {
  const group = kernel.group ?? '';
  const wanted = wantedOf(limits, kernel);
  if (wanted.some(({ where }) => where !== 'nofile') && (group === '' || group === '/')) {
    return ['the tenant’s slice has no control group: nothing of the tenant runs there'];
  }
  return wanted
    .filter(({ value, found }) => value !== found)
    .map(({ key, value, found, where }) =>
      found === null
        ? `${key} ${value} is not in force: the kernel has no ${where} for ${group} (its controller is not there, or was not delegated)`
        : `${key} ${value} is not in force: ${where} of ${group} says ${found}`,
    );
}

function wantedOf(limits: Limits, kernel: KernelLimits): Wanted[] {
  const { cpuWeight, cpuQuotaPercent, memoryMiB, memoryHighMiB, tasks, openFiles } = wantedLimits(limits);
  const isV1 = (file: string) => file in kernel;
  const shares = isV1('cpu.shares');
  // As systemd turns a weight into shares.
  const sharesOf = (weight: number) => String(Math.max(2, Math.min(262_144, Math.floor((weight * 1024) / 100))));
  const highKnown = !isV1('memory.limit_in_bytes');
  return [
    ...(cpuWeight === null
      ? []
      : [
          shares
            ? one('cpuWeight', sharesOf(cpuWeight), kernel, 'cpu.shares')
            : one('cpuWeight', String(cpuWeight), kernel, 'cpu.weight'),
        ]),
    ...(cpuQuotaPercent === null ? [] : [quota(`${cpuQuotaPercent}%`, kernel)]),
    ...(memoryMiB === null
      ? []
      : [one('memory', mebibytes(memoryMiB), kernel, highKnown ? 'memory.max' : 'memory.limit_in_bytes')]),
    // Version 1 has nothing like it.
    ...(memoryHighMiB === null || !highKnown ? [] : [one('memory', mebibytes(memoryHighMiB), kernel, 'memory.high')]),
    ...(tasks === null ? [] : [one('tasks', String(tasks), kernel, 'pids.max')]),
    ...(openFiles === null ? [] : [one('openFiles', String(openFiles), kernel, 'nofile')]),
  ];
}

function mebibytes(count: number): string {
  return String(count * 1024 * 1024);
}

function one(key: string, value: string, kernel: KernelLimits, where: string): Wanted {
  return { key, value, found: kernel[where] ?? null, where };
}

/** Version 2 says quota and period in one file, version 1 in two. */
function quota(value: string, kernel: KernelLimits): Wanted {
  const v1 = kernel['cpu.cfs_quota_us'];
  const where = v1 === undefined ? 'cpu.max' : 'cpu.cfs_quota_us';
  const said = v1 === undefined ? kernel['cpu.max'] : `${v1} ${kernel['cpu.cfs_period_us'] ?? ''}`;
  if (said === undefined) return { key: 'cpuQuota', value, found: null, where };
  const [quotaUs, periodUs] = said.split(' ').map(Number) as [number, number];
  const found = quotaUs > 0 && periodUs > 0 ? `${Math.round((quotaUs / periodUs) * 100)}%` : said;
  return { key: 'cpuQuota', value, found, where };
}
