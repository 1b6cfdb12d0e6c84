// Where the time of an outage went: four changes of leader of a real cluster (bench, three hosts), with the lines that journald had of them.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { askForLogs, onRunClock, parseLogs, stampOf } from '../../../chaos/component-logs.js';
import type { Event, History, LogEvent } from '../../../chaos/history.js';
import { componentOf, isTelling, markOf } from '../../../chaos/oracle/log-lines.js';
import { comparePhases, partsOfModel, phasesOf, type Phase } from '../../../chaos/oracle/phases.js';
import { desiredDcsSettings } from '../../../src/patroni/desired.js';
import { liveTiming } from '../../../src/topology/live-timing.js';
import { predictOutages } from '../../../src/topology/rto.js';
import type { TenantRecord } from '../../../src/topology/tenant.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';
import { recorded } from './history-builder.js';

type Change = 'host-loss' | 'crash' | 'switchover' | 'cut-off';

/** A time of 2026-11-21, when they were recorded, in milliseconds since 1970. */
const clock = (time: string) => Date.parse(`2026-11-21T${time}Z`);

/** The runs' clocks begin with the minute before. */
const begins: Record<Change, number> = {
  'host-loss': clock('13:34:00'),
  crash: clock('13:32:00'),
  switchover: clock('13:34:00'),
  'cut-off': clock('13:30:00'),
};

function linesOf(change: Change): LogEvent[] {
  return ['h1', 'h2', 'h3'].flatMap((host, i) => {
    const printed = readFileSync(new URL(`recorded/${change}-${host}.jsonl`, import.meta.url), 'utf8');
    const toRunMs = (hostMs: number) => hostMs - begins[change];
    return parseLogs(printed, { tenant: 'bench', member: `bench-${i + 1}`, toRunMs, uncertaintyMs: 5 });
  });
}

interface Seen {
  before: string;
  next: string;
  injectedMs: number;
  freeMs: number | null;
  takenMs: number;
  tookMs: number | null;
}

function historyOf(logs: Event[], { before, next, injectedMs, freeMs, takenMs, tookMs }: Seen): History {
  const fault = { type: 'fault' as const, step: 0, fault: 'planted', on: ['h1'], note: '' };
  const events: Event[] = [
    { type: 'key', atMs: 10, holder: before },
    { ...fault, atMs: injectedMs, state: 'injecting' },
    ...(freeMs === null ? [] : [{ type: 'key' as const, atMs: freeMs, holder: null }]),
    { type: 'key', atMs: takenMs, holder: next },
    ...(tookMs === null
      ? []
      : [{ type: 'probe' as const, member: next, sentMs: tookMs - 5, endedMs: tookMs, took: true, error: null }]),
    ...logs,
  ];
  return { run: recorded().run, model: null, events };
}

const hostLoss: Seen = {
  before: 'bench-3',
  next: 'bench-2',
  injectedMs: 23_400,
  freeMs: 44_350,
  takenMs: 46_440,
  tookMs: 46_590,
};

describe('from the lines of a real cluster', () => {
  test('the loss of a host is its lease, and 2 s of asking it where it is', () => {
    const phases = phasesOf(historyOf(linesOf('host-loss'), hostLoss), { fromMs: 23_350, toMs: 46_700 });
    expect(phases.map((p) => [p.phase, p.ms, p.source])).toEqual([
      ['before the fault', 50, 'run'],
      ['detection', 2074, 'log'],
      ['lease', 18_815, 'log'],
      ['election', 2100, 'log'],
      ['promotion', 112, 'log'],
      ['proxy', 165, 'log'],
      ['client', 34, 'client'],
    ]);
    expect(phases[1]!.shownBy).toContain(
      'haproxy of bench-1: Server bench:leader/bench-3 is DOWN, reason: Layer4 timeout',
    );
    expect(phases[2]!.shownBy).toContain('patroni of bench-1: INFO: Got response from bench-2');
    expect(phases[3]!.shownBy).toBe('patroni of bench-2: INFO: promoted self to leader by acquiring session lock');
    expect(phases[4]!.shownBy).toBe('postgres of bench-2: LOG:  database system is ready to accept connections');
    expect(phases[5]!.shownBy).toContain('Server bench:leader/bench-2 is UP');
  });

  test('a crash is noticed by its own Patroni, which gives the key up', () => {
    const seen = { ...hostLoss, injectedMs: 9600, freeMs: 11_120, takenMs: 11_230, tookMs: 11_420 };
    const phases = phasesOf(historyOf(linesOf('crash'), seen), { fromMs: 9640, toMs: 11_530 });
    expect(phases.map((p) => [p.phase, p.ms, p.source])).toEqual([
      ['before the fault', 0, 'run'],
      ['detection', 1169, 'log'],
      ['lease', 219, 'log'],
      ['election', 202, 'key'],
      ['promotion', 84, 'log'],
      ['proxy', 125, 'log'],
      ['client', 91, 'client'],
    ]);
    expect(phases[1]!.shownBy).toBe('patroni of bench-3: WARNING: Postgresql is not running.');
    expect(phases[2]!.shownBy).toBe('patroni of bench-3: INFO: Leader key released');
  });

  test('in a switchover nothing waits for a lease', () => {
    const seen = { ...hostLoss, before: 'bench-1', next: 'bench-3', injectedMs: 8000, freeMs: null, takenMs: 10_900 };
    const phases = phasesOf(historyOf(linesOf('switchover'), { ...seen, tookMs: null }), {
      fromMs: 10_200,
      toMs: 11_300,
    });
    expect(phases.map((p) => p.phase).slice(1)).toEqual([
      'detection',
      'lease',
      'election',
      'promotion',
      'proxy',
      'client',
    ]);
    expect(phases.find((p) => p.phase === 'lease')!.ms).toBe(215);
  });

  test('of a leader that is cut off an entry knows first; what its own host logs of the others does not count', () => {
    const seen = { ...hostLoss, before: 'bench-2', next: 'bench-3', injectedMs: 26_400, freeMs: 47_010 };
    const history = historyOf(linesOf('cut-off'), { ...seen, takenMs: 49_100, tookMs: 49_280 });
    const phases = phasesOf(history, { fromMs: 26_390, toMs: 49_450 });
    expect(phases.map((p) => [p.phase, p.source])).toEqual([
      ['before the fault', 'run'],
      ['detection', 'log'],
      ['lease', 'log'],
      ['election', 'log'],
      ['promotion', 'log'],
      ['proxy', 'log'],
      ['client', 'client'],
    ]);
    expect(phases[1]!.shownBy).toMatch(/^haproxy of bench-[13]: Server bench:leader\/bench-2 is DOWN/);
    expect(phases.reduce((sum, p) => sum + p.ms, 0)).toBe(49_450 - 26_390);
  });

  test("a host's clock may be off by any time: its lines are put on the run's clock", () => {
    const toRunMs = onRunClock({ runMs: 90_000, wallMs: begins['host-loss'] + 90_000, offsetMs: 7000 });
    expect(toRunMs(clock('13:34:30.250') + 7000)).toBe(30_250);
  });

  test('the order in which hosts were asked does not matter', () => {
    const outage = { fromMs: 23_350, toMs: 46_700 };
    const reversed = [...linesOf('host-loss')].reverse();
    expect(phasesOf(historyOf(reversed, hostLoss), outage)).toEqual(
      phasesOf(historyOf(linesOf('host-loss'), hostLoss), outage),
    );
  });
});

describe('where lines are missing', () => {
  const outage = { fromMs: 23_350, toMs: 46_700 };
  const without = (kind: string) => linesOf('host-loss').filter((l) => markOf(l)?.kind !== kind);
  const shown = (logs: Event[]) => phasesOf(historyOf(logs, hostLoss), outage).map((p) => [p.phase, p.source]);

  test('the key and the probes of the own port stand in, and what nothing tells apart is one', () => {
    expect(phasesOf(historyOf([], hostLoss), outage).map((p) => [p.phase, p.ms, p.source])).toEqual([
      ['before the fault', 50, 'run'],
      ['detection and lease', 44_350 - 23_400, 'key'],
      ['election', 46_440 - 44_350, 'key'],
      ['promotion', 150, 'probe'],
      ['proxy and client', 110, 'client'],
    ]);
  });

  test('each for itself', () => {
    expect(shown(without('down'))).toContainEqual(['detection and lease', 'log']);
    expect(shown(without('races'))).toContainEqual(['lease', 'key']);
    expect(shown(without('won'))).toContainEqual(['election', 'key']);
    expect(shown(without('ready'))).toContainEqual(['promotion', 'probe']);
    expect(shown(without('up'))).toContainEqual(['proxy and client', 'client']);
  });

  test('a run of before components were recorded is split as it was then', () => {
    const old: Event[] = linesOf('host-loss').map(({ type, atMs, member, line }) => ({ type, atMs, member, line }));
    expect(shown(old)).toEqual(shown([]));
  });
});

describe('beside the model', () => {
  const timing = (change: Partial<TenantRecord['spec']>) =>
    liveTiming({
      rto: 'fast',
      patroni: desiredDcsSettings(clusterOf(recordOf('bench', { rto: 'fast', ...change }))),
      etcd: 'heartbeat-interval: 100\nelection-timeout: 1000\n',
      haproxy: '  default-server inter 500ms fastinter 250ms downinter 250ms rise 1 fall 2\n',
    });
  const predictions = [{}, { rpoBytes: 1_048_576 }].flatMap((change) => predictOutages(timing(change)));

  test('every phase of the model lies in one of the outage, so that nothing of its sum is left out', () => {
    for (const prediction of predictions) {
      const names = prediction.phases.map((p) => p.phase);
      expect(names.filter((name) => partsOfModel[name] === undefined)).toEqual([]);
    }
  });

  test('each phase has what the model gives it; one that stands for two has both', () => {
    const loss = predictions.find((p) => p.failure === 'host-loss')!;
    const compared = (logs: Event[]) =>
      comparePhases(phasesOf(historyOf(logs, hostLoss), { fromMs: 23_350, toMs: 46_700 }), loss);
    const sum = (phases: Phase[]) => phases.reduce((ms, p) => ms + (p.predictedMs ?? 0), 0);
    expect(compared(linesOf('host-loss')).map((p) => p.predictedMs !== null)).toEqual([
      ...[false, false, true, true, true, true, false],
    ]);
    expect(sum(compared(linesOf('host-loss')))).toBe(loss.maxMs);
    expect(sum(compared([]))).toBe(loss.maxMs);
  });
});

describe('lines', () => {
  const event = (line: string, by = 'patroni') => ({ component: componentOf(line, by), line });
  const patroni = (text: string) => `2026-11-21 13:34:46,389 ${text}`;
  const postgres = (text: string) => `2026-11-21 13:34:46.392 UTC [13937] ${text}`;
  const haproxy = (text: string) => `[WARNING]  (885) : ${text}`;

  test.each([
    [patroni('INFO: demoting self because DCS is not accessible and I was a leader'), 'gives-up'],
    [patroni('INFO: manual failover: demoting myself'), 'gives-up'],
    [patroni('INFO: Demoting self (graceful)'), 'gives-up'],
    [patroni('INFO: Leader key released'), 'released'],
    [patroni('INFO: Got response from bench-2 https://10.0.0.2:20005/patroni: {"state": "running"'), 'races'],
    [patroni('INFO: Got response from bench-2 https://10.0.0.2:20005/failsafe: Accepted'), undefined],
    [patroni('WARNING: Request failed to bench-3: POST https://10.0.0.3:20005/failsafe (timed out)'), undefined],
    [patroni('INFO: acquired session lock as a leader'), 'won'],
    [patroni('INFO: Could not take out TTL lock'), undefined],
    [patroni('INFO: no action. I am (bench-1), the leader with the lock'), undefined],
    [postgres('LOG:  received promote request'), 'promoting'],
    [postgres('LOG:  database system is ready to accept connections'), 'ready'],
    [postgres('LOG:  database system is ready to accept read-only connections'), undefined],
    [postgres('app@app [unknown] LOG:  statement: SELECT $$Leader key released$$'), undefined],
  ])('%s', (line, kind) => {
    expect(markOf(event(line))?.kind).toBe(kind);
  });

  test('HAProxy speaks of every tenant and of every backend; one counts', () => {
    const line = haproxy('Server acme:leader/acme-2 is UP, reason: Layer7 check passed, code: 200');
    expect(markOf(event(line, 'haproxy'))).toEqual({ kind: 'up', about: 'acme-2' });
    expect(isTelling('haproxy', line, 'acme')).toBe(true);
    expect(isTelling('haproxy', line, 'acme-co')).toBe(false);
    expect(isTelling('haproxy', haproxy('Server acme:replicas/acme-2 is DOWN, reason: Layer7'), 'acme')).toBe(false);
    expect(
      markOf(event(haproxy('Server acme:to-leader/acme-2 is DOWN via acme:leader/acme-2.'), 'haproxy')),
    ).toBeNull();
  });

  test('what a client writes into a log is no mark of Patroni, and a line that cannot be read is left out', () => {
    expect(markOf(event('INFO: Leader key released'))).toBeNull();
    const source = { tenant: 'acme', member: 'acme-1', toRunMs: (ms: number) => ms, uncertaintyMs: 1 };
    expect(parseLogs('not json\n{"MESSAGE":[1,2],"__REALTIME_TIMESTAMP":"1"}\n{}\n\n', source)).toEqual([]);
  });

  test('the stamp of a line counts, in whatever zone; without one the time of its arrival', () => {
    const at = clock('13:34:46.389');
    expect(stampOf('2026-11-21 13:34:46,389 INFO: x', at + 2000)).toBe(at);
    expect(stampOf('2026-11-21 14:34:46,389 INFO: x', at + 30)).toBe(at);
    expect(stampOf('2026-11-21 19:19:46.389 +0545 [1] LOG: x', at + 30)).toBe(at);
    expect(stampOf('[WARNING]  (885) : Server x', at)).toBe(at);
  });

  test('journald is asked for the units of the tenant, and for no other', () => {
    const { argv } = askForLogs('acme', 12.3);
    expect(argv.filter((_, i) => argv[i - 1] === '--unit')).toEqual([
      'pgs-patroni@acme.service',
      'pgs-pgbouncer@acme.service',
      'pgs-pgbouncer-replica@acme.service',
      'pgs-haproxy.service',
    ]);
    expect(argv[argv.indexOf('--since') + 1]).toBe('-13s');
  });

  test('what journald is asked for has every line that tells something', () => {
    const { argv } = askForLogs('bench', 1);
    const asked = new RegExp(argv[argv.indexOf('--grep') + 1]!);
    const all = (['host-loss', 'crash', 'switchover', 'cut-off'] as const).flatMap((change) => linesOf(change));
    for (const { line } of all) expect(line).toMatch(asked);
    for (const line of ['INFO: manual failover: demoting myself', 'LOG:  received promote request'])
      expect(line).toMatch(asked);
  });
});
