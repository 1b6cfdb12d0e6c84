// The lines of a tenant's units on a host that tell a step of a failover, with their times on the run's own clock.

import type { Command } from '../src/host/command.js';
import { haproxyUnit } from '../haproxy/desired.js';
import { patroniUnit } from '../src/patroni/desired.js';
import { poolerUnit } from '../src/pgbouncer/desired.js';
import type { LogEvent } from './history.js';
import { componentOf, isTelling } from './oracle/log-lines.js';

/** The newest of a host, if it has more to tell. */
const linesMax = 2000;
const lengthMax = 300;

/** Asks journald for more than will be kept: it knows no components. @param sinceS - how long ago the run began */
export function askForLogs(tenant: string, sinceS: number): Command {
  const units = [patroniUnit(tenant), poolerUnit(tenant, 'primary'), poolerUnit(tenant, 'replica'), haproxyUnit];
  const telling =
    `Server ${tenant}:leader/|Lock owner|(session|TTL|leader) lock|has the lock|emoting|emoted self|[Ll]eader key|new leader|not the healthiest` +
    '|quorum vote|Got response|Request failed|Postgresql is not running|Primary crashed|stopped PostgreSQL|rewind|diverged|Local timeline' +
    '|atchdog|failsafe|DCS|promote request|new timeline|ready to accept connections|shutdown request|is shut down|server process|any other active' +
    '|was interrupted|not properly|Main process exited|restart job|Started pgs|Stopped pgs';
  return {
    argv: [
      'journalctl',
      ...units.flatMap((unit) => ['--unit', unit]),
      // Not --lines, with which journalctl turns the order round.
      ...['--since', `-${Math.ceil(sinceS)}s`, '--grep', telling, '--quiet'],
      ...['--output', 'json', '--output-fields', 'MESSAGE,SYSLOG_IDENTIFIER'],
    ],
    timeoutMs: 20_000,
  };
}

export interface LogSource {
  tenant: string;
  /** Name of the member; of an entry without one, its host. */
  member: string;
  /** A moment of the host's clock (milliseconds since 1970) on the run's clock. */
  toRunMs: (hostMs: number) => number;
  uncertaintyMs: number;
}

/**
 * A host's clock on the run's, from one moment of the controller on both of its own (`runMs` of the run, `wallMs` since 1970) and how far the
 * host's clock is ahead of the latter.
 */
export function onRunClock({ runMs, wallMs, offsetMs }: { runMs: number; wallMs: number; offsetMs: number }) {
  return (hostMs: number): number => runMs + (hostMs - offsetMs - wallMs);
}

/** What journald printed, in the order of its times; lines that tell nothing, or cannot be read, are left out. */
export function parseLogs(printed: string, { tenant, member, toRunMs, uncertaintyMs }: LogSource): LogEvent[] {
  const lines = printed.split('\n').flatMap((text): LogEvent[] => {
    const entry = parseEntry(text);
    if (!entry) return [];
    const component = componentOf(entry.line, entry.by);
    if (!isTelling(component, entry.line, tenant)) return [];
    const atMs = Math.round(toRunMs(stampOf(entry.line, entry.receivedMs)));
    return [{ type: 'log', atMs, member, component, uncertaintyMs, line: entry.line.slice(0, lengthMax) }];
  });
  return lines.sort((a, b) => a.atMs - b.atMs).slice(-linesMax);
}

function parseEntry(text: string): { receivedMs: number; by: string; line: string } | null {
  try {
    const {
      MESSAGE: line,
      SYSLOG_IDENTIFIER: by,
      __REALTIME_TIMESTAMP: at,
    } = JSON.parse(text) as Record<string, unknown>;
    if (typeof line !== 'string' || typeof at !== 'string') return null;
    return { receivedMs: Number(at) / 1000, by: typeof by === 'string' ? by : '', line };
  } catch {
    return null;
  }
}

const quarterHourMs = 900_000;

/**
 * When a line was made. Patroni hands its lines to a thread that may write them 2 s later, so the line's own stamp counts; it has
 * no zone, which is a whole number of quarters of an hour.
 */
export function stampOf(line: string, receivedMs: number): number {
  const found = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)[.,](\d{3}) /.exec(line);
  if (!found) return receivedMs;
  const local = Date.parse(`${found[1]}T${found[2]}.${found[3]}Z`);
  if (Number.isNaN(local)) return receivedMs;
  return local + Math.round((receivedMs - local) / quarterHourMs) * quarterHourMs;
}
