import { describe, expect, test } from 'vitest';
import { presets } from '../../../src/topology/presets.js';
import type { DeviceFact, FencingFacts, HolderFact } from '../../../watchdog/facts.js';
import { judgeFencing, type FencingInput } from '../../../watchdog/verdict.js';

const user = 'pgs-acme';
const systemd: HolderFact = { pid: 1, command: 'systemd', user: 'root', unit: 'init.scope' };
const patroni: HolderFact = { pid: 700, command: 'patroni', user, unit: 'pgs-patroni@acme.service' };
const daemon: HolderFact = { pid: 300, command: 'watchdog', user: 'root', unit: 'watchdog.service' };

function device(change: Partial<DeviceFact> = {}): DeviceFact {
  return {
    node: '/dev/watchdog0',
    identity: 'Software Watchdog',
    kind: 'softdog',
    active: true,
    timeoutS: 13,
    leftS: 11,
    nowayout: false,
    owner: 'root',
    holders: [systemd],
    ...change,
  };
}

const armedPipe = {
  pipe: 'present',
  armed: true,
  timeoutS: 19,
  lastAgoS: 2,
  leftS: 17,
  fenced: null,
  holders: [patroni],
} as const;
const idlePipe = { ...armedPipe, armed: false, leftS: null, holders: [] } as const;

function facts(change: Partial<FencingFacts> = {}): FencingFacts {
  return {
    container: false,
    service: 'active',
    systemdTimeoutS: 10,
    bootId: 'a',
    softdog: { loaded: true, available: true, blacklistedBy: [] },
    devices: [device()],
    tenant: { ...armedPipe, holders: [patroni] },
    ...change,
  };
}

function judge(change: Partial<FencingInput> & { facts?: FencingFacts | null }) {
  return judgeFencing({
    mode: 'required',
    mechanism: 'pipe',
    host: 'h1',
    user,
    timing: presets.norm.patroni,
    facts: facts(),
    role: 'leader',
    ...change,
  });
}

const tenant = (change: object) =>
  ({ tenant: { ...armedPipe, holders: [patroni], ...change } }) as Partial<FencingFacts>;
const noKernel = { devices: [] };

describe('a member on a shared host', () => {
  test.each<[string, Partial<FencingFacts>, FencingInput['role'], string, RegExp]>([
    ['a leader that armed its pipe', {}, 'leader', 'fenced', /dead at most 23 s.*2 s before/],
    ['a replica with a pipe to arm', { tenant: { ...idlePipe, holders: [] } }, 'replica', 'fenced', /before it leads/],
    ['a leader that did not arm', { tenant: { ...idlePipe, holders: [] } }, 'leader', 'not fenced', /has not armed/],
    [
      'the service is stopped',
      { service: 'inactive' },
      'leader',
      'not fenced',
      /service is inactive, so the member cannot lead/,
    ],
    ['the service failed', { service: 'failed' }, 'replica', 'not fenced', /service is failed/],
    ['the service was never there', { service: null }, 'replica', 'not fenced', /not there/],
    ['no pipe', tenant({ pipe: 'absent' }), 'leader', 'not fenced', /no pipe/],
    ['a file in the place of the pipe', tenant({ pipe: 'other' }), 'leader', 'not fenced', /something else/],
    [
      'the pipe held by somebody else',
      tenant({ holders: [daemon] }),
      'leader',
      'not fenced',
      /held by watchdog \(process 300 of watchdog.service\)/,
    ],
    ['the pipe held by nobody', tenant({ holders: [] }), 'leader', 'not fenced', /fires in 17.0 s/],
    [
      'a time-out that is too long',
      tenant({ timeoutS: 25 }),
      'leader',
      'not fenced',
      /two members could take writes for up to 4 s/,
    ],
    [
      'a container',
      { ...noKernel, container: true },
      'leader',
      'not fenced',
      /hangs is killed in time, but this is a container/,
    ],
    ['softdog not loaded', noKernel, 'leader', 'not fenced', /softdog is not loaded/],
    [
      'softdog blacklisted',
      { ...noKernel, softdog: { loaded: false, available: true, blacklistedBy: ['/lib/modprobe.d/b.conf'] } },
      'leader',
      'not fenced',
      /blacklisted in \/lib\/modprobe.d\/b.conf/,
    ],
    [
      'a kernel without softdog',
      { ...noKernel, softdog: { loaded: false, available: false, blacklistedBy: [] } },
      'leader',
      'not fenced',
      /no softdog module/,
    ],
    [
      'systemd does not hold the device',
      { devices: [device({ holders: [] })] },
      'leader',
      'not fenced',
      /systemd does not hold/,
    ],
    [
      'another daemon holds the device',
      { devices: [device({ holders: [daemon] })] },
      'leader',
      'not fenced',
      /held by watchdog/,
    ],
    ['a silent Patroni with an armed pipe', {}, 'unknown', 'fenced', /dead at most/],
    [
      'a silent Patroni with a pipe that is not armed',
      { tenant: { ...idlePipe, holders: [] } },
      'unknown',
      'unknown',
      /did not answer/,
    ],
  ])('%s', (_what, change, role, verdict, reason) => {
    const found = judge({ facts: facts(change), role });
    expect(found.verdict).toBe(verdict);
    expect(found.reason).toMatch(reason);
  });

  test('with a hardware watchdog beside softdog: the one that systemd holds is named, never taken for the other', () => {
    const hardware = device({ node: '/dev/watchdog1', identity: 'i6300ESB timer', kind: 'hardware' });
    const both = judge({ facts: facts({ devices: [device({ holders: [] }), hardware] }) });
    expect(both).toMatchObject({ verdict: 'fenced', device: '/dev/watchdog1', kind: 'hardware' });
    const wrong = judge({ facts: facts({ devices: [device(), { ...hardware, holders: [] }] }) });
    expect(wrong).toMatchObject({ verdict: 'fenced', device: '/dev/watchdog0', kind: 'softdog' });
  });
});

describe('a member on a host whose only tenant holds the device', () => {
  const held = device({ owner: user, holders: [patroni], timeoutS: 20, leftS: 18 });
  test.each<[string, Partial<DeviceFact> | null, FencingInput['role'], string, RegExp]>([
    ['a leader that holds it', {}, 'leader', 'fenced', /dead at most 21 s.*4 s before/],
    ['a replica that can open it', { holders: [], active: false }, 'replica', 'fenced', /before it leads/],
    ['a leader that does not hold it', { holders: [], active: false }, 'leader', 'not fenced', /does not hold/],
    ['held by somebody else', { holders: [daemon] }, 'leader', 'not fenced', /held by watchdog/],
    ['held by systemd', { holders: [systemd] }, 'replica', 'not fenced', /held by systemd/],
    [
      'not writable for Patroni',
      { owner: 'root', holders: [] },
      'replica',
      'not fenced',
      /belongs to root.*cannot lead/,
    ],
    ['open but not running', { active: false }, 'leader', 'not fenced', /not running in the kernel/],
    ['a time-out that is too long', { timeoutS: 27 }, 'leader', 'not fenced', /up to 3 s/],
    ['no device', null, 'leader', 'not fenced', /softdog is not loaded/],
    ['a silent Patroni', { holders: [], active: false }, 'unknown', 'unknown', /nobody holds/],
  ])('%s', (_what, change, role, verdict, reason) => {
    const devices = change === null ? [] : [{ ...held, ...change }];
    const found = judge({ mechanism: 'device', facts: facts({ devices, tenant: null, service: null }), role });
    expect(found.verdict).toBe(verdict);
    expect(found.reason).toMatch(reason);
  });
});

describe('whatever the mechanism', () => {
  const roles = ['leader', 'replica', 'other', 'unknown'] as const;
  const mechanisms = ['pipe', 'device'] as const;
  const all = mechanisms.flatMap((mechanism) => roles.map((role) => ({ mechanism, role })));
  test.each(all)('a host that could not be looked at is unknown ($mechanism, $role)', (input) => {
    expect(judge({ ...input, facts: null }).verdict).toBe('unknown');
  });

  test.each(all)('with the watchdog off nothing counts as fenced ($mechanism, $role)', (input) => {
    expect(judge({ ...input, mode: 'off' })).toMatchObject({
      verdict: 'not fenced',
      reason: 'the spec says watchdog: off',
    });
  });

  test.each(mechanisms)('a leader is never called fenced while its watchdog is not armed (%s)', (mechanism) => {
    for (const holders of [[], [systemd], [daemon], [patroni]]) {
      for (const active of [true, false]) {
        const unarmed = facts({
          tenant: { ...idlePipe, holders },
          devices: [device({ holders, active, owner: user })],
        });
        const { verdict, armed } = judge({ mechanism, facts: unarmed });
        if (!armed) expect(verdict).not.toBe('fenced');
      }
    }
  });
});
