// Hosts that come and go, with two tenants: killed before a change, the same command finishes it, and no tenant has less than it should.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import {
  drainHost,
  undoDrain,
  useOf,
  recordsOf,
  type FleetDesk,
  type HostsOptions,
} from '../../src/reconcile/hosts.js';
import { addToFleet, removeFromFleet, replaceInFleet } from '../../src/reconcile/replace-host.js';
import { create, hostOf, makeFleets, neighbour, tenant, undisturbed, type Fleets } from './commands.js';
import { Killed } from './simulated-host.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { lasting, planFor, refusalOf } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
}, 120_000);

type Job = (fleet: SimulatedFleet) => Promise<unknown>;

const options: HostsOptions = { ...undisturbed(), parallel: 2, force: false, onEvent: () => undefined };
const deskOf = (fleet: SimulatedFleet): FleetDesk => ({
  open: (work) => fleet.run(work),
  edit: (change) => Promise.resolve().then(() => fleet.edit(change)),
});
const drain =
  (host: string): Job =>
  (fleet) =>
    fleet.run((session) => drainHost(session, host, null, options));
const replace =
  (host: string, name: string): Job =>
  (fleet) =>
    replaceInFleet(
      deskOf(fleet),
      host,
      { name, address: '10.0.0.9' },
      {
        ...options,
        ready: () => Promise.resolve(),
        onMove: () => undefined,
      },
    );
const remove =
  (host: string): Job =>
  (fleet) =>
    removeFromFleet(deskOf(fleet), host, { ...options, data: 'forget', confirm: () => Promise.resolve('go on') });

/** Every tenant has a leader and two replicas, none of them there, and nothing is left to do. */
async function expectMoved(fleet: SimulatedFleet, host: string, when: string): Promise<void> {
  const use = useOf(await fleet.run(recordsOf), host);
  expect(use.members, when).toEqual([]);
  for (const name of [tenant, neighbour]) {
    const roles = [...fleet.hosts.keys()].map((h) => fleet.patroni.role(h, name)).filter((role) => role !== null);
    expect(roles.sort(), `${when}: ${name}`).toEqual(['leader', 'replica', 'replica']);
    expect(fleet.patroni.role(host, name), when).toBe(null);
    expect((await planFor(fleet, name)).steps, when).toEqual([]);
  }
}

/** Killed before some of the changes, spread over all of them; the same job again, and once more for nothing. */
async function expectToFinish(start: FleetState, job: Job, host: string): Promise<void> {
  const fleet = new SimulatedFleet(start);
  const states: { before: string; state: FleetState }[] = [];
  fleet.onChange = (before) => states.push({ before, state: fleet.snapshot() });
  await job(fleet);
  await expectMoved(fleet, host, 'not killed');
  const every = Math.max(1, Math.floor(states.length / 12));
  for (let i = 1; i < states.length; i += every) {
    const { before, state } = states[i]!;
    const again = new SimulatedFleet(state);
    again.bury('long ago');
    await job(again);
    await expectMoved(again, host, `killed before ${before}`);
    const changes = again.changes.length;
    await job(again);
    expect(lasting(again.changes.slice(changes)), `killed before ${before}`).toEqual([]);
  }
}

const refusal = (fleet: SimulatedFleet, job: Job) => refusalOf(fleet, () => job(fleet));

describe('a drain', () => {
  test('moves every member, leaders too, and is finished by the same command', { timeout: 300_000 }, async () => {
    await expectToFinish(fleets.made, drain('h3'), 'h3');
  });

  test('is refused with no room elsewhere: nothing is changed for any tenant', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const free = [...fleet.hosts.keys()].find((h) => ![1, 2, 3].some((n) => hostOf(fleet, `${tenant}-${n}`) === h))!;
    fleet.hosts.get(free)!.powerOff();
    const error = await refusal(fleet, drain(hostOf(fleet, 'acme-1')));
    expect(['unfit', 'endangers']).toContain(error.code);
  });

  test('keeps new members away until it is undone', async () => {
    const fleet = new SimulatedFleet(fleets.bare);
    await fleet.run((session) => drainHost(session, 'h4', null, options));
    await fleet.run(create());
    expect([1, 2, 3].map((n) => hostOf(fleet, `${tenant}-${n}`)).sort()).toEqual(['h1', 'h2', 'h3']);
    expect(await fleet.run((session) => undoDrain(session, 'h4'))).toBe(true);
    expect(await fleet.run((session) => undoDrain(session, 'h4'))).toBe(false);
  });

  test('of a host that dies meanwhile is finished all the same', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    let stops = 0;
    fleet.onChange = (what) => {
      if (!what.startsWith('h3: stop pgs-patroni') || stops++ > 0) return;
      fleet.hosts.get('h3')!.powerOff();
      throw new Killed();
    };
    await expect(drain('h3')(fleet)).rejects.toBeInstanceOf(Killed);
    fleet.onChange = () => undefined;
    fleet.bury('long ago');
    await drain('h3')(fleet);
    expect(useOf(await fleet.run(recordsOf), 'h3').members).toEqual([]);
  });
});

describe('a host', () => {
  test('that is in use is not removed, and one that is not leaves its entries', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const error = await refusal(fleet, remove('h4'));
    expect(error.code).toBe('endangers');
    expect(error.details.hint).toContain('pgs host drain h4');
    expect((await refusal(fleet, remove('h1'))).details.found).toContain('a member of etcd');
    await drain('h4')(fleet);
    await remove('h4')(fleet);
    expect(fleet.inventory.hosts.map((h) => h.name)).toEqual(['h1', 'h2', 'h3']);
    const files = [...fleet.hosts.get('h4')!.paths.keys()].filter((path) => path.includes('/conf.d/tenant-'));
    expect(files).toEqual([]);
    expect(await remove('h4')(fleet)).toBe('gone already');
  });

  test('that is new answers for every tenant', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const ready = () => Promise.resolve();
    await addToFleet(deskOf(fleet), { name: 'h5', address: '10.0.0.5' }, ready, options);
    expect(fleet.hosts.get('h5')!.paths.has('/etc/pgs/haproxy/conf.d/tenant-acme.cfg')).toBe(true);
    const changes = fleet.changes.length;
    await addToFleet(deskOf(fleet), { name: 'h5', address: '10.0.0.5' }, ready, options);
    expect(lasting(fleet.changes.slice(changes))).toEqual([]);
    const other = (f: SimulatedFleet) => addToFleet(deskOf(f), { name: 'h5', address: '10.0.0.6' }, ready, options);
    expect((await refusal(fleet, other)).code).toBe('usage');
  });

  test('that is lost is replaced by a new one, and finished by the same command', { timeout: 300_000 }, async () => {
    const fleet = new SimulatedFleet(fleets.made);
    fleet.hosts.get('h4')!.powerOff();
    await expectToFinish(fleet.snapshot(), replace('h4', 'h5'), 'h4');
  });

  test('that comes back after it was replaced takes no part', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    fleet.hosts.get('h4')!.powerOff();
    await replace('h4', 'h5')(fleet);
    expect(fleet.inventory.hosts.map((h) => h.name)).toEqual(['h1', 'h2', 'h3', 'h5']);
    fleet.hosts.get('h4')!.powerOn();
    await expectMoved(fleet, 'h4', 'it is back');
    expect((await refusal(fleet, replace('h4', 'h1'))).code).toBe('usage');
  });
});
