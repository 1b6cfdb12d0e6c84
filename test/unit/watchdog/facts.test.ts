import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseFencing } from '../../../watchdog/facts.js';

const look = fileURLToPath(new URL('../../../templates/watchdog/look.py', import.meta.url));

/** As a virtual machine with softdog and one armed tenant answered. */
const recorded = {
  container: 'none',
  service: 'active',
  systemdTimeoutS: 10,
  bootId: '8a3f6c1e-0000-4000-8000-000000000000',
  softdog: { loaded: true, available: true, blacklistedBy: [] },
  devices: [
    {
      node: '/dev/watchdog0',
      identity: 'Software Watchdog',
      active: true,
      timeoutS: 10,
      leftS: 7,
      nowayout: false,
      owner: 'root',
      holders: [{ pid: 1, command: 'systemd', user: 'root', unit: 'init.scope' }],
    },
  ],
  tenants: {
    acme: {
      pipe: 'present',
      armed: true,
      timeoutS: 19,
      lastAgoS: 1.5,
      leftS: 17.5,
      fenced: null,
      holders: [{ pid: 700, command: 'patroni', user: 'pgs-acme', unit: 'pgs-patroni@acme.service' }],
    },
  },
};

describe("a host's answer", () => {
  test('tells softdog from hardware by what the kernel calls it', () => {
    expect(parseFencing(JSON.stringify(recorded), 'acme').devices[0]).toMatchObject({ kind: 'softdog' });
    const hardware = { ...recorded, devices: [{ ...recorded.devices[0], identity: 'iTCO_wdt' }] };
    expect(parseFencing(JSON.stringify(hardware), 'acme').devices[0]).toMatchObject({ kind: 'hardware' });
  });

  test('is of one tenant; another that was not asked about is null, not unfenced', () => {
    const facts = parseFencing(JSON.stringify(recorded), 'acme');
    expect(facts).toMatchObject({ container: false, tenant: { armed: true, timeoutS: 19 } });
    expect(parseFencing(JSON.stringify(recorded), 'bolt').tenant).toBeNull();
  });

  test.each(['', '{}', JSON.stringify({ ...recorded, devices: 'none' })])('that is not one is refused: %s', (text) => {
    expect(() => parseFencing(text, 'acme')).toThrow();
  });

  test('of this machine, asked for real, is understood', () => {
    const answer = execFileSync('python3', ['-I', look, 'acme'], { encoding: 'utf8' });
    expect(parseFencing(answer, 'acme').tenant).toMatchObject({ pipe: 'absent', armed: false, holders: [] });
  });
});
