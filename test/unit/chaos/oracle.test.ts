// The oracle: a run in which all is well passes, and every violation that is planted in it is caught by the check that is for it.

import { describe, expect, test } from 'vitest';
import { parseHistory, type Event, type WriteEvent } from '../../../chaos/history.js';
import { judge, overall, type Verdict } from '../../../chaos/oracle/verdict.js';
import { describeVerdict } from '../../../chaos/report/text.js';
import { baseScenario, fact, recorded, scenarioOf } from './history-builder.js';

const resultOf = (verdict: Verdict, check: RegExp) => verdict.checks.find((c) => check.test(c.name))!.result;

test('a run in which all is well passes, with what it measured', () => {
  const verdict = judge(recorded());
  expect(verdict.checks.filter((c) => c.result !== 'pass')).toEqual([]);
  expect(verdict).toMatchObject({ verdict: 'pass', rtoMs: 2050, ackedLost: 0, dualWritableMs: 0 });
  expect(verdict.errors).toEqual({ ECONNREFUSED: 80 });
  expect(verdict.outages.phases.map((p) => [p.phase, p.ms, p.source])).toEqual([
    ['before the fault', 45, 'run'],
    ['detection and lease', 1000, 'key'],
    ['election', 200, 'key'],
    ['promotion', 364, 'probe'],
    ['proxy and client', 441, 'client'],
  ]);
});

test('what was judged once is judged the same from its journal', () => {
  const history = recorded();
  const text = history.events.map((e) => JSON.stringify(e)).join('\n') + '\n';
  expect(judge(parseHistory(text))).toEqual(judge(history));
});

const isWrite = (e: Event): e is WriteEvent => e.type === 'write';
const withRows = (change: (rows: [number, number][]) => [number, number][]) => (events: Event[]) =>
  events.map((e) => (e.type === 'rows' ? { ...e, rows: change(e.rows) } : e));

/** The client waits from the fault on, gives up by its own limit, and is answered from `untilMs` on. */
function givenUp(write: WriteEvent, untilMs: number): Event[] {
  if (write.sentMs < 5000 || write.sentMs >= untilMs) return [write];
  if (write.sentMs >= 5150) return [];
  return [{ ...write, endedMs: untilMs, outcome: 'indeterminate', error: 'no answer in time' }];
}

/** Each plants one violation; the check named must fail, and with it the run. */
const planted: [what: string, check: RegExp, change: (events: Event[]) => Event[]][] = [
  ['an acknowledged write that is gone', /acknowledged write is lost/, withRows((rows) => rows.slice(1))],
  ['a refused write that is there', /refused write is there/, withRows((rows) => [...rows, [105, 99_999]])],
  ['a write that is there twice', /there twice/, withRows((rows) => [...rows, rows[0]!])],
  [
    'a write that was committed before an earlier one',
    /in the order/,
    withRows((rows) => rows.map(([key, xid]) => (key === 20 ? [key, 1] : [key, xid]))),
  ],
  [
    'two members that take writes at once',
    /two members take writes/,
    (events) =>
      events.map((e) =>
        e.type === 'probe' && e.member === 'acme-1' && e.sentMs > 8000 && e.sentMs < 8500
          ? { ...e, took: true, error: null }
          : e,
      ),
  ],
  [
    'one write of an old leader while another one leads',
    /two members take writes/,
    (events) =>
      events.map((e) => (e.type === 'probe' && e.member === 'acme-3' && e.sentMs === 8060 ? { ...e, took: true } : e)),
  ],
  [
    'a commit that the old leader acknowledged after the new one did',
    /old timeline/,
    (events) => events.map((e) => (isWrite(e) && e.client === 'each' && e.sentMs === 9000 ? { ...e, timeline: 1 } : e)),
  ],
  [
    'no other leader',
    /another member took over/,
    (events) => events.filter((e) => !(e.type === 'key' && e.atMs > 5000)),
  ],
  [
    'one timeline more than expected',
    /timelines/,
    (events) => events.map((e) => (e.type === 'converged' ? { ...e, timeline: 3 } : e)),
  ],
  [
    'writes that go on too late',
    /writes go on in time/,
    (events) =>
      events.map((e) =>
        isWrite(e) && e.sentMs >= 5000 && e.sentMs < 9500 ? { ...e, outcome: 'failed', error: 'X' } : e,
      ),
  ],
  [
    'one kind of client that is too late',
    /writes go on in time/,
    (events) =>
      events.map((e) =>
        isWrite(e) && e.client === 'session' && e.sentMs >= 5000 && e.sentMs < 9500 ? { ...e, outcome: 'failed' } : e,
      ),
  ],
  [
    'connected clients that all wait for their own limit',
    /writes go on in time/,
    (events) => events.flatMap((e) => (isWrite(e) && e.client === 'session' ? givenUp(e, 9500) : [e])),
  ],
  [
    'new connections that all wait for their own limit',
    /writes go on in time/,
    (events) => events.flatMap((e) => (isWrite(e) && e.client === 'each' ? givenUp(e, 9500) : [e])),
  ],
  [
    'one connected client of three that is never answered again',
    /every client goes on/,
    (events) =>
      events.flatMap((e) => (isWrite(e) && e.client === 'session' && e.writer === 2 && e.sentMs > 5000 ? [] : [e])),
  ],
  [
    'writes that never go on',
    /writes go on in time/,
    (events) => events.filter((e) => !(isWrite(e) && e.sentMs >= 5000)),
  ],
  [
    'reads that stop',
    /reads go on/,
    (events) =>
      events.map((e) =>
        e.type === 'read' && e.sentMs > 6000 && e.sentMs < 8000 ? { ...e, error: 'X', seen: null } : e,
      ),
  ],
  [
    'reads that are old',
    /not older/,
    (events) => events.map((e) => (e.type === 'read' && e.sentMs > 11_000 ? { ...e, seen: 100 } : e)),
  ],
  [
    'a cluster that is not whole again',
    /whole again/,
    (events) =>
      events.map((e) => (e.type === 'converged' ? { ...e, atMs: null, missing: ['acme-1 does not stream'] } : e)),
  ],
  [
    'a cluster that is whole too late',
    /whole again/,
    (events) => events.map((e) => (e.type === 'converged' ? { ...e, atMs: 5200 + 10_001 } : e)),
  ],
];

test.each(planted)('%s is caught', (_what, check, change) => {
  const verdict = judge(recorded(change));
  expect(resultOf(verdict, check)).toBe('fail');
  expect(verdict.verdict).toBe('fail');
});

const without = (type: Event['type']) => (events: Event[]) => events.filter((e) => e.type !== type);

/** Each takes an assumption away; the run must be unknown, never pass. */
const unproven: [what: string, check: RegExp, change: (events: Event[]) => Event[]][] = [
  [
    'a fault that had no effect',
    /took effect/,
    (events) => events.map((e) => (e.type === 'fault' && e.state === 'effective' ? { ...e, state: 'ineffective' } : e)),
  ],
  [
    'a fault that was never done',
    /took effect/,
    (events) => events.filter((e) => e.type !== 'fault' || e.state === 'injecting'),
  ],
  [
    'one kind of client that never wrote',
    /enough load/,
    (events) => events.filter((e) => !(isWrite(e) && e.client === 'each')),
  ],
  [
    'a clock that is off',
    /clocks/,
    (events) => events.map((e) => (e.type === 'clock' && e.host === 'h2' ? { ...e, offsetMs: 5000 } : e)),
  ],
  ['clocks that nobody looked at', /clocks/, without('clock')],
  [
    'a member that was not probed to the end',
    /was watched/,
    (events) => events.filter((e) => !(e.type === 'probe' && e.sentMs > 6000)),
  ],
  [
    'probes with a gap',
    /was watched/,
    (events) => events.filter((e) => !(e.type === 'probe' && e.sentMs > 2000 && e.sentMs < 8000)),
  ],
  ['rows that were never read', /acknowledged write is lost/, without('rows')],
  ['a journal that was cut off', /went to its end/, without('end')],
  ['a run that was aborted', /went to its end/, (events) => [...events, { type: 'abort', atMs: 6000, why: 'Ctrl-C' }]],
  ['a leader that was never seen', /took over/, without('key')],
];

test.each(unproven)('%s makes the run unknown', (_what, check, change) => {
  const verdict = judge(recorded(change));
  expect(resultOf(verdict, check)).toBe('unknown');
  expect(verdict.verdict).toBe('unknown');
});

test('a violation that was seen counts, whatever else is missing', () => {
  const verdict = judge(recorded((events) => without('clock')(planted[0]![2](events))));
  expect(verdict.verdict).toBe('fail');
});

test('a failover where none may be is caught', () => {
  const scenario = scenarioOf(
    baseScenario.replace('failover: required', 'failover: forbidden').replace('timelines: 1', 'timelines: 0'),
  );
  const verdict = judge(recorded((e) => e, scenario));
  expect(resultOf(verdict, /nobody took over/)).toBe('fail');
  expect(resultOf(verdict, /timelines/)).toBe('fail');
});

test('a change of leader without a new timeline is caught even where no number is expected', () => {
  const scenario = scenarioOf(baseScenario.replace('  timelines: 1\n', ''));
  const same = (events: Event[]) => events.map((e) => (e.type === 'converged' ? { ...e, timeline: 1 } : e));
  expect(resultOf(judge(recorded(same, scenario)), /timelines/)).toBe('fail');
});

test("the limit is the model's where the scenario says so, and the slow case's when both leaders were on one host", () => {
  const model = scenarioOf(baseScenario.replace('{ within: 4s }', '{ model: host-loss }'));
  const predictions = (of: Record<string, number>) => (events: Event[]) =>
    events.map((e) =>
      e.type === 'model'
        ? {
            ...e,
            predictions: Object.entries(of).map(([failure, maxMs]) => ({
              ...{ failure: failure as 'crash', what: failure, minMs: 0, avgMs: 0, maxMs, phases: [] },
            })),
          }
        : e.type === 'fault' && e.state === 'injecting'
          ? { ...e, leadsBoth: of['host-loss-etcd-leader'] !== undefined }
          : e,
    );
  const apart = judge(recorded(predictions({ 'host-loss': 1000 }), model));
  expect(apart).toMatchObject({ predictedRtoMs: 1000, predictedKind: 'host-loss', verdict: 'fail' });
  const together = judge(recorded(predictions({ 'host-loss': 1000, 'host-loss-etcd-leader': 3000 }), model));
  expect(together).toMatchObject({ predictedRtoMs: 3000, predictedKind: 'host-loss-etcd-leader', verdict: 'pass' });
  expect(resultOf(judge(recorded(without('model'), model)), /in time/)).toBe('unknown');
});

describe("a client's own limits", () => {
  const model = scenarioOf(baseScenario.replace('{ within: 4s }', '{ model: crash }'));
  const ofSession = (which: (e: WriteEvent) => boolean) => (events: Event[]) =>
    events.flatMap((e) => (isWrite(e) && e.client === 'session' && which(e) ? givenUp(e, 14_000) : [e]));

  test('of one client that waits at a lost entry are no outage of the service, and are told', () => {
    const verdict = judge(
      recorded(
        ofSession((e) => e.writer === 1),
        model,
      ),
    );
    expect(verdict).toMatchObject({ verdict: 'pass', rtoMs: 2100 });
    expect(verdict.outages.session).toMatchObject({ clients: 3, oneClientMs: 9150, givenUp: 1 });
    expect(verdict.checks.find((c) => c.name === 'every client goes on')!.found).toContain('9150 ms');
    expect(describeVerdict(verdict)).toContain('one of them 9.15 s');
  });

  test('are not added to what the model allows', () => {
    const verdict = judge(
      recorded(
        ofSession(() => true),
        model,
      ),
    );
    expect(resultOf(verdict, /writes go on in time/)).toBe('fail');
    expect(verdict.rtoMs).toBeGreaterThan(9000);
  });

  test('bound what one client may wait', () => {
    const longer = (events: Event[]) =>
      events.map((e): Event => (e.type === 'run' ? { ...e, clientLimits: { connectMs: 1000, answerMs: 2000 } } : e));
    const verdict = judge(recorded((events) => longer(ofSession((e) => e.writer === 1)(events)), model));
    expect(resultOf(verdict, /writes go on in time/)).toBe('pass');
    expect(resultOf(verdict, /every client goes on/)).toBe('fail');
  });

  test('make an old run, whose one connected client ran into them, unknown', () => {
    const old = (events: Event[]) =>
      events.map((e): Event => {
        const copy = { ...e };
        if (isWrite(copy)) delete copy.writer;
        return copy;
      });
    expect(judge(recorded(old, model))).toMatchObject({ verdict: 'pass', rtoMs: 2050 });
    const verdict = judge(recorded((events) => old(ofSession(() => true)(events)), model));
    expect(resultOf(verdict, /writes go on in time/)).toBe('unknown');
    expect(verdict.verdict).toBe('unknown');
  });
});

test('a run that was cut off has an outage to what was last seen', () => {
  const cut = (events: Event[]) =>
    events.filter(
      (e) =>
        !(e.type === 'phase' && e.phase === 'end') && !(isWrite(e) && e.outcome === 'acknowledged' && e.sentMs > 5000),
    );
  expect(judge(recorded(cut)).rtoMs).toBeNull();
});

test('WAL that only the old leader had is counted from its log', () => {
  const log = (line: string): Event => ({ type: 'log', atMs: 8000, member: 'acme-1', line });
  const verdict = judge(
    recorded((events) => [
      ...events,
      log('INFO: Local timeline=1 lsn=1/5000180'),
      log('pg_rewind: servers diverged at WAL location 1/5000100 on timeline 1'),
    ]),
  );
  expect(verdict).toMatchObject({ walLostBytes: 0x80, walLostAtMostBytes: 0x80 });
  expect(judge(recorded())).toMatchObject({ walLostBytes: null, walLostAtMostBytes: null });
  // The recovery from its crash had filled the segment up.
  const filled = judge(
    recorded((events) => [
      ...events,
      log('INFO: Local timeline=2 lsn=0/5000028'),
      log('INFO:  stderr=pg_rewind: servers diverged at WAL location 0/4200038 on timeline 2'),
    ]),
  );
  expect(filled).toMatchObject({ walLostBytes: null, walLostAtMostBytes: 0x5000000 - 0x4200038 });
  expect(describeVerdict(filled)).toContain('at most 14680008 bytes of WAL');
});

test('a member that answers again after a pause is another writer only if it really takes writes', () => {
  const silent = (events: Event[]) =>
    events.map((e): Event => (e.type === 'member' ? { ...e, fact: fact({ role: 'leader' }) } : e));
  expect(judge(recorded(silent)).dualWritableMs).toBe(0);
});

test('false beats unknown beats true', () => {
  const check = (result: 'pass' | 'fail' | 'unknown') => ({ name: result, result, found: '' });
  expect(overall([check('pass'), check('unknown'), check('fail')])).toBe('fail');
  expect(overall([check('pass'), check('unknown')])).toBe('unknown');
  expect(overall([check('pass')])).toBe('pass');
});

test('a journal with a gap is refused, one that was cut off in its last line is not', () => {
  const lines = recorded().events.map((e) => JSON.stringify(e));
  expect(() => parseHistory([lines[0], '{"type":', lines[2], ''].join('\n'))).toThrow('line 2');
  expect(parseHistory([lines[0], lines[1], '{"type":'].join('\n')).events).toHaveLength(2);
});
