// What is read from answers of real machines.

import { describe, expect, it } from 'vitest';
import { parseCheckFacts } from '../../../src/host/parse-check-facts.js';
import { recorded, recordedAnswer } from './host-cases.js';

describe('a bare Debian 13', () => {
  const facts = recorded('trixie-bare');

  it('tells its release and machine', () => {
    expect(facts.release).toEqual({ id: 'debian', codename: 'trixie', title: 'Debian GNU/Linux 13 (trixie)' });
    expect(facts).toMatchObject({ architecture: 'amd64', uid: 0, cores: 2, container: 'systemd-nspawn' });
    expect(facts.memoryMiB).toBe(24105);
    expect(facts.disk).toEqual({ sizeMiB: 258019, freeMiB: 75333, inodes: 16777216, inodesFree: 16255471 });
    expect(facts.controllers).toEqual([]);
    expect(facts.ephemeralPorts).toEqual({ from: 32768, to: 60999 });
    expect(facts.reservedPorts).toEqual([]);
  });

  it('has no package of ours, and knows what apt would install', () => {
    expect(facts.packages.patroni).toEqual({
      installed: null,
      halfInstalled: false,
      candidate: '4.0.7-3~deb13u1',
      held: false,
    });
    expect(facts.packages['postgresql-15']).toEqual({
      installed: null,
      halfInstalled: false,
      candidate: null,
      held: false,
    });
    expect(facts.packages.iproute2?.installed).toBe('6.15.0-1');
    expect(facts.dpkgInterrupted).toBe(false);
    expect(facts.journalLimitsLoaded).toBe(false);
    expect(facts.units).toEqual({});
  });
});

it('reads a prepared Debian 12: installed, held, masked, guarded', () => {
  const facts = recorded('bookworm-prepared');
  expect(facts.packages['postgresql-15']).toMatchObject({ installed: '15.18-0+deb12u1', held: true });
  expect(facts.packages.socat).toMatchObject({ installed: '1.7.4.4-2', held: false });
  expect(facts.units['etcd.service']).toEqual({ active: 'inactive', masked: true, enabled: false });
  expect(facts.guards).toEqual(['unattended-upgrades', 'needrestart']);
  expect(facts.journalLimitsLoaded).toBe(true);
});

it('reads who listens, and in which unit', () => {
  const { listening, units, packages } = recorded('trixie-taken');
  expect(listening).toContainEqual({ address: '127.0.0.1', port: 2379, process: 'etcd', unit: 'etcd.service' });
  expect(listening).toContainEqual({
    address: '::1',
    port: 5432,
    process: 'postgres',
    unit: 'postgresql@17-main.service',
  });
  expect(listening).toContainEqual({ address: '0.0.0.0', port: 20005, process: 'socat', unit: null });
  expect(units['etcd.service']).toEqual({ active: 'active', masked: false, enabled: true });
  expect(packages['etcd-server']).toMatchObject({ installed: '3.5.16-4', held: true });
  expect(packages['unattended-upgrades']?.installed).toBe('2.12');
});

describe('the clock', () => {
  const parse = (firstMs: number, lastMs: number, atMs: number, answeredAtMs: number) => {
    const readings = [`@clock ${firstMs}000000`, `@clock ${lastMs}000000`];
    const answer = recordedAnswer('trixie-bare').replace(/^@clock \d+$/gm, () => readings.shift() ?? '');
    return parseCheckFacts(answer, [], { atMs, answeredAtMs }, 'h1').clock;
  };

  it('is right when the host answers in the middle of the round trip, however long it works', () => {
    expect(parse(1_000_020, 1_005_020, 1_000_000, 1_005_040)).toMatchObject({ offsetMs: 0, uncertaintyMs: 20 });
  });

  it('is ahead or behind by what is left', () => {
    expect(parse(1_003_020, 1_003_120, 1_000_000, 1_000_140)).toMatchObject({ offsetMs: 3000, uncertaintyMs: 20 });
    expect(parse(997_020, 997_120, 1_000_000, 1_000_140)).toMatchObject({ offsetMs: -3000 });
  });

  it('cannot be told better than half the way: a slow way back looks like a clock that is behind', () => {
    expect(parse(1_000_000, 1_000_100, 1_000_000, 1_000_500)).toMatchObject({ offsetMs: -200, uncertaintyMs: 200 });
  });
});

describe('states of dpkg', () => {
  const packageIn = (status: string) => {
    const answer = recordedAnswer('trixie-bare').replace('nftables ii ', `nftables ${status} `);
    return parseCheckFacts(answer, [], { atMs: 0, answeredAtMs: 0 }, 'h1').packages.nftables;
  };

  it.each(['iU', 'iF', 'iH', 'iW', 'it', 'hU', 'iHR'])('%s is half installed', (status) => {
    expect(packageIn(status)).toMatchObject({ installed: null, halfInstalled: true });
  });

  it.each(['rc', 'un', 'pn'])('%s is not installed', (status) => {
    expect(packageIn(status)).toMatchObject({ installed: null, halfInstalled: false });
  });

  it.each(['ii', 'hi', 'ri'])('%s is installed', (status) => {
    expect(packageIn(status)).toMatchObject({ installed: '1.1.3-1', halfInstalled: false });
  });
});

it('notices an interrupted dpkg', () => {
  const answer = recordedAnswer('trixie-bare').replace('@interrupted\n', '@interrupted\n0000\n0001\n');
  expect(parseCheckFacts(answer, [], { atMs: 0, answeredAtMs: 0 }, 'h1').dpkgInterrupted).toBe(true);
});

it('reads watchdogs with their drivers, and a softdog that could be loaded', () => {
  const answer = recordedAnswer('trixie-bare').replace(
    '@watchdog\n',
    '@watchdog\ndevice /dev/watchdog\ndevice /dev/watchdog0\nidentity watchdog0 Software Watchdog\nholder /dev/watchdog0 301 root watchdog\nsoftdog\n',
  );
  const facts = parseCheckFacts(answer, [], { atMs: 0, answeredAtMs: 0 }, 'h1');
  expect(facts.watchdogs).toEqual([
    { device: '/dev/watchdog', identity: null, holders: [] },
    {
      device: '/dev/watchdog0',
      identity: 'Software Watchdog',
      holders: [{ pid: 301, user: 'root', command: 'watchdog' }],
    },
  ]);
  expect(facts.softdogAvailable).toBe(true);
});

it('without ss does not claim that nothing listens', () => {
  const answer = recordedAnswer('trixie-bare').replace(/@listening[\s\S]*@ephemeral/, '@ephemeral');
  expect(parseCheckFacts(answer, [], { atMs: 0, answeredAtMs: 0 }, 'h1').listening).toBeNull();
});

it('refuses an answer that is cut off anywhere', () => {
  const lines = recordedAnswer('trixie-bare').split('\n');
  for (let length = 0; length < lines.length - 2; length += 7) {
    const cut = lines.slice(0, length).join('\n');
    expect(() => parseCheckFacts(cut, [], { atMs: 0, answeredAtMs: 0 }, 'h1')).toThrow(/cannot be read/);
  }
});
