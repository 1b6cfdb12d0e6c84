// Several daemons of a fleet, with the clock simulated: one is active, and who loses the lease has stopped before another begins.

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { acquireDrillLock } from '../../src/drills/store.js';
import { startDaemon, scheduleOf, TimedEtcd, type Behaviour, type SimulatedDaemon } from '../fixtures/daemons.js';

let etcd: TimedEtcd;
let daemons: SimulatedDaemon[];

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 21, 10, 0, 30) });
  etcd = new TimedEtcd();
  daemons = [];
});
afterEach(async () => {
  for (const daemon of daemons) daemon.kill();
  await vi.advanceTimersByTimeAsync(0);
  vi.useRealTimers();
});

function start(name: string, behaviour: Partial<Behaviour> = {}): SimulatedDaemon {
  const daemon = startDaemon(etcd, name, { takesMs: 10_000, ...behaviour });
  daemons.push(daemon);
  return daemon;
}

async function pass(seconds: number): Promise<void> {
  for (let n = 0; n < seconds * 2; n++) {
    await vi.advanceTimersByTimeAsync(500);
    etcd.tick();
  }
}

const isActive = (d: SimulatedDaemon) =>
  d.log.lastIndexOf('active') > d.log.findLastIndex((l) => /no longer|stopped/.test(l));

/** No two tasks at a time, whoever ran them. */
function expectOneAtATime(): void {
  const all = daemons.flatMap((d) => d.performed).sort((a, b) => a.beganMs - b.beganMs);
  all.slice(1).forEach((next, i) => {
    const before = all[i]!;
    if (before.endedMs !== null) expect(before.endedMs).toBeLessThanOrEqual(next.beganMs);
  });
}

test('of three daemons one runs what is due, once, and the others stand by', async () => {
  await etcd.store.putSchedule(scheduleOf());
  const all = ['a', 'b', 'c'].map((name) => start(name));
  await pass(140);
  expect(all.filter(isActive)).toHaveLength(1);
  const performed = all.flatMap((d) => d.performed);
  expect(performed.map((p) => p.task.due.toISOString().slice(11, 16))).toEqual(['10:01', '10:02']);
  expect(all.filter((d) => d.performed.length > 0)).toHaveLength(1);
  expect(all.filter((d) => d.log.some((l) => l.startsWith('standing by')))).toHaveLength(2);
  const runs = await etcd.store.listRuns('acme');
  expect(runs.map((r) => r.outcome)).toEqual(['pass', 'pass']);
});

test('one that is stopped lets the next begin at once', async () => {
  const a = start('a');
  await pass(1);
  const b = start('b');
  await pass(1);
  expect([isActive(a), isActive(b)]).toEqual([true, false]);
  const stopped = a.stop();
  await pass(6);
  await stopped;
  expect([isActive(a), isActive(b)]).toEqual([false, true]);
});

test('one that is cut off from etcd has aborted and healed before another is active', async () => {
  await etcd.store.putSchedule(scheduleOf());
  const a = start('a', { takesMs: 600_000, healsMs: 15_000 });
  await pass(1);
  const b = start('b');
  await pass(40);
  expect(a.performed).toHaveLength(1);
  a.cut = true;
  let tookOverMs = 0;
  for (let n = 0; n < 150 && tookOverMs === 0; n++) {
    await pass(1);
    if (isActive(b)) tookOverMs = Date.now();
  }
  expect(tookOverMs).toBeGreaterThan(0);
  const [run] = a.performed;
  expect(run!.aborted).toBe(true);
  expect(run!.endedMs).toBeLessThan(tookOverMs);
  expect(isActive(a)).toBe(false);
  await pass(20);
  // The one who came heals once more, records what became of the run, tells somebody, and goes on with what is due.
  expect(b.healed).toEqual(['acme']);
  expect(b.told.map((r) => r.outcome)).toContain('interrupted');
  expectOneAtATime();
});

test('a cut that is shorter than the longest fault costs nothing', async () => {
  await etcd.store.putSchedule(scheduleOf({ when: { at: new Date(Date.now() + 5000).toISOString() } }));
  const a = start('a', { takesMs: 120_000 });
  await pass(10);
  const b = start('b');
  expect(a.performed).toHaveLength(1);
  a.cut = true;
  await pass(90);
  a.cut = false;
  await pass(40);
  expect(a.performed.map((p) => p.aborted)).toEqual([false]);
  expect(b.performed).toEqual([]);
  expect((await etcd.store.listRuns('acme')).map((r) => [r.outcome, r.ranOn])).toEqual([['pass', 'a']]);
});

test('kill -9 in the middle of a drill: when the lease ends the next one heals, records it, and does not run it again', async () => {
  await etcd.store.putSchedule(scheduleOf({ when: { cron: '1 10 * * *', tz: 'UTC' } }));
  const a = start('a', { takesMs: 60_000 });
  await pass(1);
  const b = start('b');
  await pass(40);
  expect(a.performed).toHaveLength(1);
  a.kill();
  await pass(60);
  expect(isActive(b)).toBe(false);
  await pass(90);
  expect(isActive(b)).toBe(true);
  expect(b.healed).toEqual(['acme']);
  expect(b.performed).toEqual([]);
  const runs = await etcd.store.listRuns('acme');
  expect(runs.map((r) => [r.outcome, r.ranOn])).toEqual([['interrupted', 'a']]);
  expect(b.told.map((r) => r.outcome)).toEqual(['interrupted']);
});

test('a drill by hand and one of the daemon exclude each other', async () => {
  await etcd.store.putSchedule(scheduleOf());
  const byHand = await acquireDrillLock(
    etcd.client(() => false),
    { command: 'pgs chaos' },
  );
  const a = start('a');
  await pass(60);
  expect(a.performed).toEqual([]);
  expect(a.log.some((l) => l.startsWith('acme/weekly waits'))).toBe(true);
  await byHand.release();
  await pass(10);
  expect(a.performed).toHaveLength(1);
});

test('a run that a guardrail refuses is recorded once, somebody is told, and it can be acknowledged', async () => {
  await etcd.store.putSchedule(scheduleOf({ when: { cron: '1 10 * * *', tz: 'UTC' } }));
  const a = start('a', { refusals: () => [{ why: '1 of 2 replicas stream', passing: false }] });
  await pass(120);
  expect(a.performed).toEqual([]);
  expect(a.told.map((r) => [r.outcome, r.why])).toEqual([['refused', '1 of 2 replicas stream']]);
  expect(await etcd.store.unacknowledged('acme')).toHaveLength(1);
  await etcd.store.acknowledge('acme', 'ada', new Date());
  expect(await etcd.store.unacknowledged('acme')).toEqual([]);
  expect((await etcd.store.listRuns('acme'))[0]!.acknowledged!.by).toBe('ada');
});

test('what passes by itself is waited for, nobody is told, and after the deadline it is missed', async () => {
  await etcd.store.putSchedule(scheduleOf({ when: { cron: '1 10 * * *', tz: 'UTC' }, deadlineMs: 120_000 }));
  const a = start('a', { refusals: () => [{ why: 'somebody changes acme', passing: true }] });
  await pass(100);
  expect(a.told).toEqual([]);
  await pass(60);
  expect(a.performed).toEqual([]);
  expect(a.told.map((r) => r.outcome)).toEqual(['missed']);
});

test('a timed switchover is done once, and its schedule is over', async () => {
  const when = { at: new Date(Date.now() + 20_000).toISOString() };
  const job = { kind: 'switchover' as const, to: 'acme-2', force: false };
  await etcd.store.putSchedule(scheduleOf({ name: 'switchover', job, when }));
  const a = start('a');
  await pass(120);
  expect(a.performed.map((p) => p.task.job)).toEqual([job]);
  expect(await etcd.store.listSchedules()).toEqual([]);
  expect((await etcd.store.listRuns('acme')).map((r) => [r.kind, r.what, r.outcome])).toEqual([
    ['switchover', 'acme-2', 'pass'],
  ]);
});

test('a schedule that cannot be read stops no daemon: it says so, and goes on when it is mended', async () => {
  await etcd.memory.put('/pgs/state/drills/schedules/acme/broken', '{"version": 2}');
  const a = start('a');
  await pass(20);
  expect(a.log.some((l) => l.includes('/pgs/state/drills/schedules/acme/broken'))).toBe(true);
  await etcd.memory.delete('/pgs/state/drills/schedules/acme/broken');
  await etcd.store.putSchedule(scheduleOf());
  await pass(90);
  expect(a.performed.length).toBeGreaterThan(0);
});

test('a clock that jumps ahead and comes back costs what was missed meanwhile, and not the schedule', async () => {
  await etcd.store.putSchedule(scheduleOf());
  const a = start('a', { takesMs: 1000 });
  await pass(40);
  expect(a.performed).toHaveLength(1);
  a.skewMs = 365 * 86_400_000;
  await pass(10);
  expect((await etcd.store.getSchedule('acme', 'weekly'))!.handledUntil).toMatch(/^2027/);
  a.skewMs = 0;
  const before = a.performed.length;
  await pass(130);
  expect(a.log.some((l) => l.includes('a clock was ahead'))).toBe(true);
  expect(a.performed.length).toBeGreaterThanOrEqual(before + 2);
  expectOneAtATime();
});

test('a clock that goes back by seconds runs nothing twice', async () => {
  await etcd.store.putSchedule(scheduleOf({ when: { cron: '1 10 * * *', tz: 'UTC' } }));
  const a = start('a', { takesMs: 1000 });
  await pass(40);
  expect(a.performed).toHaveLength(1);
  a.skewMs = -30_000;
  await pass(90);
  expect(a.performed).toHaveLength(1);
});

test('of units that fail, the active daemon starts each once and then waits longer; none is started by one that only reports', async () => {
  const started: string[] = [];
  const watch = (policy: 'report' | 'start-units') => ({
    policy,
    look: () =>
      Promise.resolve({
        down: [
          {
            ...{ host: 'h1', unit: 'pgs-haproxy.service', tenant: null, active: 'failed', result: 'exit-code' },
            sinceMs: Date.UTC(2026, 10, 21, 9),
          },
        ],
        ...{ silent: [], foreignKeys: [], hold: {} },
      }),
    start: () => {
      started.push(new Date().toISOString().slice(11, 19));
      return Promise.resolve('it failed again');
    },
  });
  const careful = start('a', { watch: watch('report') });
  await pass(130);
  expect(started).toEqual([]);
  expect(careful.log.filter((l) => l.includes('pgs-haproxy.service on h1 is failed'))).toHaveLength(1);
  await careful.stop();
  const mending = start('b', { watch: watch('start-units') });
  await pass(500);
  expect(started.length).toBe(4);
  expect(mending.log.filter((l) => l.includes('could not be started: it failed again'))).toHaveLength(4);
});
