import { describe, expect, test } from 'vitest';
import { bootstrapTiming, presets, rtoPresetNames } from '../../../src/topology/presets.js';
import { guaranteeOf, refuseWatchdog, watchdogTiming } from '../../../watchdog/policy.js';

describe('a host for a new member', () => {
  test.each([
    ['required', '/dev/watchdog', false, null],
    ['required', '/dev/watchdog', true, null],
    ['required', null, true, /container/],
    ['required', null, false, /no watchdog device.*pgs host prepare h1/],
    ['automatic', null, true, null],
    ['off', null, false, null],
  ] as const)('%s with device %s (container: %s)', (mode, device, container, refusal) => {
    const found = refuseWatchdog(mode, { host: 'h1', device, container, softdogAvailable: true });
    if (refusal === null) expect(found).toBeNull();
    else expect(found).toMatch(refusal);
  });

  test('is not told to load a module that its kernel does not have', () => {
    const supply = { host: 'h1', device: null, container: false, softdogAvailable: false };
    expect(refuseWatchdog('required', supply)).not.toContain('prepare');
  });
});

describe('timing of the watchdog', () => {
  // Scenario quorum-lost: it sleeps, tries the DCS for retry_timeout, then asks the members, 2 s at most each (patroni/ha.py).
  test.each(rtoPresetNames)('%s does not fence a leader that failsafe mode lets go on', (name) => {
    const { loopWaitS, retryTimeoutS } = presets[name].patroni;
    const failsafeAnswerS = 2;
    expect(loopWaitS + retryTimeoutS + failsafeAnswerS).toBeLessThan(watchdogTiming(presets[name].patroni).timeoutS);
  });

  test.each([
    ['fast', 8, 12],
    ['norm', 11, 19],
    ['safe', 16, 44],
    ['wide', 26, 94],
  ] as const)('%s: margin %i s, time-out %i s', (preset, safetyMarginS, timeoutS) => {
    expect(watchdogTiming(presets[preset].patroni)).toEqual({ safetyMarginS, timeoutS });
  });

  test.each(rtoPresetNames)('%s leaves no window with either mechanism, not even right after a promotion', (preset) => {
    const timing = presets[preset].patroni;
    const { timeoutS } = watchdogTiming(timing);
    for (const mechanism of ['pipe', 'device'] as const) {
      const guarantee = guaranteeOf(mechanism, timeoutS, timing);
      expect(guarantee.windowS).toBe(0);
      expect(guarantee.marginS).toBeGreaterThanOrEqual(2);
    }
  });

  test.each(rtoPresetNames)('%s rides out one slow round of the DCS without being fenced', (preset) => {
    const { loopWaitS, retryTimeoutS } = presets[preset].patroni;
    expect(watchdogTiming(presets[preset].patroni).timeoutS).toBeGreaterThan(loopWaitS + retryTimeoutS);
  });

  test.each(rtoPresetNames)('a cluster of preset %s has its time-out from its first minute on', (preset) => {
    const steady = presets[preset].patroni;
    const making = bootstrapTiming(preset);
    // Patroni's margin is configured once, for the steady timing.
    expect(making.ttlS - watchdogTiming(steady).safetyMarginS).toBe(watchdogTiming(steady).timeoutS);
    expect(making.loopWaitS + 2 * making.retryTimeoutS).toBeLessThan(making.ttlS);
  });
});

describe('a guarantee', () => {
  test("with Patroni's default margin of 5 s and a long loop_wait has a window after a promotion, and says how long", () => {
    const { safe, wide } = presets;
    expect(guaranteeOf('device', safe.patroni.ttlS - 5, safe.patroni).windowS).toBe(6);
    expect(guaranteeOf('device', wide.patroni.ttlS - 5, wide.patroni).windowS).toBe(16);
    expect(guaranteeOf('pipe', safe.patroni.ttlS - 5, safe.patroni).text).toContain('for up to 9 s');
  });

  test('without an armed watchdog has a window without an end', () => {
    const guarantee = guaranteeOf(null, null, presets.norm.patroni);
    expect(guarantee).toMatchObject({ deadAfterS: null, windowS: null });
    expect(guarantee.text).toContain('from 25-30 s after its last renewal');
  });
});
