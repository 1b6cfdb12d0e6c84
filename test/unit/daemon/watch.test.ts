// What the daemon makes of units that do not run: when it says so, when it starts them, and when it keeps its hands off.

import { expect, test } from 'vitest';
import {
  decideWatch,
  noWatchState,
  type DownUnit,
  type WatchFacts,
  type WatchPolicy,
} from '../../../src/daemon/watch.js';
import { parseUnits } from '../../../src/daemon/watch-live.js';

const nowMs = Date.parse('2026-11-21T12:00:00Z');
const minute = 60_000;

const down = (change: Partial<DownUnit> = {}): DownUnit => ({
  host: 'h1',
  unit: 'pgs-pgbouncer@acme.service',
  tenant: 'acme',
  active: 'failed',
  result: 'exit-code',
  sinceMs: nowMs - 2 * minute,
  ...change,
});
const facts = (change: Partial<WatchFacts> = {}): WatchFacts => ({
  down: [down()],
  silent: [],
  foreignKeys: [],
  hold: {},
  ...change,
});
const started = (given: WatchFacts, policy: WatchPolicy = 'start-units') =>
  decideWatch(given, policy, noWatchState, nowMs).start.map(({ unit }) => unit);

test('by default it says what does not run, once, and says when that is over', () => {
  const first = decideWatch(facts(), 'report', noWatchState, nowMs);
  expect(first.start).toEqual([]);
  expect(first.say).toEqual([expect.stringMatching(/pgs-pgbouncer@acme.service on h1 is failed \(exit-code\)/)]);
  const second = decideWatch(facts(), 'report', first.state, nowMs + minute);
  expect(second.say).toEqual([]);
  expect(decideWatch(facts({ down: [] }), 'report', second.state, nowMs + 2 * minute).say).toEqual([
    expect.stringMatching(/^over: /),
  ]);
});

test('it starts what failed a minute ago, and what somebody stopped ten minutes ago', () => {
  const stopped = (agoMs: number) =>
    facts({ down: [down({ active: 'inactive', result: 'success', sinceMs: nowMs - agoMs })] });
  expect(started(facts())).toHaveLength(1);
  expect(started(facts({ down: [down({ sinceMs: nowMs - 30_000 })] }))).toEqual([]);
  expect(started(stopped(9 * minute))).toEqual([]);
  expect(started(stopped(11 * minute))).toHaveLength(1);
  expect(started(facts({ down: [down({ sinceMs: null })] }))).toEqual([]);
});

test('it starts nothing of a tenant that somebody changes or has paused, nor during an incident or a drill', () => {
  const shared = down({ unit: 'pgs-haproxy.service', tenant: null });
  expect(started(facts({ hold: { acme: 'somebody changes it' } }))).toEqual([]);
  expect(started(facts({ hold: { bolt: 'somebody changes it' } }))).toHaveLength(1);
  expect(started(facts({ hold: { '': 'an incident is on' } }))).toEqual([]);
  expect(started(facts({ down: [shared], hold: { bolt: 'paused' } }))).toEqual([]);
  expect(started(facts({ down: [shared] }))).toHaveLength(1);
});

test('a start that does not help is tried again after one, two, four minutes, and once an hour at the end', () => {
  let state = noWatchState;
  const at: number[] = [];
  for (let minutes = 0; minutes < 300; minutes++) {
    const decision = decideWatch(facts(), 'start-units', state, nowMs + minutes * minute);
    if (decision.start.length > 0) at.push(minutes);
    state = decision.state;
  }
  expect(at.slice(0, 5)).toEqual([0, 1, 3, 7, 15]);
  expect(at.at(-1)! - at.at(-2)!).toBe(60);
});

test('one that comes up for a moment and fails again does not begin anew', () => {
  let { state } = decideWatch(facts(), 'start-units', noWatchState, nowMs);
  ({ state } = decideWatch(facts(), 'start-units', state, nowMs + minute));
  ({ state } = decideWatch(facts({ down: [] }), 'start-units', state, nowMs + 2 * minute));
  expect(decideWatch(facts(), 'start-units', state, nowMs + 2.5 * minute).start).toEqual([]);
});

test('a host that does not answer is not taken for mended', () => {
  const first = decideWatch(facts(), 'report', noWatchState, nowMs);
  const second = decideWatch(facts({ down: [], silent: ['h1'] }), 'report', first.state, nowMs + minute);
  expect(second.say).toEqual([expect.stringMatching(/^units on h1 could not be looked at/)]);
  const third = decideWatch(facts({ down: [] }), 'report', second.state, nowMs + 2 * minute);
  expect(third.say).toEqual([
    expect.stringMatching(/^over: pgs-pgbouncer/),
    expect.stringMatching(/^over: units on h1/),
  ]);
});

test('a key that is nobody’s is said, and nothing else', () => {
  const decision = decideWatch(
    facts({ down: [], foreignKeys: ['/pgs/dcs/acme/x'] }),
    'start-units',
    noWatchState,
    nowMs,
  );
  expect(decision.say).toEqual(["/pgs/dcs/acme/x in etcd is neither Patroni's nor pgs's"]);
  expect(decision.start).toEqual([]);
});

test('what systemctl prints is read by unit', () => {
  const printed =
    'Result=success\nId=pgs-haproxy.service\nActiveState=inactive\nInactiveEnterTimestamp=@1795279984\n\nResult=success\nId=pgs-etcd.service\nActiveState=active\nInactiveEnterTimestamp=\n';
  expect(parseUnits(printed)).toEqual({
    'pgs-haproxy.service': { active: 'inactive', result: 'success', sinceMs: 1795279984000 },
    'pgs-etcd.service': { active: 'active', result: 'success', sinceMs: null },
  });
});
