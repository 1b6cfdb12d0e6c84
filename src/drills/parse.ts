// Schedules from what people type. Whatever cannot be is refused here, with what was wrong.

import { Cron } from 'croner';
import { didYouMean } from '../did-you-mean.js';
import { PgsError } from '../errors.js';
import { cronOf, scheduleName, type When, type Window } from './schedule.js';

function refuse(option: string, text: string, fault: string, hint?: string): PgsError {
  return new PgsError('usage', {
    doing: `reading ${option}`,
    found: `${JSON.stringify(text.slice(0, 80))} is refused: ${fault}`,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** @throws PgsError `usage` for what is no cron line of five fields, never comes, or is no time zone */
export function parseCron(cron: string, tz: string, now: Date): When {
  parseZone(tz);
  try {
    const parsed = cronOf({ cron, tz });
    if (parsed.nextRun(now) === null) throw new Error('it never comes');
  } catch (thrown) {
    const why = (thrown instanceof Error ? thrown.message : String(thrown)).replace(/^Cron\w+: /, '');
    throw refuse('--cron', cron, why, 'Five fields: minute, hour, day of month, month, day of week: "0 3 * * 1".');
  }
  return { cron, tz };
}

/** @throws PgsError `usage` */
export function parseZone(tz: string): string {
  const known = Intl.supportedValuesOf('timeZone');
  try {
    new Intl.DateTimeFormat('en-GB', { timeZone: tz });
    return tz;
  } catch {
    throw refuse('--tz', tz, `there is no time zone of that name${didYouMean(tz, known)}`, 'Such as Europe/Berlin.');
  }
}

/** `02:00-05:00`. @throws PgsError `usage` */
export function parseWindow(text: string, tz: string): Window {
  const found = /^((?:[01]\d|2[0-3]):[0-5]\d)-((?:[01]\d|2[0-3]):[0-5]\d)$/.exec(text);
  const [, from, to] = found ?? [];
  if (from === undefined || to === undefined || from === to)
    throw refuse('--window', text, 'it is not HH:MM-HH:MM with two different times');
  return { from, to, tz };
}

const unitsMs: Record<string, number> = { s: 1000, m: 60_000, min: 60_000, h: 3_600_000 };

/** `30s`, `20m`, `1h`, from a second to a day, in milliseconds. @throws PgsError `usage` */
export function parseSpan(option: string, text: string): number {
  const found = /^(\d{1,6})(s|m|min|h)$/.exec(text);
  const ms = found ? Number(found[1]) * unitsMs[found[2]!]! : 0;
  if (ms >= 1000 && ms <= 24 * 3_600_000) return ms;
  throw refuse(option, text, 'it is not a time such as 30s, 20m or 1h, of at most a day');
}

/** @throws PgsError `usage` */
export function parseName(text: string): string {
  if (scheduleName.test(text)) return text;
  throw refuse('--name', text, 'it is not a word of a-z, 0-9 and hyphens');
}

/** An ISO 8601 time with a zone or in `tz`, or `HH:MM`: the next one in `tz`. @throws PgsError `usage` for another, or one that is past */
export function parseAt(text: string, tz: string, now: Date): When {
  parseZone(tz);
  const at = moment(text, tz, now);
  if (at === null) {
    throw refuse('--at', text, 'it is no time', 'Such as 2026-12-01T03:00, 2026-12-01T03:00Z, or 03:00.');
  }
  if (at <= now) throw refuse('--at', text, `${at.toISOString()} is past`);
  return { at: at.toISOString() };
}

function moment(text: string, tz: string, now: Date): Date | null {
  const clock = /^([01]?\d|2[0-3]):([0-5]\d)$/.exec(text);
  if (clock) return cronOf({ cron: `${Number(clock[2])} ${Number(clock[1])} * * *`, tz }).nextRun(now);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/.test(text)) return null;
  if (/(Z|[+-]\d\d:\d\d)$/.test(text)) return Number.isNaN(Date.parse(text)) ? null : new Date(text);
  // Without a zone it is a time of `tz`; Croner reads it so.
  try {
    const whole = /T\d\d:\d\d$/.test(text) ? `${text}:00` : text.replace(/\.\d+$/, '');
    return new Cron(whole, { timezone: tz, paused: true, allowPast: true }).nextRun(new Date(0));
  } catch {
    return null;
  }
}
