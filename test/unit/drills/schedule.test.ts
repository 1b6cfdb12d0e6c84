// What is due when: cron in time zones, clocks that are changed, windows, deadlines, what was missed.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseAt, parseCron, parseSpan, parseWindow, parseZone } from '../../../src/drills/parse.js';
import { cronOf, decide, isOpen, nextDue, type Schedule } from '../../../src/drills/schedule.js';
import { scheduleOf } from '../../fixtures/daemons.js';

const at = (text: string) => new Date(text);

const schedule = (change: Partial<Schedule> = {}) =>
  scheduleOf({
    when: { cron: '0 3 * * 1', tz: 'Europe/Berlin' },
    createdAt: '2026-11-21T00:00:00.000Z',
    handledUntil: '2026-11-21T00:00:00.000Z',
    ...change,
  });

describe('what a schedule wants', () => {
  it('is nothing before its time, and says when that is', () => {
    expect(decide(schedule(), at('2026-11-23T01:59:59Z'))).toEqual({
      kind: 'idle',
      nextAt: at('2026-11-23T02:00:00Z'),
    });
  });

  it('is to begin at its time, and as long as the deadline lasts', () => {
    for (const now of ['2026-11-23T02:00:00Z', '2026-11-23T02:30:00Z', '2026-11-23T03:00:00Z'])
      expect(decide(schedule(), at(now))).toEqual({ kind: 'run', dueAt: at('2026-11-23T02:00:00Z') });
  });

  it('is to be recorded as missed after the deadline', () => {
    expect(decide(schedule(), at('2026-11-23T03:00:01Z'))).toMatchObject({
      kind: 'missed',
      dueAt: at('2026-11-23T02:00:00Z'),
      count: 1,
    });
  });

  it('is nothing any more once it was handled', () => {
    const done = schedule({ handledUntil: '2026-11-23T02:00:00.000Z' });
    expect(decide(done, at('2026-11-23T02:10:00Z'))).toEqual({ kind: 'idle', nextAt: at('2026-11-30T02:00:00Z') });
  });

  it('comes no second time when the clock goes a little back', () => {
    const done = schedule({ handledUntil: '2026-11-23T02:00:00.000Z' });
    for (const now of ['2026-11-23T01:59:58Z', '2026-11-23T01:10:00Z', '2026-11-23T02:00:00Z']) {
      expect(decide(done, at(now))).toEqual({ kind: 'idle', nextAt: at('2026-11-30T02:00:00Z') });
    }
  });

  it('is counted from now on when a clock was far ahead', () => {
    const done = schedule({ handledUntil: '2027-11-22T02:00:00.000Z' });
    expect(decide(done, at('2026-11-23T01:00:00Z'))).toEqual({
      kind: 'clock-was-ahead',
      handledUntil: at('2027-11-22T02:00:00Z'),
    });
    expect(decide({ ...done, paused: true }, at('2026-11-23T01:00:00Z')).kind).toBe('idle');
  });

  it('is nothing while it is paused', () => {
    expect(decide(schedule({ paused: true }), at('2026-11-23T02:00:00Z'))).toEqual({ kind: 'idle', nextAt: null });
  });

  it('counts what a daemon missed that was away for weeks, and then runs only the last', () => {
    const now = at('2026-12-14T02:10:00Z');
    const missed = decide(schedule(), now);
    expect(missed).toMatchObject({ kind: 'missed', count: 3, until: at('2026-12-07T02:00:00Z') });
    const after = schedule({ handledUntil: '2026-12-07T02:00:00.000Z' });
    expect(decide(after, now)).toEqual({ kind: 'run', dueAt: at('2026-12-14T02:00:00Z') });
  });

  it('is one record however much was missed', () => {
    const often = schedule({ when: { cron: '* * * * *', tz: 'UTC' } });
    const now = at('2026-12-21T00:00:30Z');
    const missed = decide(often, now);
    expect(missed).toMatchObject({ kind: 'missed', count: 100, until: at('2026-12-20T23:00:29.999Z') });
    const after = { ...often, handledUntil: (missed as { until: Date }).until.toISOString() };
    expect(decide(after, now)).toMatchObject({ kind: 'missed', count: 59, until: at('2026-12-20T23:59:00Z') });
  });

  it('is the last of several that are due within the deadline; those before were overtaken', () => {
    const minutely = schedule({ when: { cron: '* * * * *', tz: 'UTC' }, handledUntil: '2026-11-21T10:00:00.000Z' });
    const now = at('2026-11-21T10:03:10Z');
    expect(decide(minutely, now)).toMatchObject({ kind: 'missed', count: 2, until: at('2026-11-21T10:02:00Z') });
    const after = { ...minutely, handledUntil: '2026-11-21T10:02:00.000Z' };
    expect(decide(after, now)).toEqual({ kind: 'run', dueAt: at('2026-11-21T10:03:00Z') });
  });

  it('waits for its window, and is missed when that opens too late', () => {
    const within = schedule({ window: { from: '03:30', to: '05:00', tz: 'Europe/Berlin' } });
    expect(decide(within, at('2026-11-23T02:29:00Z'))).toMatchObject({ kind: 'wait' });
    expect(decide(within, at('2026-11-23T02:30:00Z'))).toMatchObject({ kind: 'run' });
    const late = schedule({ window: { from: '05:00', to: '06:00', tz: 'Europe/Berlin' } });
    expect(decide(late, at('2026-11-23T03:00:00Z'))).toMatchObject({ kind: 'wait' });
    expect(decide(late, at('2026-11-23T04:00:00Z'))).toMatchObject({ kind: 'missed' });
  });

  it('is one run for a time that was given, and then never', () => {
    const once = schedule({ when: { at: '2026-11-22T03:00:00.000Z' } });
    expect(nextDue(once, at('2026-11-21T10:00:00Z'))).toEqual(at('2026-11-22T03:00:00Z'));
    expect(decide(once, at('2026-11-22T03:00:01Z'))).toMatchObject({ kind: 'run' });
    const done = { ...once, handledUntil: '2026-11-22T03:00:00.000Z' };
    expect(decide(done, at('2026-11-22T03:00:05Z'))).toEqual({ kind: 'idle', nextAt: null });
  });

  it('ends, whatever the cron line: handling what it says leads to idle, and each due time comes once', () => {
    const lines = fc.constantFrom('* * * * *', '*/7 * * * *', '30 2 * * *', '0 */6 * * *', '15 4 * * 0');
    const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe');
    const starts = fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2026, 11) });
    fc.assert(
      fc.property(lines, zones, starts, fc.integer({ min: 0, max: 30 * 60 }), (cron, tz, startMs, awayMin) => {
        const now = new Date(startMs + awayMin * 60_000);
        let one = schedule({ when: { cron, tz }, handledUntil: new Date(startMs).toISOString() });
        const runs: Date[] = [];
        for (let n = 0; n < 100; n++) {
          const decision = decide(one, now);
          if (decision.kind === 'idle') return runs.length <= 1;
          const until = decision.kind === 'missed' ? decision.until : (decision as { dueAt: Date }).dueAt;
          if (until.toISOString() <= one.handledUntil || until > now) return false;
          if (decision.kind === 'run') {
            runs.push(until);
            if (now.getTime() - until.getTime() > one.deadlineMs) return false;
          }
          one = { ...one, handledUntil: until.toISOString() };
        }
        return false;
      }),
      { numRuns: 40, seed: 7 },
    );
  });
});

describe('clocks that are changed', () => {
  const due = (cron: string, from: string, count: number) =>
    cronOf({ cron, tz: 'Europe/Berlin' })
      .nextRuns(count, at(from))
      .map((d) => d.toISOString().slice(0, 16));

  it('a time that the spring night leaves out is run right after the gap', () => {
    expect(due('30 2 * * *', '2026-03-28T12:00:00Z', 2)).toEqual(['2026-03-29T01:00', '2026-03-30T00:30']);
  });

  it('a time that the autumn night has twice is run the first time only', () => {
    expect(due('30 2 * * *', '2026-10-24T12:00:00Z', 2)).toEqual(['2026-10-25T00:30', '2026-10-26T01:30']);
  });

  it('what repeats within the hour runs through both', () => {
    expect(due('*/30 * * * *', '2026-10-25T00:10:00Z', 4)).toEqual([
      '2026-10-25T00:30',
      '2026-10-25T01:00',
      '2026-10-25T01:30',
      '2026-10-25T02:00',
    ]);
  });

  it('keeps the local hour over the change', () => {
    expect(due('0 3 * * 1', '2026-10-20T00:00:00Z', 2)).toEqual(['2026-10-26T02:00', '2026-11-02T02:00']);
    expect(due('0 3 * * 1', '2026-03-20T00:00:00Z', 2)).toEqual(['2026-03-23T02:00', '2026-03-30T01:00']);
  });
});

describe('windows', () => {
  it('go over midnight, and their end does not belong to them', () => {
    const night = { from: '22:00', to: '05:00', tz: 'UTC' };
    const open = ['22:00', '23:59', '00:00', '04:59'];
    const shut = ['05:00', '12:00', '21:59'];
    for (const clock of open) expect(isOpen(night, at(`2026-11-21T${clock}:00Z`))).toBe(true);
    for (const clock of shut) expect(isOpen(night, at(`2026-11-21T${clock}:00Z`))).toBe(false);
  });

  it('are of their own zone', () => {
    const tokyo = { from: '02:00', to: '03:00', tz: 'Asia/Tokyo' };
    expect(isOpen(tokyo, at('2026-11-21T17:30:00Z'))).toBe(true);
    expect(isOpen(tokyo, at('2026-11-21T02:30:00Z'))).toBe(false);
  });
});

describe('what people type', () => {
  const now = at('2026-11-21T10:00:00Z');

  it.each([
    ['six fields', '0 0 3 * * 1'],
    ['a day that is none', '0 3 * * 9'],
    ['a day that never comes', '0 0 30 2 *'],
    ['words', 'every monday'],
    ['nothing', ''],
  ])('refuses %s as a cron line', (_what, cron) => {
    expect(() => parseCron(cron, 'UTC', now)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('refuses a zone that is none, and says which was meant', () => {
    expect(() => parseZone('Europe/Berlim')).toThrow(/Europe\/Berlin/);
  });

  it.each(['2-5', '02:00', '02:00-02:00', '24:00-03:00', '02:00-05:60'])('refuses %s as a window', (text) => {
    expect(() => parseWindow(text, 'UTC')).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('reads spans, and refuses those without a unit or beyond a day', () => {
    expect(['30s', '20m', '90min', '1h'].map((t) => parseSpan('--deadline', t))).toEqual([
      30_000, 1_200_000, 5_400_000, 3_600_000,
    ]);
    for (const text of ['30', '0s', '25h', '-1h', '1.5h'])
      expect(() => parseSpan('--deadline', text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it.each([
    ['2026-12-01T03:00Z', '2026-12-01T03:00:00.000Z'],
    ['2026-12-01T03:00', '2026-12-01T02:00:00.000Z'],
    ['2026-12-01T03:00:30+02:00', '2026-12-01T01:00:30.000Z'],
    // 10:00 UTC is 11:00 in Berlin: its next 03:00 is tomorrow's, its next 12:00 is today's.
    ['03:00', '2026-11-22T02:00:00.000Z'],
    ['12:00', '2026-11-21T11:00:00.000Z'],
  ])('reads %s', (text, iso) => {
    expect(parseAt(text, 'Europe/Berlin', now)).toEqual({ at: iso });
  });

  it.each(['2026-11-20T03:00Z', '2026-11-21T10:30', 'tomorrow', '25:00', '2026-13-01T03:00', '2026-13-01T03:00Z'])(
    'refuses %s as a time to come',
    (text) => {
      expect(() => parseAt(text, 'Europe/Berlin', now)).toThrow(expect.objectContaining({ code: 'usage' }));
    },
  );
});
