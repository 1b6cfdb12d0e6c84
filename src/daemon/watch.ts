// What the daemon makes of units that do not run though they should: what is reported, and what it starts by itself. Pure. It knows no
// secret, so it compares no file: what was edited is shown by `pgs status`, `plan` and `doctor`.

/** `report`: says it. `start-units`: starts what stopped, too. `off`: does not look. */
export const watchPolicies = ['off', 'report', 'start-units'] as const;
export type WatchPolicy = (typeof watchPolicies)[number];

/** A unit that should run and does not. */
export interface DownUnit {
  host: string;
  unit: string;
  /** Null: of all tenants. */
  tenant: string | null;
  active: string;
  /** systemd's Result: `success` where somebody stopped it. */
  result: string;
  /** Since when, milliseconds since the epoch by the host's clock; null: it never ran. */
  sinceMs: number | null;
}

export interface WatchFacts {
  down: DownUnit[];
  /** Hosts that could not be asked: what was known of them stays. */
  silent: string[];
  /** Keys in tenants' places in etcd that are neither Patroni's nor pgs's. */
  foreignKeys: string[];
  /** Why nothing may be started now, by tenant, and under '' for all of them: a lock, a pause, an incident, a drill. */
  hold: Record<string, string>;
}

/** What was tried, by host and unit. */
export interface Attempt {
  count: number;
  lastMs: number;
}

export interface WatchState {
  attempts: Record<string, Attempt>;
  /** What was said and still holds. */
  said: string[];
}

export interface WatchDecision {
  start: DownUnit[];
  /** Lines that are new, or are over. */
  say: string[];
  state: WatchState;
}

/** systemd restarts what fails by itself; what stays down that long will not come back. */
const failedForMs = 60_000;
/** Who stopped it by hand may be at work: they have `pgs cluster stop`, `pause` and `pgs drill incident` for longer than that. */
const stoppedForMs = 10 * 60_000;
const backoffMs = { first: 60_000, max: 3_600_000 };

export const noWatchState: WatchState = { attempts: {}, said: [] };

export function decideWatch(facts: WatchFacts, policy: WatchPolicy, before: WatchState, nowMs: number): WatchDecision {
  const keyOf = ({ host, unit }: DownUnit) => `${host} ${unit}`;
  const start =
    policy === 'start-units' ? facts.down.filter((d) => isDue(d, facts, before.attempts[keyOf(d)], nowMs)) : [];
  const stillDown = new Set(facts.down.map(keyOf));
  const isOver = (key: string) => !stillDown.has(key) && !facts.silent.some((host) => key.startsWith(`${host} `));
  // One that is up again begins anew; with a try that did not help the next one comes later.
  const attempts = Object.fromEntries(
    Object.entries(before.attempts).filter(([key, a]) => !(isOver(key) && nowMs - a.lastMs > backoffMs.max)),
  );
  for (const d of start) attempts[keyOf(d)] = { count: (attempts[keyOf(d)]?.count ?? 0) + 1, lastMs: nowMs };
  const now = [
    ...facts.silent.map(describeSilent),
    ...facts.down.map(describeDown),
    ...facts.foreignKeys.map(describeKey),
  ];
  const kept = before.said.filter(
    (line) => now.includes(line) || facts.silent.some((host) => line.includes(` on ${host} `)),
  );
  const over = before.said.filter((line) => !kept.includes(line)).map((line) => `over: ${line}`);
  const fresh = now.filter((line) => !before.said.includes(line));
  return { start, say: [...fresh, ...over], state: { attempts, said: [...new Set([...kept, ...now])] } };
}

function isDue(d: DownUnit, { hold }: WatchFacts, attempt: Attempt | undefined, nowMs: number): boolean {
  if (hold[''] !== undefined || (d.tenant !== null && hold[d.tenant] !== undefined)) return false;
  // Somebody else's tenant may be in the middle of something that this unit is part of.
  if (d.tenant === null && Object.keys(hold).length > 0) return false;
  const waitsMs = d.active === 'failed' || d.result !== 'success' ? failedForMs : stoppedForMs;
  if (d.sinceMs === null || nowMs - d.sinceMs < waitsMs) return false;
  if (!attempt) return true;
  return nowMs - attempt.lastMs >= Math.min(backoffMs.max, backoffMs.first * 2 ** (attempt.count - 1));
}

function describeDown({ host, unit, active, result }: DownUnit): string {
  return `${unit} on ${host} is ${active}${result === 'success' ? ', stopped by somebody' : ` (${result})`}; see \`pgs doctor\``;
}

/** A gate that is older than this pgs refuses the look. */
function describeSilent(host: string): string {
  return `units on ${host} could not be looked at (unreachable, or its gate is old: \`pgs daemon grant\`)`;
}

function describeKey(key: string): string {
  return `${key} in etcd is neither Patroni's nor pgs's`;
}
