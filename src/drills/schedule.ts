// What runs by itself and when: a drill at the times of a cron line in a time zone, or one switchover at one time. Pure: a schedule
// and a moment in, what is due out.

import { Cron } from 'croner';

/** How a schedule is named within its tenant; part of a key of etcd. */
export const scheduleName = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

export type Job =
  | {
      kind: 'drill';
      /** Name of a suite or family, or scenarios with commas between. */
      suite: string;
      /** Scenarios of the user's own, on the machine of the daemon. */
      folder: string | null;
      /** The tenant agreed to disruptive scenarios. */
      consent: 'disruptive' | null;
      /** A drill is aborted and healed when no write was acknowledged for this long, milliseconds. */
      outageMaxMs: number;
    }
  | { kind: 'switchover'; to: string | null; force: boolean };

/** `tz` is an IANA name. `at` is ISO 8601 in UTC: once, then the schedule is over. */
export type When = { cron: string; tz: string } | { at: string };

/** Times of day in the schedule's zone, `HH:MM`; over midnight when `to` is before `from`. The end does not belong to it. */
export interface Window {
  from: string;
  to: string;
  tz: string;
}

export interface Schedule {
  version: 1;
  tenant: string;
  name: string;
  job: Job;
  when: When;
  /** Runs begin only inside it; null: at any time. */
  window: Window | null;
  /** A run that could not begin for this long after its time is missed, milliseconds. */
  deadlineMs: number;
  paused: boolean;
  createdAt: string;
  /** ISO 8601: what was due until then was run, or recorded as missed. */
  handledUntil: string;
}

export type Decision =
  /** Nothing is due; `nextAt` is null when nothing ever will be. */
  | { kind: 'idle'; nextAt: Date | null }
  /** Begin now. */
  | { kind: 'run'; dueAt: Date }
  /** It is due, and its window is not open: look again. */
  | { kind: 'wait'; dueAt: Date; why: string }
  /** `count` runs are too late, or more where that is `missedCountMax`; the first of them was due at `dueAt`. */
  | { kind: 'missed'; dueAt: Date; until: Date; count: number; why: string }
  /** What was handled lies in the future, so that nothing would come for long: count from now on. */
  | { kind: 'clock-was-ahead'; handledUntil: Date };

/** A clock that was ahead by less is let be: a run that was handled just now must not come a second time. Milliseconds. */
export const clockAheadMaxMs = 3_600_000;

/** More missed runs than these are not counted: they are one record with the others. */
export const missedCountMax = 100;

/** What a schedule wants at a moment. Missed runs come first, so that they are recorded before anything else happens. */
export function decide(schedule: Schedule, now: Date): Decision {
  if (schedule.paused) return { kind: 'idle', nextAt: null };
  const handledUntil = new Date(schedule.handledUntil);
  if (handledUntil.getTime() - now.getTime() > clockAheadMaxMs) return { kind: 'clock-was-ahead', handledUntil };
  const lateMs = now.getTime() - schedule.deadlineMs;
  const tooLate = new Date(lateMs - 1);
  const missed = dueBetween(schedule.when, handledUntil, tooLate, missedCountMax);
  if (missed.length > 0) {
    const why = `nothing began it within ${describeDuration(schedule.deadlineMs)}`;
    const until = missed.length < missedCountMax ? missed.at(-1)! : tooLate;
    return { kind: 'missed', dueAt: missed[0]!, until, count: missed.length, why };
  }
  const due = dueBetween(schedule.when, handledUntil, now, Infinity);
  const latest = due.at(-1);
  if (!latest) return { kind: 'idle', nextAt: nextDue(schedule, now) };
  const overtaken = due.slice(0, -1);
  if (overtaken.length > 0) {
    const why = 'the next one was due before it could begin';
    return { kind: 'missed', dueAt: overtaken[0]!, until: overtaken.at(-1)!, count: overtaken.length, why };
  }
  if (schedule.window && !isOpen(schedule.window, now)) {
    const { from, to, tz } = schedule.window;
    return { kind: 'wait', dueAt: latest, why: `its window ${from}-${to} (${tz}) is not open` };
  }
  return { kind: 'run', dueAt: latest };
}

/** When it is due next, after `now`; null when never, or when it is paused. */
export function nextDue({ when, paused, handledUntil }: Schedule, now: Date): Date | null {
  if (paused) return null;
  if ('at' in when) return Date.parse(when.at) > Date.parse(handledUntil) ? new Date(when.at) : null;
  return cronOf(when).nextRun(new Date(Math.max(now.getTime(), Date.parse(handledUntil))));
}

/** Times in (after, until], the earliest first, at most `countMax`. */
function dueBetween(when: When, after: Date, until: Date, countMax: number): Date[] {
  if (after.getTime() >= until.getTime()) return [];
  if ('at' in when) {
    const at = new Date(when.at);
    return at > after && at <= until ? [at] : [];
  }
  const cron = cronOf(when);
  const found: Date[] = [];
  let next = cron.nextRun(after);
  while (next !== null && next <= until && found.length < countMax) {
    found.push(next);
    next = cron.nextRun(next);
  }
  return found;
}

/**
 * Cron as Vixie's reads clocks that are changed (Croner 11): a time that a spring night leaves out is run at the first moment after
 * the gap, one that an autumn night has twice is run the first time; what repeats within the hour leaves the gap out and runs through
 * both.
 * @throws Error of Croner for what is no cron line, or no time zone
 */
export function cronOf({ cron, tz }: Extract<When, { cron: string }>): Cron {
  return new Cron(cron, { timezone: tz, mode: '5-part', paused: true });
}

export function isOpen({ from, to, tz }: Window, now: Date): boolean {
  const clock = clockIn(tz, now);
  return from <= to ? clock >= from && clock < to : clock >= from || clock < to;
}

/** `HH:MM` of a moment in a zone. */
function clockIn(tz: string, moment: Date): string {
  return new Intl.DateTimeFormat('en-GB', {
    timeZone: tz,
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(moment);
}

/** `90 s`, `30 min`, `1 h`. */
export function describeDuration(ms: number): string {
  const [unit, size] = ms % 3_600_000 === 0 ? ['h', 3_600_000] : ms % 60_000 === 0 ? ['min', 60_000] : ['s', 1000];
  return `${Number((ms / Number(size)).toFixed(1))} ${unit}`;
}
