// What `pgs doctor` sees of a host in one look, parsed. The question is `templates/doctor/look.py`.

import { z } from 'zod';

const unit = z.object({
  load: z.string(),
  active: z.string(),
  sub: z.string(),
  result: z.string(),
  enabled: z.boolean(),
  /** Restarts by systemd itself since the unit was loaded. */
  restarts: z.number(),
  pid: z.number(),
});

const disk = z.object({
  path: z.string(),
  sizeMiB: z.number(),
  freeMiB: z.number(),
  /** 0: this file system makes them as it goes. */
  inodes: z.number(),
  inodesFree: z.number(),
});

const slot = z.object({
  name: z.string(),
  type: z.string(),
  active: z.boolean(),
  walStatus: z.string().nullable(),
  restartLsn: z.string().nullable(),
  /** WAL that is kept for it, bytes. */
  heldBytes: z.number(),
});

const transaction = z.object({
  pid: z.number(),
  user: z.string().nullable(),
  database: z.string().nullable(),
  application: z.string(),
  state: z.string().nullable(),
  ageS: z.number(),
});

/** The answer to `templates/doctor/member.sql`. */
const sql = z.object({
  inRecovery: z.boolean(),
  slots: z.array(slot),
  archiver: z.object({
    mode: z.string(),
    failedCount: z.number(),
    lastFailedWal: z.string().nullable(),
    lastFailedAt: z.string().nullable(),
    lastArchivedAt: z.string().nullable(),
    failing: z.boolean(),
  }),
  databases: z.array(z.object({ name: z.string(), xidAge: z.number(), multixactAge: z.number() })),
  /** Open for longer than ten minutes, the oldest first. */
  transactions: z.array(transaction),
  prepared: z.array(z.object({ gid: z.string(), database: z.string(), ageS: z.number() })),
  checksumFailures: z.number(),
  connections: z.number(),
  connectionsMax: z.number(),
});

const member = z.discriminatedUnion('present', [
  /** The tenant has no OS user here. */
  z.object({ present: z.literal(false) }),
  z.object({
    present: z.literal(true),
    postmasters: z.array(z.object({ pid: z.number(), state: z.string(), data: z.string() })),
    patroni: z.array(z.object({ pid: z.number(), state: z.string() })),
    /** Processes that somebody stopped (state T). */
    stopped: z.array(z.object({ pid: z.number(), command: z.string() })),
    /** Null: PostgreSQL did not answer, and `sqlError` says why. */
    sql: sql.nullable(),
    sqlError: z.string(),
    /** From its control file; null: there is none. */
    systemId: z.string().nullable(),
    walMiB: z.number(),
    /** Null: the pooler does not answer, or there is none. */
    poolerPaused: z.boolean().nullable(),
    /** The last telling lines of its journal of 15 minutes. */
    log: z.array(z.string()),
  }),
]);

const answer = z.object({
  container: z.string(),
  bootedAtMs: z.number(),
  /** At the beginning and at the end of the look, milliseconds since the epoch by the host's clock. */
  clockMs: z.tuple([z.number(), z.number()]),
  timeServices: z.array(z.string()),
  disks: z.array(disk),
  units: z.record(z.string(), unit),
  /** Units of the distribution that run. */
  strangers: z.array(z.string()),
  /** Programs that upgrade or restart by themselves, and that nothing keeps off pgs's units. */
  unguarded: z.array(z.string()),
  faults: z.object({
    undos: z.array(z.object({ id: z.string(), tenant: z.string() })),
    tables: z.array(z.string()),
    resumeTimers: z.array(z.string()),
  }),
  tenants: z.record(z.string(), member),
});

export type DiskFact = z.output<typeof disk>;
export type UnitLook = z.output<typeof unit>;
export type SlotFact = z.output<typeof slot>;
export type MemberSql = z.output<typeof sql>;
export type MemberLook = Extract<z.output<typeof member>, { present: true }>;

export interface HostLook extends Omit<z.output<typeof answer>, 'clockMs' | 'tenants' | 'container'> {
  /** Milliseconds ahead of the operator's clock, and how far the measurement may be off. */
  clock: { offsetMs: number; uncertaintyMs: number };
  inContainer: boolean;
  /** By name; only tenants that were asked for and that have an OS user there. */
  tenants: Record<string, MemberLook>;
}

/**
 * @param asked when the operator asked and had the answer, milliseconds since the epoch by its clock
 * @throws Error when it is not what `look.py` prints
 */
export function parseHostLook(text: string, asked: { atMs: number; answeredAtMs: number }): HostLook {
  const { clockMs, tenants, container, ...rest } = answer.parse(JSON.parse(text));
  const [firstMs, lastMs] = clockMs;
  const wayMs = asked.answeredAtMs - asked.atMs - (lastMs - firstMs);
  const present = Object.entries(tenants).flatMap(([name, found]) => (found.present ? [[name, found] as const] : []));
  return {
    ...rest,
    inContainer: container !== 'none',
    // As NTP computes it: what is left of the round trip beside the host's own work bounds the error.
    clock: {
      offsetMs: Math.round((firstMs - asked.atMs + (lastMs - asked.answeredAtMs)) / 2),
      uncertaintyMs: Math.max(0, Math.round(wayMs / 2)),
    },
    tenants: Object.fromEntries(present),
  };
}
