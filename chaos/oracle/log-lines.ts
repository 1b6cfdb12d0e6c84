// Which lines of the components' logs tell a step of a failover, and what they tell: Patroni 4.0, PostgreSQL 17, HAProxy 3.0, systemd.
// PgBouncer runs quietly and logs nothing; of its units there is only what systemd says.

import type { LogEvent } from '../history.js';

export const components = ['patroni', 'postgres', 'haproxy', 'systemd'] as const;
export type Component = (typeof components)[number];

/** What a line tells of a change of leader; `about` is the member that HAProxy speaks of. */
export type Mark =
  /** A leader's own Patroni found out that it cannot lead. */
  | { kind: 'gives-up' }
  /** The key was given up by who held it. */
  | { kind: 'released' }
  /** A member asks the others where they are, because nobody leads. */
  | { kind: 'races' }
  | { kind: 'won' }
  | { kind: 'promoting' }
  /** PostgreSQL lets clients in that may write. */
  | { kind: 'ready' }
  /** An entry gives the leader's traffic to nobody, or to this member. */
  | { kind: 'down'; about: string }
  | { kind: 'up'; about: string };

const patroni: [RegExp, Mark | null][] = [
  [/Postgresql is not running\.$/, { kind: 'gives-up' }],
  [/Primary crashed\. Failing over\.$/, { kind: 'gives-up' }],
  [/emoting (self|myself|primary)\b/, { kind: 'gives-up' }],
  [/\b(Leader key released|released leader key voluntarily|removed leader (key|lock))\b/, { kind: 'released' }],
  // Not a leader's questions about failsafe mode, which are POSTs to /failsafe.
  [/\b(Got quorum vote from |Got response from \S+ \S+\/patroni: |Request failed to \S+: GET )/, { kind: 'races' }],
  [/\b(promoted self to leader by acquiring session lock|acquired session lock as a leader)$/, { kind: 'won' }],
  [
    /Could not take out TTL lock|following (a different|new) leader|not the healthiest|Lock owner: |no longer has the lock/,
    null,
  ],
  [
    /watchdog|failsafe|DCS is not accessible|communicating with DCS|rewind|diverged|Local timeline=|stopped PostgreSQL/,
    null,
  ],
];

const postgres: [RegExp, Mark | null][] = [
  [/received promote request$/, { kind: 'promoting' }],
  [/database system is ready to accept connections$/, { kind: 'ready' }],
  [/selected new timeline ID|received (smart|fast|immediate) shutdown request|database system is shut down/, null],
  [
    /server process .* was terminated|terminating any other active|database system was (interrupted|not properly)/,
    null,
  ],
];

/** `pg_rewind` prints without a stamp, among Patroni's lines. */
const unstamped: [RegExp, Mark | null][] = [[/^pg_rewind: |servers diverged at WAL location/, null]];

const systemd: [RegExp, Mark | null][] = [
  [/Main process exited|Scheduled restart job|^Started pgs|^Stopped pgs/, null],
];

const stampOfPatroni = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+: /;
const stampOfPostgres = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ \[\d+\] /;

/** Whose line it is, by its form. @param by - the program that journald has it from */
export function componentOf(line: string, by: string): Component {
  if (by === 'systemd' || by === 'haproxy') return by;
  return stampOfPostgres.test(line) ? 'postgres' : 'patroni';
}

function rulesOf(component: Component, line: string): [RegExp, Mark | null][] {
  if (component === 'postgres') return postgres;
  if (component === 'systemd') return systemd;
  return stampOfPatroni.test(line) ? patroni : unstamped;
}

/** Worth recording: a mark, or what people want to see beside the marks. */
export function isTelling(component: Component, line: string, tenant: string): boolean {
  if (component === 'haproxy') return serverOf(line)?.tenant === tenant;
  return rulesOf(component, line).some(([rule]) => rule.test(line));
}

/** Null when the line tells nothing that a phase begins or ends with. */
export function markOf({ component, line }: Pick<LogEvent, 'component' | 'line'>): Mark | null {
  if (component === undefined) return null;
  if (component === 'haproxy') {
    const server = serverOf(line);
    return server ? { kind: server.state === 'UP' ? 'up' : 'down', about: server.member } : null;
  }
  return rulesOf(component, line).find(([rule]) => rule.test(line))?.[1] ?? null;
}

/** Only the backend that asks who leads: the others follow it, or ask something else. */
function serverOf(line: string): { tenant: string; member: string; state: 'UP' | 'DOWN' } | null {
  const found = /\bServer ([a-z0-9-]+):leader\/([a-z0-9-]+) is (UP|DOWN)\b/.exec(line);
  return found ? { tenant: found[1]!, member: found[2]!, state: found[3] as 'UP' | 'DOWN' } : null;
}
