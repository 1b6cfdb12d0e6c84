// PostgreSQL parameters: the ones that pgs derives for a tenant, and the ones that an operator may not override, with why.

import { PgsError } from '../errors.js';
import { lintOverrides } from './lint.js';
import { memoryLimitMiB } from './limits.js';
import { holdsControls, isParameterName, misfitOf, numberOf } from './parameters.js';
import { presets, type RtoPreset } from './presets.js';
import type { Allocation, TenantSpec } from './tenant.js';

export type Settings = Record<string, string | number | boolean>;

/** Connections of a tenant; reserved ones for pgs and the superuser are on top of what clients get. */
const maxConnections = 100;

/**
 * Settings from the memory and cores that the tenant was given, by the rules of the PostgreSQL wiki's tuning page: a quarter of
 * memory for shared buffers, three quarters assumed cached by the system, work_mem so that every connection can sort at
 * once within a quarter.
 */
export function deriveSettings(
  allocation: Pick<Allocation, 'memoryMiB' | 'cores' | 'members' | 'walSenders'>,
  rto: RtoPreset,
): Settings {
  const { memoryMiB, cores, members } = allocation;
  const mb = (value: number) => `${Math.floor(value)}MB`;
  const parallel = Math.max(2, Math.min(8, cores));
  const walSenders = allocation.walSenders ?? walSendersFor(members.length);
  return {
    max_connections: maxConnections,
    superuser_reserved_connections: 3,
    shared_buffers: mb(memoryMiB / 4),
    effective_cache_size: mb((memoryMiB * 3) / 4),
    maintenance_work_mem: mb(Math.min(1024, Math.max(32, memoryMiB / 16))),
    work_mem: mb(Math.min(64, Math.max(4, memoryMiB / 4 / maxConnections))),
    max_worker_processes: Math.max(8, cores),
    max_parallel_workers: parallel,
    max_parallel_workers_per_gather: Math.max(1, Math.floor(parallel / 2)),
    random_page_cost: 1.1,
    min_wal_size: '128MB',
    max_wal_size: mb(Math.min(4096, Math.max(512, memoryMiB / 2))),
    wal_level: 'replica',
    wal_log_hints: 'on',
    hot_standby: 'on',
    max_wal_senders: walSenders,
    max_replication_slots: walSenders,
    // A slot of a replica that is gone must not fill the leader's disk.
    max_slot_wal_keep_size: '8GB',
    wal_keep_size: '128MB',
    // A standby looks for its new leader at once instead of every 5 s.
    wal_retrieve_retry_interval: '500ms',
    // A standby that vanished without a word holds every commit up at RPO 0 until its sender gives up on it.
    wal_sender_timeout: `${presets[rto].patroni.ttlS / 2}s`,
    wal_compression: 'on',
    password_encryption: 'scram-sha-256',
    // Peers that vanished without a word are noticed within 30 s.
    tcp_keepalives_idle: 10,
    tcp_keepalives_interval: 5,
    tcp_keepalives_count: 4,
    client_connection_check_interval: '5s',
    log_checkpoints: 'on',
    log_lock_waits: 'on',
    log_temp_files: '16MB',
    log_autovacuum_min_duration: '10s',
    log_line_prefix: '%m [%p] %q%u@%d %a ',
    track_io_timing: 'on',
  };
}

/**
 * All parameters of a tenant: what pgs derives, from the limit of memory where there is one, and over it what was set.
 */
export function settingsOf(
  spec: Pick<TenantSpec, 'rto' | 'settings' | 'limits'>,
  allocation: Parameters<typeof deriveSettings>[0],
): Settings {
  const memoryMiB = memoryLimitMiB(spec.limits) ?? allocation.memoryMiB;
  return { ...deriveSettings({ ...allocation, memoryMiB }, spec.rto), ...spec.settings };
}

/** MiB that a tenant with a limit of memory gets as shared buffers, or that were set; 0 where neither is known. */
export function sharedBuffersMiBOf({ limits, settings }: Pick<TenantSpec, 'limits' | 'settings'>): number {
  const given = settings['shared_buffers'];
  // In PostgreSQL's own unit, pages of 8 kB.
  const pages = given === undefined ? null : numberOf('shared_buffers', given);
  return pages === null ? (memoryLimitMiB(limits) ?? 0) / 4 : pages / 128;
}

/** One for each replica, two for each that is being copied, and some for backups. */
function walSendersFor(members: number): number {
  return Math.max(10, members * 3);
}

/**
 * For a cluster whose members come and go: what it has as long as that is enough for every replica, a copy (two) and a backup (one), since
 * another value restarts everybody.
 */
export function keepWalSenders(allocation: Pick<Allocation, 'members' | 'walSenders'>, members: number): number {
  const now = allocation.walSenders ?? walSendersFor(allocation.members.length);
  return now >= members + 2 ? now : walSendersFor(members);
}

/** Connections that PostgreSQL takes in all. */
export function maxConnectionsOf(spec: Pick<TenantSpec, 'settings'>): number {
  const given = Number(spec.settings['max_connections']);
  return Number.isInteger(given) && given > 0 ? given : maxConnections;
}

/** Share of the server connections that all poolers of a service may take together; what is left is for the direct services. */
export const poolersShare = { primary: 0.6, replica: 0.25 };

/** What an operator's `--set` may not touch, and what to use instead. */
const refused: Record<string, string> = {
  listen_addresses: 'pgs decides where members listen',
  port: 'pgs allocates ports',
  unix_socket_directories: 'sockets lie in a directory that only the tenant can enter',
  data_directory: 'pgs decides where data lies',
  hba_file: 'pgs writes the access rules',
  ident_file: 'pgs writes the access rules',
  ssl: 'TLS is always on',
  ssl_cert_file: 'pgs issues the certificates',
  ssl_key_file: 'pgs issues the certificates',
  ssl_ca_file: 'pgs issues the certificates',
  synchronous_standby_names: 'Patroni keeps it; use --rpo and --durability',
  primary_conninfo: 'Patroni keeps it',
  primary_slot_name: 'Patroni keeps it',
  recovery_target_timeline: 'Patroni keeps it',
  cluster_name: 'Patroni keeps it',
  hot_standby: 'replicas must answer reads',
  wal_log_hints: 'pg_rewind needs it; data checksums are on',
  password_encryption: 'scram-sha-256 is the only way in',
  fsync: 'switching it off loses acknowledged transactions',
  full_page_writes: 'switching it off loses acknowledged transactions',
};

/** What is wrong with a parameter that was set. */
export interface SettingFault {
  name: string;
  /** A sentence that names it. */
  why: string;
}

/** Parameters that cannot be set, or not to that, all of them. */
export function settingFaults(spec: TenantSpec): SettingFault[] {
  const faults = Object.entries(spec.settings).flatMap(([name, value]) => {
    const why = settingFault(name, value);
    return why === null ? [] : [{ name, why }];
  });
  return [...faults, ...lintOverrides(spec).map(({ setting, why }) => ({ name: setting, why: `${setting}: ${why}` }))];
}

function settingFault(name: string, value: string | number | boolean): string | null {
  if (!isParameterName(name)) return `${JSON.stringify(name)} is not the name of a PostgreSQL parameter`;
  if (name in refused) return `${name} cannot be set: ${refused[name]}`;
  if (holdsControls(value)) return `the value of ${name} holds a control character`;
  const misfit = misfitOf(name, value);
  return misfit ? `${name} ${misfit}` : null;
}

/** @throws PgsError `configuration` for parameters that cannot be set, all of them at once */
export function refuseSettings(spec: TenantSpec, source: string): void {
  const problems = settingFaults(spec).map(({ why }) => why);
  if (problems.length === 0) return;
  throw new PgsError('configuration', {
    doing: `reading the settings of ${source}`,
    found: problems.join('\n'),
    hint: 'Leave these out; `pgs cluster show` lists what pgs sets.',
  });
}

/** `name=value` of the command line. @param where it was given, for the error */
export function parseSetting(text: string, where = '--set'): [string, string] {
  const at = text.indexOf('=');
  if (at > 0) return [text.slice(0, at).trim(), text.slice(at + 1)];
  throw new PgsError('usage', {
    doing: `reading ${where}`,
    found: `${JSON.stringify(text)} is not of the form name=value`,
    hint: 'For example: work_mem=32MB',
  });
}
