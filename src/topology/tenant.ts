// The nouns of a tenant: what was asked for (spec), what was allocated to it, and the record that keeps both.

import type { Access } from './access.js';
import type { Limits } from './limits.js';
import type { ObjectSpecs } from './objects.js';
import type { RtoPreset } from './presets.js';

export const poolModes = ['transaction', 'session', 'off'] as const;
export type PoolMode = (typeof poolModes)[number];

/** What the operator asks for. Written as YAML in `pgs apply -f`, with these names in snake case. */
export interface TenantSpec extends ObjectSpecs {
  tenant: string;
  /** Members besides the leader, 1 to 15; 0 only by `pgs cluster scale`. */
  replicas: number;
  /** PostgreSQL major version; must be what the hosts' packages give. */
  postgres: number;
  rto: RtoPreset;
  /** Acknowledged WAL that may be lost, in bytes. 0 is synchronous replication. */
  rpoBytes: number;
  /** `strict`: with no standby left, writes wait instead of going on with one copy. Only at RPO 0. */
  durability: 'available' | 'strict';
  watchdog: 'required' | 'automatic' | 'off';
  /** How PgBouncer shares server connections between the clients of `primary` and `replica`; `off`: there is none. */
  pool: PoolMode;
  /** Drills take `safe` scenarios only, and disruptive ones after consent. Absent: no. */
  production?: boolean | undefined;
  /** Who may come through the front door. Absent: nobody. */
  access?: Access | undefined;
  /** What it may use of each of its hosts. Absent: as much as there is. */
  limits?: Limits | undefined;
  /** PostgreSQL parameters that override pgs's own. */
  settings: Record<string, string | number | boolean>;
  /** For people and scripts; pgs reads nothing into them. Absent: none. */
  labels?: Record<string, string> | undefined;
}

export interface Member {
  /** `<tenant>-<n>`, n from 1; never reused for another host while the cluster lives. */
  name: string;
  /** Name of a host in pgs.yaml. */
  host: string;
  /** It was added and has not followed yet; `replaces`: who leaves once it does, and what becomes of that one's data. */
  joining?: { replaces: string | null; data: DataFate } | undefined;
}

/** What becomes of a data directory when its member leaves the host. */
export type DataFate = 'keep' | 'purge';

/** A member that is to be gone: kept until nothing of it is left, so that a killed pgs is finished by the same command, or by an apply. */
export interface LeavingMember {
  name: string;
  host: string;
  data: DataFate;
  /**
   * Its host does not answer, and so keeps the tenant's login to etcd: whether that still works. Absent: the host answers, and what is
   * there is removed.
   */
  login?: 'works' | 'changing' | 'changed' | undefined;
}

/** What pgs decided once for a tenant and keeps: changing facts must not change the desired state. */
export interface Allocation {
  /** Index of the tenant's block of ports; see `portsOf`. */
  slot: number;
  members: Member[];
  /** Absent: nobody leaves. */
  leaving?: LeavingMember[] | undefined;
  /** Hosts that keep the data of a member that left. */
  keptOn?: string[] | undefined;
  /** The highest number that a member was given; absent: that of the members. */
  lastNumber?: number | undefined;
  /** max_wal_senders and max_replication_slots, once members came or went: otherwise each one would restart everybody. */
  walSenders?: number | undefined;
  /** Memory that PostgreSQL's settings are derived from on every member, MiB. */
  memoryMiB: number;
  /** Cores that PostgreSQL's settings are derived from. */
  cores: number;
  /** Patroni's quorum commit (4.0 and newer) rather than named synchronous standbys. */
  quorumCommit: boolean;
}

/**
 * Something that an operator asked for once and that no difference between spec and cluster would show. Kept until it is done, so that
 * the same command, or an apply, goes on with it after an interruption.
 */
export interface RestartJob {
  kind: 'restart';
  /** ISO 8601. */
  since: string;
  /** Members whose PostgreSQL restarts, with the start of the postmaster that is to go, as PostgreSQL prints it. */
  members: Record<string, string>;
}

/** A replica's data is thrown away and copied anew from the leader. */
export interface ReinitJob {
  kind: 'reinit';
  /** ISO 8601. */
  since: string;
  member: string;
  /** Start of its postmaster, as PostgreSQL prints it; null: it did not run. */
  startedAt: string | null;
}

export type Job = RestartJob | ReinitJob;

/** Names that the cluster keeps until a file says that they are to be absent: of databases' contents as `database.name`. */
export interface LeftObjects {
  roles: string[];
  databases: string[];
  schemas: string[];
  extensions: string[];
}

export type TenantPhase = 'creating' | 'ready' | 'stopped' | 'destroying' | 'retired';

/** `/pgs/state/tenants/<tenant>`; the secrets are a key of their own. */
export interface TenantRecord {
  /** Version of this shape. A record newer than this pgs is refused. */
  version: 1;
  spec: TenantSpec;
  allocation: Allocation;
  /**
   * `creating` until the cluster was proven once; `stopped`: nothing of it is to run, its data and its place are kept; `destroying` from the confirmed destroy on, so a rerun finishes it;
   * `retired`: destroyed with its data kept.
   */
  phase: TenantPhase;
  createdAt: string;
  /** What a file named once and does not any more. Absent: nothing. */
  left?: LeftObjects | undefined;
  /** Absent: nothing is under way. */
  job?: Job | undefined;
}
