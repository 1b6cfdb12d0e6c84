// Positions in WAL, where a timeline forks from the one before, and whether that lost anything. Pure but for the commands as values.

import type { Command } from '../host/command.js';
import { readTemplate } from '../host/template.js';
import type { Cluster } from '../topology/cluster.js';

/** Bytes since the start of WAL of a position such as `0/40006F8`; null if it is none. */
export function parseLsn(text: string): number | null {
  const found = /^([0-9A-F]{1,8})\/([0-9A-F]{1,8})$/i.exec(text.trim());
  return found ? parseInt(found[1]!, 16) * 2 ** 32 + parseInt(found[2]!, 16) : null;
}

export interface Fork {
  /** Timeline that was left. */
  from: number;
  /** Its end: the first byte of the new timeline. */
  atBytes: number;
}

/** The last line of a timeline history file: parent timeline, position, reason, tab separated (PostgreSQL's timeline.c). */
export function parseFork(history: string): Fork | null {
  const last = history
    .split('\n')
    .filter((line) => /^\d+\t/.test(line))
    .at(-1);
  const [timeline, position] = last?.split('\t') ?? [];
  const atBytes = position === undefined ? null : parseLsn(position);
  return atBytes === null ? null : { from: Number(timeline), atBytes };
}

/**
 * The most that lies between the beginning of the old leader's shutdown checkpoint and the fork: that record itself (114 bytes,
 * aligned to 120; measured 120 with PostgreSQL 17) and the header of a WAL page or segment that it may run into (40).
 */
const shutdownRecordBytesMax = 256;

export type ForkVerdict =
  /** The new timeline begins right behind the old leader's last record: nothing was lost, nothing was added. */
  | 'at the shutdown'
  /** The new leader did not have the old one's end. */
  | 'before the shutdown'
  /** The old leader wrote after its shutdown was seen, which should not happen. */
  | 'after the shutdown';

/** `shutdownBytes`: position of the old leader's shutdown checkpoint record. */
export function judgeFork(fork: Fork, shutdownBytes: number): ForkVerdict {
  if (fork.atBytes <= shutdownBytes) return 'before the shutdown';
  return fork.atBytes <= shutdownBytes + shutdownRecordBytesMax ? 'at the shutdown' : 'after the shutdown';
}

/** Waits for PostgreSQL of the member on the host to shut down in order, and prints the position of its last record. */
export function awaitShutdown({ paths, spec }: Cluster, limitS: number): Command {
  const controldata = `/usr/lib/postgresql/${spec.postgres}/bin/pg_controldata`;
  return {
    argv: ['sh', '-c', readTemplate('postgres/await-shutdown.sh'), 'sh', controldata, paths.data, String(limitS)],
    timeoutMs: (limitS + 5) * 1000,
  };
}

/**
 * Stops the leader's PostgreSQL in order, with everything sent to the successor, and prints the position of its last record. What
 * then happens is Patroni's to do.
 */
export function stopLeader({ osUser, paths, ports, spec }: Cluster, successor: string, limitS: number): Command {
  const bin = `/usr/lib/postgresql/${spec.postgres}/bin`;
  return {
    argv: [
      ...['sh', '-c', readTemplate('postgres/stop-leader.sh'), 'sh'],
      ...[bin, paths.data, osUser, paths.run, String(ports.postgres), successor, String(limitS)],
    ],
    timeoutMs: (limitS + 15) * 1000,
  };
}

/** Of what `stopLeader` prints; null when PostgreSQL has not stopped in order. */
export function parseStopped(printed: string): number | null {
  const [state, position] = printed.split('\n');
  return state === 'stopped' ? parseLsn(position ?? '') : null;
}

/** SQL for the history file of a timeline, on a member that has it. */
export function readHistory(timeline: number): string {
  return `SELECT pg_read_file('pg_wal/${timeline.toString(16).toUpperCase().padStart(8, '0')}.history')`;
}

/** SQL: client transactions that are open for longer than `limitS`, a JSON object each line; what they run is not shown. */
export function longTransactions(limitS: number): string {
  return `SELECT json_build_object('pid', pid, 'user', usename, 'database', datname, 'application', application_name,
    'state', state, 'ageS', floor(extract(epoch FROM now() - xact_start)))
  FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND xact_start < now() - interval '${limitS} s' ORDER BY xact_start`;
}

/** SQL that ends those transactions' sessions. */
export function endLongTransactions(limitS: number): string {
  return `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND xact_start < now() - interval '${limitS} s'`;
}
