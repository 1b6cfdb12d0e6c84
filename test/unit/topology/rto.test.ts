import { describe, expect, test } from 'vitest';
import { lintOverrides, lintPatroni } from '../../../src/topology/lint.js';
import { adjustTiming, liveTiming, parseCheckTiming, parseEtcdTiming } from '../../../src/topology/live-timing.js';
import { presets, rtoPresetNames, silentLeaderMs } from '../../../src/topology/presets.js';
import { deriveSettings } from '../../../src/topology/settings.js';
import { failureKinds, predictLoss, predictOutages } from '../../../src/topology/rto.js';
import { desiredDcsSettings } from '../../../src/patroni/desired.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';

const fast = liveTiming({
  rto: 'fast',
  patroni: desiredDcsSettings(clusterOf(recordOf('acme', { rto: 'fast' }))),
  etcd: 'heartbeat-interval: 100\nelection-timeout: 1000\n',
  haproxy:
    '  default-server inter 500ms fastinter 250ms downinter 250ms rise 1 fall 2 on-marked-down shutdown-sessions\n',
});
const predicted = (timing = fast) =>
  Object.fromEntries(predictOutages(timing).map((p) => [p.failure, p])) as Record<
    string,
    ReturnType<typeof predictOutages>[number]
  >;

describe('the outages that the settings in force allow', () => {
  test('are sums of their phases, and min <= avg <= max', () => {
    for (const p of predictOutages(fast)) {
      expect(p.minMs).toBeLessThanOrEqual(p.avgMs);
      expect(p.avgMs).toBeLessThanOrEqual(p.maxMs);
      expect(p.avgMs).toBe(Math.round(p.phases.reduce((ms, phase) => ms + phase.avgMs, 0)));
      expect(p.phases.every((phase) => phase.rule !== '')).toBe(true);
    }
  });

  test('keep what preset fast promises', () => {
    const p = predicted();
    expect(p.switchover!.avgMs).toBeLessThanOrEqual(1500);
    expect(p.crash!.avgMs).toBeLessThanOrEqual(2000);
    expect(p['host-loss']!.avgMs).toBeLessThanOrEqual(22_000);
    expect(p['host-loss-etcd-leader']!.avgMs).toBeLessThanOrEqual(26_000);
  });

  test('of a host that led etcd too are longer by an election, the rest of the lease and the extension', () => {
    const p = predicted();
    expect(p['host-loss-etcd-leader']!.avgMs - p['host-loss']!.avgMs).toBe(1500 + 1000 + 1000);
  });

  test('grow from preset to preset, for every kind of failure that has a lease to wait for', () => {
    const all = rtoPresetNames.map((rto) =>
      predicted(
        liveTiming({ rto, patroni: desiredDcsSettings(clusterOf(recordOf('acme', { rto }))), etcd: '', haproxy: null }),
      ),
    );
    for (const kind of failureKinds.filter((k) => k !== 'switchover')) {
      const averages = all.map((p) => p[kind]!.avgMs);
      expect(averages).toEqual([...averages].sort((a, b) => a - b));
    }
  });

  test('of a switchover are longer where Patroni is asked to do it', () => {
    const asynchronous = { ...fast, patroni: { ...fast.patroni, synchronous: false, primaryStartTimeoutS: 20 } };
    expect(predicted(asynchronous).switchover!.avgMs - predicted().switchover!.avgMs).toBe(800);
  });

  test('of a crash include recovery in place where primary_start_timeout allows it', () => {
    const patient = { ...fast, patroni: { ...fast.patroni, primaryStartTimeoutS: 300 } };
    expect(predicted(patient).crash!.maxMs).toBeGreaterThan(300_000);
    expect(predicted().crash!.maxMs).toBeLessThan(10_000);
  });
});

describe('what is in force is read from what is there', () => {
  test.each([
    ['  default-server inter 3s fastinter 1s rise 3 fall 3', { interMs: 3000, changingMs: 3000, rise: 3, fall: 3 }],
    [
      '  default-server check inter 500ms fastinter 250ms downinter 250ms rise 1',
      { interMs: 500, changingMs: 250, rise: 1, fall: 3 },
    ],
    ['  server a 10.0.0.1:1 check', null],
  ])('HAProxy: %s', (text, timing) => {
    expect(parseCheckTiming(text)).toEqual(timing);
  });

  test('etcd: its defaults where its file says nothing', () => {
    expect(parseEtcdTiming('')).toEqual({ heartbeatMs: 100, electionMs: 1000 });
    expect(parseEtcdTiming('name: h1\nelection-timeout: 5000\n').electionMs).toBe(5000);
  });

  test.each([
    [
      { ttlS: 5, loopWaitS: 0, retryTimeoutS: 1 },
      { ttlS: 20, loopWaitS: 1, retryTimeoutS: 3 },
    ],
    [
      { ttlS: 30, loopWaitS: 20, retryTimeoutS: 10 },
      { ttlS: 30, loopWaitS: 10, retryTimeoutS: 10 },
    ],
    [
      { ttlS: 20, loopWaitS: 10, retryTimeoutS: 30 },
      { ttlS: 20, loopWaitS: 1, retryTimeoutS: 9 },
    ],
    [presets.fast.patroni, presets.fast.patroni],
  ])('Patroni: %j is run as %j', (given, effective) => {
    expect(adjustTiming(given)).toEqual(effective);
  });

  test('what cannot be read is taken from the preset, and said', () => {
    const timing = liveTiming({ rto: 'safe', patroni: null, etcd: null, haproxy: null });
    expect(timing.patroni.ttlS).toBe(60);
    expect(timing.assumed).toHaveLength(3);
  });
});

test('loss is none at RPO 0, otherwise the lag limit and what is written within ttl', () => {
  expect(predictLoss(fast, 1000)).toMatchObject({ kind: 'none', worstBytes: 0 });
  const rpo = { ...fast, patroni: { ...fast.patroni, synchronous: false, lagBytesMax: 1_048_576 } };
  expect(predictLoss(rpo, 1_000_000).worstBytes).toBe(1_048_576 + 20 * 1_000_000);
  expect(predictLoss(rpo, null).worstBytes).toBeNull();
});

describe('the linter', () => {
  test.each(rtoPresetNames)('finds nothing in preset %s', (rto) => {
    expect(lintPatroni(desiredDcsSettings(clusterOf(recordOf('acme', { rto }))))).toEqual([]);
  });

  test.each([
    [{ ttl: 10, loop_wait: 2, retry_timeout: 3 }, /minimum of 20/],
    [{ ttl: 30, loop_wait: 10, retry_timeout: 15 }, /at most ttl/],
    [{ ttl: 30, loop_wait: 10, retry_timeout: 10, failsafe_mode: true }, /less than ttl/],
  ])('says which rule of Patroni %j breaks', (config, why) => {
    expect(
      lintPatroni(config)
        .map((f) => f.why)
        .join(),
    ).toMatch(why);
  });

  const spec = { rto: 'fast', rpoBytes: 0, replicas: 2 } as const;
  test.each([
    ['synchronous_commit', 'remote_write', /RPO 0/],
    ['recovery_min_apply_delay', '5min', /catch up/],
    ['max_standby_streaming_delay', '-1', /without end/],
    ['max_standby_streaming_delay', '30s', /longer than ttl/],
    ['wal_retrieve_retry_interval', '5s', /looks for its new leader/],
    ['wal_sender_timeout', '0', /for ever/],
    ['wal_sender_timeout', '10min', /10 min/],
    ['wal_level', 'minimal', /replication/],
    ['max_wal_senders', 2, /need 4/],
    ['max_replication_slots', 1, /slot/],
    ['autovacuum', false, /stops taking writes/],
  ])('refuses %s = %s under preset fast at RPO 0', (name, value, why) => {
    expect(
      lintOverrides({ ...spec, settings: { [name]: value } })
        .map((f) => f.why)
        .join(),
    ).toMatch(why);
  });

  test.each([
    ['synchronous_commit', 'ON'],
    ['max_standby_streaming_delay', '15s'],
    ['wal_retrieve_retry_interval', '200ms'],
    ['wal_sender_timeout', '10s'],
    ['max_wal_senders', 20],
    ['checkpoint_timeout', '1h'],
    ['constructor', 'x'],
  ])('takes %s = %s', (name, value) => {
    expect(lintOverrides({ ...spec, settings: { [name]: value } })).toEqual([]);
  });
});

test.each(rtoPresetNames)('the linter finds nothing in the parameters that pgs derives, preset %s', (rto) => {
  const settings = deriveSettings(recordOf().allocation, 'norm');
  expect(lintOverrides({ rto, rpoBytes: 0, replicas: 2, settings })).toEqual([]);
});

test.each(rtoPresetNames)(
  'a leader that says nothing is out, and its sessions cut, before another can lead: %s',
  (rto) => {
    const { ttlS, loopWaitS } = presets[rto].patroni;
    // One look of the Lua tasks, 250 ms, and 2.5 s until sessions are cut, for which a look more may pass.
    expect(silentLeaderMs(rto) + 250 + 2500 + 250).toBeLessThan((ttlS - loopWaitS) * 1000);
  },
);
