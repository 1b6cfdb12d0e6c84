import { describe, expect, test } from 'vitest';
import { judgeFencing, refuseWatchdog } from '../../../watchdog/policy.js';

describe('a host for a new member', () => {
  test.each([
    ['required', '/dev/watchdog', false, null],
    ['required', '/dev/watchdog', true, null],
    ['required', null, true, /container/],
    ['required', null, false, /no watchdog device/],
    ['automatic', null, true, null],
    ['off', null, false, null],
  ] as const)('%s with device %s (container: %s)', (mode, device, container, refusal) => {
    const found = refuseWatchdog(mode, { host: 'h1', device, container });
    if (refusal === null) expect(found).toBeNull();
    else expect(found).toMatch(refusal);
  });
});

describe('a member', () => {
  test('counts as fenced only while Patroni holds the device', () => {
    expect(judgeFencing('required', true).verdict).toBe('fenced');
    expect(judgeFencing('automatic', true).verdict).toBe('fenced');
    expect(judgeFencing('automatic', false).verdict).toBe('not fenced');
    expect(judgeFencing('required', false).verdict).toBe('not fenced');
  });

  test.each(['required', 'automatic'] as const)(
    'that could not be looked at is not known to be fenced (%s)',
    (mode) => {
      expect(judgeFencing(mode, null).verdict).toBe('unknown');
    },
  );

  test.each([true, false, null])('with the watchdog off is not fenced, whatever holds a device (%s)', (held) => {
    expect(judgeFencing('off', held).verdict).toBe('not fenced');
  });
});
