// What a tenant may use of each of its hosts: the form in a spec, what cannot be meant, and what systemd is told. Pure.

import { z } from 'zod';
import type { Fault } from '../fault.js';

const quotaForm = /^([1-9]\d{0,5})%$/;
const memoryForm = /^([1-9]\d{0,6})(MB|GB)$/;

/** Less than this does not hold an idle member: PostgreSQL, Patroni and two poolers. */
const memoryMiBMin = 384;

/** PgBouncer alone may have several thousand clients. */
const openFilesMin = 16_384;

/** As many as units have whose tenant has no limit. */
const openFilesUsual = 65_536;

/** Patroni's and PgBouncer's own processes and threads, and PostgreSQL's beside those of its connections. */
const tasksBeside = 150;

/** The form in a spec; what is not there is not limited. */
export const limitsSchema = z.strictObject({
  /** Share of the processor beside others who want it, 1 to 10000; 100 is everybody's. */
  cpuWeight: z.number().int().min(1).max(10_000).optional(),
  /** Of one core, such as `150%`: one and a half cores. */
  cpuQuota: z.string().regex(quotaForm, 'must be a share of one core such as 150%').optional(),
  /** Of all processes and the files that they keep in memory, such as `2GB`. */
  memory: z.string().regex(memoryForm, 'must be a size such as 2GB or 1536MB').optional(),
  /** Processes and threads. */
  tasks: z.number().int().min(1).max(4_194_304).optional(),
  /** Of each process. */
  openFiles: z.number().int().min(openFilesMin).max(1_048_576).optional(),
});

export type Limits = z.infer<typeof limitsSchema>;

/** What is in force for a slice and the processes in it; null: no limit. */
export interface LimitsInForce {
  cpuWeight: number | null;
  cpuQuotaPercent: number | null;
  memoryMiB: number | null;
  /** From here on the kernel takes memory back and slows the tenant down, before it has to kill: nine tenths. */
  memoryHighMiB: number | null;
  tasks: number | null;
  openFiles: number | null;
}

export function wantedLimits(limits: Limits = {}): LimitsInForce {
  const memoryMiB = memoryLimitMiB(limits);
  return {
    cpuWeight: limits.cpuWeight ?? null,
    cpuQuotaPercent: limits.cpuQuota === undefined ? null : Number(quotaForm.exec(limits.cpuQuota)![1]),
    memoryMiB,
    memoryHighMiB: memoryMiB === null ? null : Math.floor(memoryMiB * 0.9),
    tasks: limits.tasks ?? null,
    openFiles: limits.openFiles ?? null,
  };
}

/** MiB; null: memory is not limited. */
export function memoryLimitMiB({ memory }: Limits = {}): number | null {
  const found = memoryForm.exec(memory ?? '');
  return found ? Number(found[1]) * (found[2] === 'GB' ? 1024 : 1) : null;
}

/** Of each process of the tenant. */
export function openFilesOf({ openFiles }: Limits = {}): number {
  return openFiles ?? openFilesUsual;
}

/** Whether anything is limited. */
export function isLimited(limits: Limits | undefined): limits is Limits {
  return Object.values(limits ?? {}).some((value) => value !== undefined);
}

/** What systemd is told of the tenant's slice; none where nothing is limited that a slice can. */
export function sliceProperties(limits: Limits | undefined): string[] {
  const { cpuWeight, cpuQuotaPercent, memoryMiB, memoryHighMiB, tasks } = wantedLimits(limits);
  return [
    ...(cpuWeight === null ? [] : [`CPUWeight=${cpuWeight}`]),
    ...(cpuQuotaPercent === null ? [] : [`CPUQuota=${cpuQuotaPercent}%`]),
    ...(memoryMiB === null ? [] : [`MemoryHigh=${memoryHighMiB}M`, `MemoryMax=${memoryMiB}M`]),
    ...(tasks === null ? [] : [`TasksMax=${tasks}`]),
  ];
}

/** PostgreSQL's private memory of a connection that does little, MiB: measured 1.5 to 3 for idle sessions of PostgreSQL 17. */
const connectionMiB = 2;

/** Patroni and the poolers, MiB. */
const besideMiB = 128;

/**
 * Limits under which the tenant could not live.
 * @param needs what PostgreSQL is told: shared buffers in MiB and connections
 */
export function limitFaults(
  limits: Limits | undefined,
  needs: { sharedBuffersMiB: number; maxConnections: number },
): Fault[] {
  const memoryMiB = memoryLimitMiB(limits);
  const faults: Fault[] = [];
  const { sharedBuffersMiB, maxConnections } = needs;
  const atLeastMiB = Math.ceil(sharedBuffersMiB + maxConnections * connectionMiB + besideMiB);
  if (memoryMiB !== null && memoryMiB < memoryMiBMin) {
    const message = `must be at least ${memoryMiBMin}MB: that is what an idle member takes`;
    faults.push({ path: ['limits', 'memory'], message });
  } else if (memoryMiB !== null && memoryMiB < atLeastMiB) {
    const taken = `${Math.round(sharedBuffersMiB)} MB of shared_buffers and ${maxConnections} connections`;
    const message = `is less than the ${atLeastMiB}MB that ${taken} take: a larger limit, or a smaller max_connections or shared_buffers`;
    faults.push({ path: ['limits', 'memory'], message });
  }
  const tasks = limits?.tasks;
  if (tasks !== undefined && tasks < maxConnections + tasksBeside) {
    const message = `must be at least ${maxConnections + tasksBeside}: each of ${maxConnections} connections is a process`;
    faults.push({ path: ['limits', 'tasks'], message });
  }
  return faults;
}
