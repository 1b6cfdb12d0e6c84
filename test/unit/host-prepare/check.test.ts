// The verdicts of `pgs host check`: each can be had, and says what to do.

import { describe, expect, it } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { factItems, judgeHost } from '../../../src/host/check.js';
import type { CheckFacts } from '../../../src/host/check-facts.js';
import { judgeUnreachable } from '../../../src/host/check-hosts.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import { external, fitFacts, inventory, recorded } from './host-cases.js';

function verdict(item: string, facts: CheckFacts, of: Inventory = inventory) {
  const found = judgeHost(facts, of, 'h1').find((judged) => judged.item === item);
  if (!found) throw new Error(`no item ${item}`);
  return found;
}

const clock = (offsetMs: number, uncertaintyMs = 0) => ({
  offsetMs,
  uncertaintyMs,
  services: ['chrony.service'],
  synchronized: true,
});
const disk = { sizeMiB: 100_000, freeMiB: 50_000, inodes: 1000, inodesFree: 900 };
const stranger = { address: '0.0.0.0', port: 20005, process: 'socat', unit: null };

it('finds a host that lacks nothing fit in every item', () => {
  expect(judgeHost(fitFacts(), inventory, 'h1').filter(({ verdict }) => verdict !== 'fit')).toEqual([]);
});

it('gives every verdict but fit a way out, if one can be known', () => {
  for (const name of ['trixie-bare', 'bookworm-prepared', 'trixie-taken'] as const) {
    for (const { item, verdict, hint } of judgeHost(recorded(name), inventory, 'h1')) {
      expect(`${item}: ${verdict === 'fit' || hint ? 'has a way out' : 'has none'}`).toBe(`${item}: has a way out`);
    }
  }
});

describe('release', () => {
  it('that is not supported is unfit, with the list of those that are', () => {
    const release = { id: 'debian', codename: 'sid', title: 'Debian GNU/Linux forky/sid' };
    expect(verdict('release', fitFacts({ release }))).toMatchObject({
      verdict: 'unfit',
      hint: expect.stringContaining('Debian 13 (trixie), Debian 12 (bookworm)') as string,
    });
  });

  it('of another distribution with the same code name is unfit', () => {
    const release = { id: 'somebuntu', codename: 'trixie', title: 'Somebuntu 13' };
    expect(verdict('release', fitFacts({ release })).verdict).toBe('unfit');
  });

  it('whose PostgreSQL is not the one that is asked for is unfit, unless PGDG has it', () => {
    const asks16 = { ...inventory, defaults: { ...inventory.defaults, postgres: 16 } };
    expect(verdict('release', fitFacts(), asks16)).toMatchObject({ verdict: 'unfit' });
    expect(verdict('release', fitFacts(), { ...asks16, packages: 'pgdg' })).toMatchObject({
      verdict: 'fit',
      found: 'Debian GNU/Linux 13 (trixie), PostgreSQL 16',
    });
  });
});

describe('clock', () => {
  it.each([
    [0, 'fit'],
    [-200, 'fit'],
    [201, 'warning'],
    [-2000, 'warning'],
    [2001, 'unfit'],
    [-86_400_000, 'unfit'],
  ])('%i ms apart is %s', (offsetMs, expected) => {
    expect(verdict('clock', fitFacts({ clock: clock(offsetMs) })).verdict).toBe(expected);
  });

  it('is not blamed for a slow network', () => {
    expect(verdict('clock', fitFacts({ clock: clock(1500, 1400) })).verdict).toBe('fit');
  });

  it('that nobody keeps is a warning on a machine of its own, and none in a container', () => {
    const unkept = { ...clock(0), services: [], synchronized: false };
    expect(verdict('time-service', fitFacts({ clock: unkept, container: null })).verdict).toBe('warning');
    expect(verdict('time-service', fitFacts({ clock: unkept, container: 'lxc' })).verdict).toBe('fit');
    const keptBadly = { ...clock(0), synchronized: false };
    expect(verdict('time-service', fitFacts({ clock: keptBadly, container: null })).verdict).toBe('warning');
  });
});

describe('ports', () => {
  it('of etcd that a stranger has make a member unfit, and nobody else', () => {
    const facts = recorded('trixie-taken');
    expect(verdict('etcd-ports', facts)).toMatchObject({
      verdict: 'unfit',
      found: 'taken: 127.0.0.1:2379 (etcd of etcd.service), 127.0.0.1:2380 (etcd of etcd.service)',
    });
    const noMember = { ...inventory.etcd, members: ['h2'] } as Inventory['etcd'];
    expect(verdict('etcd-ports', facts, { ...inventory, etcd: noMember }).verdict).toBe('fit');
    expect(verdict('etcd-ports', facts, external).verdict).toBe('fit');
  });

  it("that pgs's own units have are no trouble", () => {
    const listening = [
      { address: '192.0.2.1', port: 2379, process: 'etcd', unit: 'pgs-etcd.service' },
      { address: '0.0.0.0', port: 20000, process: 'haproxy', unit: 'pgs-haproxy.service' },
    ];
    expect(verdict('etcd-ports', fitFacts({ listening })).verdict).toBe('fit');
    expect(verdict('tenant-ports', fitFacts({ listening })).verdict).toBe('fit');
  });

  it('inside the range of tenants that a stranger has are unfit, those outside are not ours to judge', () => {
    expect(verdict('tenant-ports', fitFacts({ listening: [stranger] }))).toMatchObject({
      verdict: 'unfit',
      found: 'taken inside 20000-29999: 0.0.0.0:20005 (socat)',
    });
    for (const port of [19999, 30000]) {
      expect(verdict('tenant-ports', fitFacts({ listening: [{ ...stranger, port }] })).verdict).toBe('fit');
    }
    for (const port of [20000, 29999]) {
      expect(verdict('tenant-ports', fitFacts({ listening: [{ ...stranger, port }] })).verdict).toBe('unfit');
    }
  });

  it('of the front door must be free or our own', () => {
    const at5432 = { ...stranger, port: 5432 };
    expect(verdict('door-port', fitFacts({ listening: [{ ...at5432, unit: 'pgs-haproxy.service' }] })).verdict).toBe(
      'fit',
    );
    expect(verdict('door-port', fitFacts({ listening: [at5432] }))).toMatchObject({
      verdict: 'unfit',
      found: 'taken: 0.0.0.0:5432 (socat)',
    });
    expect(verdict('door-port', fitFacts({ listening: null })).verdict).toBe('unknown');
  });

  it('that outgoing connections may take are a warning until they are reserved', () => {
    const ephemeralPorts = { from: 1024, to: 65535 };
    expect(verdict('tenant-ports', fitFacts({ ephemeralPorts })).verdict).toBe('warning');
    const reservedPorts = [{ from: 20000, to: 29999 }];
    expect(verdict('tenant-ports', fitFacts({ ephemeralPorts, reservedPorts })).verdict).toBe('fit');
  });

  it('are unknown, not free, on a host without ss', () => {
    expect(verdict('etcd-ports', fitFacts({ listening: null })).verdict).toBe('unknown');
    expect(verdict('tenant-ports', fitFacts({ listening: null })).verdict).toBe('unknown');
  });
});

describe('disk, memory, cores', () => {
  it.each([
    [{}, 'fit'],
    [{ freeMiB: 10_100 }, 'warning'],
    [{ sizeMiB: 1_000_000, freeMiB: 50_000 }, 'warning'],
    [{ freeMiB: 2_000 }, 'unfit'],
    [{ inodesFree: 90 }, 'warning'],
    [{ inodesFree: 10 }, 'unfit'],
    [{ inodes: 0, inodesFree: 0 }, 'fit'],
  ])('disk with %o is %s', (change, expected) => {
    expect(verdict('disk', fitFacts({ disk: { ...disk, ...change } })).verdict).toBe(expected);
  });

  it.each([
    [4096, 'fit'],
    [1024, 'warning'],
    [512, 'unfit'],
  ])('%i MiB of memory is %s', (memoryMiB, expected) => {
    expect(verdict('memory', fitFacts({ memoryMiB })).verdict).toBe(expected);
  });

  it('one core is a warning', () => {
    expect(verdict('cores', fitFacts({ cores: 1 })).verdict).toBe('warning');
  });
});

describe('watchdog', () => {
  const asked = (watchdog: 'required' | 'automatic' | 'off') => ({
    ...inventory,
    defaults: { ...inventory.defaults, watchdog },
  });

  it('that is not there is unfit when required, a warning when wanted, and said aloud when off', () => {
    expect(verdict('watchdog', fitFacts(), asked('required')).verdict).toBe('unfit');
    expect(verdict('watchdog', fitFacts(), asked('automatic')).verdict).toBe('warning');
    expect(verdict('watchdog', fitFacts(), asked('off'))).toMatchObject({
      verdict: 'fit',
      found: expect.stringContaining('NOT FENCED') as string,
    });
  });

  it('can be had from softdog where the module is', () => {
    const facts = fitFacts({ container: null, softdogAvailable: true });
    expect(verdict('watchdog', facts, asked('required')).hint).toContain('pgs host prepare');
  });

  it('that is there is fit, by name', () => {
    const watchdogs = [{ device: '/dev/watchdog0', identity: 'Software Watchdog', holders: [] }];
    expect(verdict('watchdog', fitFacts({ watchdogs }), asked('required'))).toMatchObject({
      verdict: 'fit',
      found: '/dev/watchdog0 (Software Watchdog)',
    });
  });
});

it('names the cgroup controllers that are missing', () => {
  const found = verdict('cgroup', fitFacts({ controllers: ['cpu', 'pids'] }));
  expect(found).toMatchObject({ verdict: 'warning', found: expect.stringContaining('lacks memory, io,') as string });
});

describe('units', () => {
  it("of the distribution that run are somebody's, instances included", () => {
    expect(verdict('units', recorded('trixie-taken'))).toMatchObject({
      verdict: 'unfit',
      found: "somebody's: etcd.service, postgresql@17-main.service",
    });
  });

  it('an etcd that pgs did not make may be the external one', () => {
    const { units } = recorded('trixie-taken');
    const etcdOnly = { 'etcd.service': units['etcd.service']! };
    expect(verdict('units', fitFacts({ units: etcdOnly }), external).verdict).toBe('fit');
    expect(verdict('units', fitFacts({ units: etcdOnly })).verdict).toBe('unfit');
  });

  it('a unit that crashes and comes back is somebody’s too, one that is stopped or failed is not', () => {
    const unit = (active: string) => ({ 'haproxy.service': { active, masked: false, enabled: true } });
    expect(verdict('units', fitFacts({ units: unit('activating') })).verdict).toBe('unfit');
    expect(verdict('units', fitFacts({ units: unit('inactive') })).verdict).toBe('fit');
    expect(verdict('units', fitFacts({ units: unit('failed') })).verdict).toBe('fit');
  });
});

describe('packages', () => {
  const without = (name: string, change: object) => {
    const facts = fitFacts();
    facts.packages[name] = { ...facts.packages[name]!, ...change };
    return facts;
  };

  it('that are missing or half installed make it unfit', () => {
    expect(verdict('packages', without('patroni', { installed: null })).verdict).toBe('unfit');
    const half = without('haproxy', { installed: null, halfInstalled: true });
    expect(verdict('packages', half).found).toBe('missing: haproxy (half installed)');
  });

  it('that are not held, or an interrupted dpkg, are a warning', () => {
    expect(verdict('packages', without('patroni', { held: false }))).toMatchObject({
      verdict: 'warning',
      found: 'not held: patroni',
    });
    expect(verdict('packages', fitFacts({ dpkgInterrupted: true })).verdict).toBe('warning');
  });

  it('that are too old, or break each other, are unfit', () => {
    expect(verdict('versions', without('patroni', { installed: '2.1.4-1' })).hint).toContain('patroni to 3.0.0');
    expect(verdict('versions', without('etcd-server', { installed: '3.4.19+dfsg-1' })).verdict).toBe('unfit');
    expect(verdict('versions', without('etcd-server', { installed: '3.5.28-1' })).found).toContain('lease');
    expect(verdict('versions', without('etcd-server', { installed: null, candidate: '3.5.28-1' })).verdict).toBe(
      'unfit',
    );
  });

  it('that upgrade by themselves are a warning until the guard for them is there', () => {
    const facts = without('unattended-upgrades', { installed: '2.12' });
    expect(verdict('upgrades', facts).verdict).toBe('fit');
    expect(verdict('upgrades', { ...facts, guards: ['needrestart'] })).toMatchObject({
      verdict: 'warning',
      found: expect.stringContaining('unattended-upgrades') as string,
    });
  });
});

describe('a host that does not let us look', () => {
  const error = (code: 'unreachable' | 'unfit') =>
    new PgsError(code, { doing: 'connecting', host: 'h1', found: 'no', hint: 'Mend it.' });

  it('is unfit in ssh, and unknown, not fit, in the rest', () => {
    const items = judgeUnreachable(error('unreachable'), '192.0.2.1');
    expect(items[0]).toEqual({ item: 'ssh', verdict: 'unfit', found: 'no', hint: 'Mend it.' });
    expect(items.slice(1).map(({ verdict }) => verdict)).toEqual(Array(factItems.length + 1).fill('unknown'));
  });

  it('and refuses sudo is unfit in that', () => {
    const items = judgeUnreachable(error('unfit'), '192.0.2.1');
    expect(items.slice(0, 2).map(({ item, verdict }) => `${item} ${verdict}`)).toEqual(['ssh fit', 'sudo unfit']);
  });
});
