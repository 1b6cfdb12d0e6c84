// Who holds a lock, and whether that process is still there. A process is known by its id, its start time, the boot and the
// pid namespace: an id alone is used again, and means another process in a container or on another machine.

import { readFileSync, readlinkSync } from 'node:fs';
import { z } from 'zod';

const holderSchema = z.object({
  operator: z.string(),
  host: z.string(),
  pid: z.number().int(),
  /** Clock ticks between boot and the start of the process; null where the system does not tell. */
  pidStart: z.string().nullable(),
  /** Boot and pid namespace in which the pid means something; null where the system does not tell. */
  bootId: z.string().nullable(),
  command: z.string(),
  /** ISO 8601. */
  since: z.string(),
});

export type Holder = z.infer<typeof holderSchema>;

export type ProcessIdentity = Pick<Holder, 'pid' | 'pidStart' | 'bootId'>;

/** Reads /proc; elsewhere the start time and the boot are null, and a dead holder's lock ends with its lease only. */
export interface ProcessTable {
  bootId(): string | null;
  /** Null: there is no such process, or the system does not tell. */
  startOf(pid: number): string | null;
  /** Also of a process that /proc does not show (hidepid, another user's). */
  exists(pid: number): boolean;
}

export const localProcesses: ProcessTable = {
  bootId: () => {
    try {
      return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${readlinkSync('/proc/self/ns/pid')}`;
    } catch {
      return null;
    }
  },
  startOf: (pid) => {
    try {
      // The second field, the name, may hold spaces and brackets; the start time is the 20th after it.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
    } catch {
      return null;
    }
  },
  exists: (pid) => {
    try {
      return process.kill(pid, 0);
    } catch (thrown) {
      return (thrown as NodeJS.ErrnoException).code !== 'ESRCH';
    }
  },
};

export function identifyProcess(processes: ProcessTable = localProcesses): ProcessIdentity {
  return { pid: process.pid, pidStart: processes.startOf(process.pid), bootId: processes.bootId() };
}

/** True only if it is certain: the holder ran here, in this boot and namespace, and its process is not there any more. */
export function holderIsGone(holder: ProcessIdentity, processes: ProcessTable = localProcesses): boolean {
  const bootId = processes.bootId();
  if (bootId === null || holder.bootId !== bootId || holder.pidStart === null) return false;
  const start = processes.startOf(holder.pid);
  return start === null ? !processes.exists(holder.pid) : start !== holder.pidStart;
}

export function parseHolder(text: string): Holder | null {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
