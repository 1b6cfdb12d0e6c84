// What `pgs doctor` looks at and what it says: facts, findings, and the shape of a check. Pure data.

import type { MemberStatus } from '../etcd/facts.js';
import type { CertificateEnds } from '../etcd/status.js';
import type { UnreachableHost } from '../host/facts.js';
import type { ProgramFacts } from '../host/programs.js';
import type { Inventory } from '../inventory/inventory.js';
import type { PatroniFacts } from '../patroni/facts.js';
import type { ClusterStatus } from '../reconcile/status.js';
import type { Plan } from '../reconcile/step.js';
import type { Cluster } from '../topology/cluster.js';
import type { Job, TenantPhase } from '../topology/tenant.js';
import type { HostLook } from './host-facts.js';

export interface DoctorFacts {
  fleet: Pick<Inventory, 'hosts' | 'etcd' | 'path'>;
  now: Date;
  hosts: Record<string, ({ reachable: true } & HostLook) | UnreachableHost>;
  /** By host; null: it was not told. */
  programs: Record<string, ProgramFacts | null>;
  etcd: EtcdFacts;
  tenants: TenantFacts[];
  /** Tenants about which nothing can be said, and why. `null` for all of them. */
  unopened: { tenant: string | null; why: string }[];
  /** Who runs a drill in the fleet just now; null: nobody. */
  drill: string | null;
}

export interface EtcdFacts {
  members: MemberStatus[];
  /** Names of the members by etcd's own word; null while it cannot be asked. */
  memberNames: string[] | null;
  authentication: 'on' | 'off' | 'unknown';
  certificates: CertificateEnds;
  /** Keys under /pgs/ that belong to nobody; null: they could not be read. */
  foreignKeys: string[] | null;
}

export interface TenantFacts {
  cluster: Cluster;
  phase: TenantPhase;
  job: Job | null;
  status: ClusterStatus;
  plan: Plan;
  patroni: PatroniFacts;
  /** What the members are to follow; null: there is nothing yet. */
  settings: Record<string, unknown> | null;
  /** System identifier that the cluster was made with, by its key in etcd. */
  initialize: string | null;
  /** Its own and the CAs' that end soon, in words. */
  certificates: string[];
  /** Who changes the tenant just now; null: nobody. */
  changing: string | null;
}

/** `unknown`: it could not be looked at, which is never fine. */
export type Severity = 'critical' | 'warning' | 'unknown';

export interface Mend {
  command: string;
  /** Host on which it is typed, as root; null: on the operator's machine. */
  on: string | null;
}

/** One thing that is wrong; the shape of `findings` of `pgs doctor -o json`. Fields are added, never renamed. */
export interface Finding {
  id: string;
  severity: Severity;
  tenant: string | null;
  host: string | null;
  what: string;
  /** Unit, log line, key, LSN: what shows it. */
  evidence: string;
  mend: Mend;
  /** Where to read on. */
  reference: string;
}

export type Found = Omit<Finding, 'id' | 'reference'>;

export interface Check {
  id: string;
  /** What it looks for, for the list of findings. */
  looksFor: string;
  /** What mends it, for the list of findings. */
  mends: string;
  reference: string;
  judge: (facts: DoctorFacts) => Found[];
}

export const onOperator = (command: string): Mend => ({ command, on: null });
export const onHost = (on: string, command: string): Mend => ({ command, on });

/** Hosts that answered, with their name. */
export function lookedAt({ hosts }: DoctorFacts): [name: string, look: HostLook][] {
  return Object.entries(hosts).flatMap(([name, look]): [string, HostLook][] => (look.reachable ? [[name, look]] : []));
}

export function lookOf({ hosts }: DoctorFacts, host: string): HostLook | null {
  const look = hosts[host];
  return look?.reachable ? look : null;
}

/** Tenants that are to serve: one that is stopped, half made or half removed has other findings. */
export function inService({ tenants }: DoctorFacts): TenantFacts[] {
  return tenants.filter(({ phase }) => phase === 'ready');
}

export function gib(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}
