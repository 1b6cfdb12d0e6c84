// The kernel's watchdog in `pgs host prepare`: which one, who holds it, and what is left alone.

import { describe, expect, it } from 'vitest';
import type { WatchdogFact } from '../../../src/host/check-facts.js';
import { chooseWatchdog, desiredWatchdog, watchdogUnit } from '../../../src/host/desired-watchdog.js';
import { planPrepare } from '../../../src/host/plan-prepare.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import { hostWith, hostWithout } from '../../fixtures/hosts.js';
import { fitFacts, hostFacts, inventory } from './host-cases.js';

const required: Inventory = { ...inventory, defaults: { ...inventory.defaults, watchdog: 'required' } };
const own: Inventory = { ...required, hosts: required.hosts.map((h) => ({ ...h, fencing: 'device' })) };
const systemd = { pid: 1, command: 'systemd', user: 'root' };
const daemon = { pid: 301, command: 'watchdog', user: 'root' };

function device(name: string, identity: string | null, holders: WatchdogFact['holders'] = []): WatchdogFact {
  return { device: `/dev/${name}`, identity, holders };
}

const soft = (holders?: WatchdogFact['holders']) => [
  device('watchdog', null),
  device('watchdog0', 'Software Watchdog', holders),
];

/** A prepared host on which the files of this watchdog are in place and its unit runs, or are not there. */
function facts(set: 'set up' | 'bare') {
  const resources = desiredWatchdog({ node: '/dev/watchdog0', softdog: true }, 'shared');
  return (set === 'bare' ? hostWithout : hostWith)(resources, hostFacts('prepared'));
}

function plan(change: Parameters<typeof fitFacts>[0], of = required, set: 'set up' | 'bare' = 'bare') {
  const check = fitFacts({ container: null, clock: { ...fitFacts().clock, services: ['chrony.service'] }, ...change });
  return planPrepare({ check, host: facts(set) }, of, 'h1');
}

function contents(steps: ReturnType<typeof plan>['steps']): string {
  const resources = steps.flatMap(({ action }) => (action.kind === 'resources' ? action.resources : []));
  return resources.map((r) => (r.kind === 'file' ? String(r.content) : '')).join('\n');
}

describe('which watchdog', () => {
  it.each([
    ['softdog where there is none', [], true, null, { node: '/dev/watchdog0', softdog: true }],
    [
      'hardware where there is one',
      [device('watchdog0', 'iTCO_wdt')],
      true,
      null,
      { node: '/dev/watchdog0', softdog: false },
    ],
    [
      'hardware beside softdog, whichever came first',
      [...soft(), device('watchdog1', 'i6300ESB timer')],
      true,
      null,
      { node: '/dev/watchdog1', softdog: false },
    ],
    ['softdog that is loaded', soft(), true, null, { node: '/dev/watchdog0', softdog: true }],
    ['none in a container', [], true, 'systemd-nspawn', null],
    ['none where the kernel has no softdog', [], false, null, null],
  ] as const)('%s', (_what, watchdogs, softdogAvailable, container, chosen) => {
    expect(chooseWatchdog({ watchdogs: [...watchdogs], softdogAvailable, container })).toEqual(chosen);
  });
});

describe('a host that can have a watchdog', () => {
  it('gets softdog by a unit of its own, which no blacklist keeps away, held by systemd', () => {
    const { steps, warnings } = plan({ softdogAvailable: true });
    expect(steps.map(({ id }) => id)).toEqual(['h1/watchdog/files', `h1/watchdog/${watchdogUnit}`]);
    expect(contents(steps)).toContain('modprobe --ignore-install softdog');
    expect(contents(steps)).toContain('RuntimeWatchdogSec=15\nWatchdogDevice=/dev/watchdog0\n');
    expect(warnings).toEqual([]);
  });

  it('with hardware gets no softdog', () => {
    const { steps } = plan({ watchdogs: [device('watchdog0', 'iTCO_wdt')], softdogAvailable: true });
    expect(contents(steps)).not.toContain('softdog');
    expect(contents(steps)).toContain('RuntimeWatchdogSec=15');
  });

  it('that gives it to its one tenant does not let systemd have it', () => {
    const { steps } = plan({ softdogAvailable: true }, own);
    expect(contents(steps)).toContain('softdog');
    expect(contents(steps)).not.toContain('RuntimeWatchdogSec');
  });

  it('is left alone when all is there, and told again when systemd has lost the device', () => {
    expect(plan({ watchdogs: soft([systemd]) }, required, 'set up').steps).toEqual([]);
    const { steps } = plan({ watchdogs: soft() }, required, 'set up');
    expect(steps.map(({ action }) => action)).toEqual([{ kind: 'unit', unit: watchdogUnit, verb: 'restart' }]);
  });

  it('whose device somebody else holds keeps that process, and is told who it is', () => {
    const { steps, warnings } = plan({ watchdogs: soft([daemon]) }, required, 'set up');
    expect(steps).toEqual([]);
    expect(warnings).toEqual([expect.stringContaining('/dev/watchdog0 is held by watchdog (process 301) on h1')]);
  });
});

it.each([
  ['a fleet whose watchdog is off', { softdogAvailable: true }, inventory],
  ['a container', { softdogAvailable: true, container: 'lxc' }, required],
  ['a kernel without any', {}, required],
] as const)('%s gets nothing', (_what, change, of) => {
  expect(plan(change, of).steps).toEqual([]);
});
