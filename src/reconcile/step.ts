// A plan is a list of steps, and a step is plain data: what changes where, why, what it needs first, how long it may take
// and how to see that it is done. The same steps are shown by `pgs plan` and `--dry-run` and run by `apply`.

import type { PgsError } from '../errors.js';
import type { Resource } from '../host/resource.js';
import type { Secret } from '../secrets/secret.js';
import type { Access } from '../topology/access.js';
import type { Limits } from '../topology/limits.js';
import type { Allocation } from '../topology/tenant.js';

export interface Step {
  /** Unique in the plan and the same for the same facts, such as `h1/patroni-demo/files`. */
  id: string;
  /** Host on which it acts; null for the DCS or a whole cluster. */
  host: string | null;
  /** What it does, as an imperative phrase: "start Patroni of demo". */
  title: string;
  /** Why it is needed: what was found and what should be. */
  reason: string;
  diff: Diff[];
  /** Ids of steps that must be done before. */
  needs: string[];
  timeoutMs: number;
  /** Data or redundancy may be lost by it. */
  destructive: boolean;
  action: Action;
  /** Polled after the action until it holds or the time is over. */
  done: Condition;
}

/** A step that does nothing, to be filled in. */
export function blankStep(id: string): Omit<Step, 'title' | 'reason'> {
  return {
    id,
    host: null,
    diff: [],
    needs: [],
    timeoutMs: 30_000,
    destructive: false,
    action: { kind: 'none' },
    done: { kind: 'none' },
  };
}

/** One difference for a person. Secrets come as a note, never as text. */
export interface Diff {
  what: string;
  before: string;
  after: string;
}

/** What a step does. Each kind is performed by one component's edge. */
export type Action =
  | { kind: 'none' }
  | { kind: 'resources'; resources: Resource[] }
  | { kind: 'unit'; unit: string; verb: 'start' | 'restart' | 'reload' | 'stop' }
  | { kind: 'packages'; install: string[]; hold: string[] }
  /** Into apt's cache, so that nothing is begun that one host could not finish. Version by package. */
  | { kind: 'fetch-packages'; versions: Record<string, string> }
  /** To these versions, and held at them. */
  | { kind: 'update-packages'; versions: Record<string, string> }
  /** Another member of etcd leads; it costs no election then when this one goes. */
  | { kind: 'etcd-leader-away'; from: string }
  | { kind: 'dcs-auth-enable' }
  | { kind: 'dcs-tenant-user'; tenant: string; want: 'present' | 'absent' }
  | { kind: 'record-phase'; tenant: string; phase: 'creating' | 'ready' | 'destroying' }
  | { kind: 'record-retire'; tenant: string; keepsData: boolean }
  | { kind: 'patroni-settings'; tenant: string; config: Record<string, unknown> }
  /** Another member takes over if `from` still leads. */
  | { kind: 'switchover'; tenant: string; from: string }
  /** Of PostgreSQL alone. `in place`: it leads, and clients are held meanwhile. */
  | { kind: 'restart-postgres'; tenant: string; member: string; how: 'as replica' | 'in place' }
  /** The replica's data is thrown away and copied anew. */
  | { kind: 'reinit'; tenant: string; member: string }
  /** Who may come through the front door of the host, and what becomes of the sessions of others. */
  | { kind: 'access'; tenant: string; access: Access; sessions: 'cut' | 'keep' }
  /** Of clients, on the leader. */
  | { kind: 'end-sessions'; tenant: string }
  /** What an operator asked for once is done, and forgotten. */
  | { kind: 'record-job-done'; tenant: string }
  /** What is kept of who is a member, joins or leaves. */
  | { kind: 'record-members'; tenant: string; allocation: Allocation }
  /** A member that left: its key in Patroni's part of the DCS, and its place in the record. */
  | { kind: 'forget-member'; tenant: string; member: string }
  /** Another password for the tenant's login to etcd, among its secrets, and that it is to be given out; etcd learns of it later. */
  | { kind: 'new-etcd-password'; tenant: string; allocation: Allocation }
  | { kind: 'sql'; tenant: string }
  /** Roles and databases of the tenant's file; the script holds verifiers. */
  | { kind: 'objects'; tenant: string; script: Secret };

/** How to see that a step is done. Each kind is checked by one component's edge. */
export type Condition =
  | { kind: 'none' }
  /** `loaded`: sha256 that the process must have loaded per path; an empty one means that the path must not be loaded. */
  | { kind: 'unit'; unit: string; active: boolean; loaded: Record<string, string> }
  | { kind: 'dcs-healthy'; members: number }
  /** The host has these versions, and these units run with what is installed. */
  | { kind: 'updated'; versions: Record<string, string>; units: string[] }
  /** `otherThan`: a member that must not be the one. */
  | { kind: 'leader'; tenant: string; otherThan?: string }
  /** `covered`: at RPO 0 a standby that commits wait for is among them. */
  | { kind: 'streaming'; tenant: string; replicas: number; covered: boolean; lagBytesMax: number }
  /** What the members knew of the settings at their last turn; those on hosts that are left out are not asked. */
  | { kind: 'ttl-known'; tenant: string; ttlS: number; leaveOut: string[] }
  /** Every member that answers says so. */
  | { kind: 'paused'; tenant: string; paused: boolean }
  /** No Patroni of the tenant answers, on hosts that are not left out. */
  | { kind: 'stopped'; tenant: string; leaveOut: string[] }
  /** The member serves, and its postmaster is another one than that which started then; null: it was not known. */
  | { kind: 'restarted'; tenant: string; member: string; startedAt: string | null }
  /**
   * The members' PostgreSQLs have the parameters. `taken`: what only a restart changes waits for it; `in force`: all of them run with
   * all. Members on hosts that are left out are not asked.
   */
  | { kind: 'parameters'; tenant: string; want: 'taken' | 'in force'; names: string[]; leaveOut: string[] }
  | { kind: 'patroni-settings'; tenant: string; config: Record<string, unknown> }
  /** The kernel holds the slice, and the main process of the unit, to these; one look is enough. */
  | { kind: 'limits'; tenant: string; slice: string; unit: string; limits: Limits }
  /** A write through every entry but those on hosts that are left out, read back through `replica`, TLS verified. */
  | { kind: 'proven'; tenant: string; leaveOut: string[] };

export interface Plan {
  /** What the plan is for: `fleet`, `host h1`, `cluster demo`. */
  subject: string;
  steps: Step[];
  /** What pgs saw but will not change by itself; shown with the plan. */
  warnings: string[];
  /** What holds whether something is changed or not, such as a cluster that is not fenced. */
  notes?: string[];
}

/** What happens while a plan is run; times by the caller's clock, milliseconds. */
export type StepEvent =
  | { kind: 'started'; step: Step; atMs: number }
  | { kind: 'done'; step: Step; atMs: number; tookMs: number }
  | { kind: 'failed'; step: Step; atMs: number; error: PgsError };
