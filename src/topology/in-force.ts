// PostgreSQL's parameters as a member runs with them, against those that it should run with: what differs, what only a restart changes,
// and what has to change on standbys before the leader or after it. Pure.

import { changesAtStart, numberOf, sameValue } from './parameters.js';
import type { Settings } from './settings.js';

/** What a running server says of its parameters. */
export interface InForce {
  /** Value by name, in the parameter's own unit; without those that only this session sees. */
  values: Record<string, string>;
  /** Parameters that take effect at a start and that somebody gave a value, with the value that they had without. */
  given: Record<string, string>;
  /** Names that the server knows to wait for a restart. */
  pending: string[];
  /** Names that ALTER SYSTEM set: that wins over what Patroni writes. */
  overridden: string[];
}

export interface ParameterDifference {
  name: string;
  has: string;
  wants: string;
  /** Only a restart changes it. */
  atStart: boolean;
}

/**
 * A standby does not start with less than its leader had when it wrote the WAL (PostgreSQL's documentation, "Hot Standby"): raised on
 * standbys first, lowered on the leader first. Patroni starts a standby with the leader's value until then (`effective_configuration`
 * of patroni/postgresql/config.py), so that its restart would change nothing.
 */
export const orderedParameters = [
  'max_connections',
  'max_worker_processes',
  'max_wal_senders',
  'max_prepared_transactions',
  'max_locks_per_transaction',
];

/** What Patroni gives PostgreSQL at its start when nobody says otherwise (patroni/postgresql/config.py, `CMDLINE_OPTIONS`). */
const patroniDefaults: Settings = {
  max_prepared_transactions: 0,
  max_locks_per_transaction: 64,
  track_commit_timestamp: 'off',
};

/** Patroni's, initdb's, or of pgs's own file for a member: not in the cluster's settings, and right where they are. */
const notOfTheCluster = [
  'cluster_name',
  'data_directory',
  'dynamic_shared_memory_type',
  'hba_file',
  'hot_standby',
  'ident_file',
  'listen_addresses',
  'port',
  'recovery_target_timeline',
  'unix_socket_directories',
  'unix_socket_permissions',
];

/**
 * What the server shows of these is not what it was told: of the connection that asks (0 through a socket), or what it made of a value that
 * means "as you like". They differ only when the server itself says that it waits for a restart.
 */
const shownOtherwise = [
  'archive_command',
  'commit_timestamp_buffers',
  'subtransaction_buffers',
  'tcp_keepalives_count',
  'tcp_keepalives_idle',
  'tcp_keepalives_interval',
  'tcp_user_timeout',
  'transaction_buffers',
  'wal_buffers',
];

/** Names that the server does not have are not judged, nor what ALTER SYSTEM set. */
export function differencesInForce(wanted: Settings, found: InForce): ParameterDifference[] {
  const all: Settings = { ...patroniDefaults, ...wanted };
  const named = Object.entries(all).flatMap(([name, value]): ParameterDifference[] => {
    const has = found.values[name.toLowerCase()] ?? found.values[name];
    if (has === undefined || found.overridden.includes(name) || sameValue(name, has, value)) return [];
    if (shownOtherwise.includes(name) && !found.pending.includes(name)) return [];
    return [{ name, has, wants: String(value), atStart: changesAtStart(name) ?? found.pending.includes(name) }];
  });
  const takenBack = Object.entries(found.given).flatMap(([name, otherwise]): ParameterDifference[] => {
    const has = found.values[name];
    const kept = Object.hasOwn(all, name) || notOfTheCluster.includes(name) || found.overridden.includes(name);
    if (kept || has === undefined || sameValue(name, has, otherwise)) return [];
    return [{ name, has, wants: otherwise, atStart: true }];
  });
  return [...named, ...takenBack];
}

export interface OrderedChange {
  raised: string[];
  lowered: string[];
}

/** Of the parameters that have an order, those that go up and those that go down. */
export function orderOf(differences: ParameterDifference[]): OrderedChange {
  const ordered = differences.filter(({ name }) => orderedParameters.includes(name));
  const names = (goes: (has: number, wants: number) => boolean) =>
    ordered.flatMap(({ name, has, wants }) => {
      const [a, b] = [numberOf(name, has), numberOf(name, wants)];
      return a !== null && b !== null && goes(a, b) ? [name] : [];
    });
  return { raised: names((has, wants) => wants > has), lowered: names((has, wants) => wants < has) };
}

export function describeDifference({ name, has, wants }: ParameterDifference): string {
  return `${name} is ${has} and becomes ${wants}`;
}
