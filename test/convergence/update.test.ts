// `pgs update`: killed before any one change it is finished by the same command; the order in which hosts and members go; and what is
// refused before anything is changed.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { PgsError } from '../../src/errors.js';
import { planUpdate } from '../../src/reconcile/update.js';
import {
  apply,
  makeFleets,
  offer,
  pause,
  restart,
  stop,
  tenant,
  update,
  updateAll,
  type Fleets,
  type Work,
} from './commands.js';
import { describeKills } from './kills.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { lasting, record, refusal } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

describeKills([{ command: 'update', from: 'outdated', work: update(), thoroughly: true }]);

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
});

const leaderOf = ({ dcs }: SimulatedFleet) => dcs.keys.get(`/pgs/dcs/${tenant}/leader`)!.value;
const membersOf = ({ dcs }: SimulatedFleet) =>
  (
    JSON.parse(dcs.keys.get(`/pgs/state/tenants/${tenant}`)!.value) as {
      allocation: { members: { name: string; host: string }[] };
    }
  ).allocation.members;
/** Where members live, the leader's host last. */
const hostsInOrder = (fleet: SimulatedFleet) =>
  [...membersOf(fleet)]
    .sort((a, b) => Number(a.name === leaderOf(fleet)) - Number(b.name === leaderOf(fleet)))
    .map((m) => m.host);

async function changes(state: FleetState, work: Work): Promise<{ fleet: SimulatedFleet; changed: string[] }> {
  const fleet = new SimulatedFleet(state);
  const before = fleet.changes.length;
  await fleet.run(work);
  return { fleet, changed: lasting(fleet.changes.slice(before)) };
}

describe('an update', () => {
  test('has everything fetched first, then goes host by host: replicas, switchover, the old leader', async () => {
    const start = new SimulatedFleet(fleets.outdated);
    const [one, two, last] = hostsInOrder(start);
    const { changed, fleet } = await changes(fleets.outdated, update());
    const told = changed
      .filter((what) => /fetch|unhold|restart|switchover/.test(what))
      .map((what) => what.replace(/ (patroni|postgresql)\S*/g, ''));
    expect(
      told
        .slice(0, 3)
        .map((what) => what.split(':')[0])
        .sort(),
    ).toEqual([one, two, last].sort());
    expect(told.slice(0, 3).every((what) => what.includes('fetch'))).toBe(true);
    const restarts = (host: string | undefined) => [
      `${host}: restart pgs-pgbouncer@acme.service`,
      `${host}: restart pgs-pgbouncer-replica@acme.service`,
      `${host}: restart pgs-patroni@acme.service`,
    ];
    const rest = changed.filter((what) => /restart|switchover/.test(what));
    expect(rest).toEqual([...restarts(one), ...restarts(two), 'cluster: switchover of acme', ...restarts(last)]);
    expect(leaderOf(fleet)).not.toBe(leaderOf(start));
  });

  test('of one package restarts only what runs from it', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    for (const host of fleet.hosts.values()) offer(host, '2', ['pgbouncer']);
    const { changed } = await changes(fleet.snapshot(), update());
    expect(changed.filter((what) => /restart|switchover/.test(what)).every((what) => what.includes('pgbouncer'))).toBe(
      true,
    );
    expect(changed.filter((what) => what.includes('restart')).length).toBe(6);
  });

  test('restarts what another tenant’s update has replaced, and installs nothing', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    for (const host of fleet.hosts.values())
      for (const [name, found] of [...host.packages])
        host.packages.set(name, { ...found, installed: '2', candidate: '2' });
    const { changed } = await changes(fleet.snapshot(), update());
    expect(changed.filter((what) => /install|fetch/.test(what))).toEqual([]);
    expect(changed.filter((what) => /restart pgs-patroni/.test(what)).length).toBe(3);
  });

  test('tells which neighbours run from the same packages, and leaves them', async () => {
    const fleet = new SimulatedFleet(fleets.outdated);
    const plan = await fleet.run((session) => planUpdate(session, tenant));
    expect(plan.notes?.join()).toMatch(/acme-co on .* go(es)? on with what is loaded until `pgs update acme-co`/);
    expect(fleet.changes).toEqual([]);
  });

  test('of a tenant that is stopped installs, and starts nothing', async () => {
    const fleet = new SimulatedFleet(fleets.stopped);
    for (const host of fleet.hosts.values()) offer(host, '2');
    const { changed } = await changes(fleet.snapshot(), update());
    expect(changed.some((what) => what.includes('install'))).toBe(true);
    expect(changed.filter((what) => /start|switchover/.test(what))).toEqual([]);
  });

  test('goes on where it was killed: no host restarts twice', async () => {
    const { states } = await record(fleets.outdated, update());
    const [, two] = hostsInOrder(new SimulatedFleet(fleets.outdated));
    const at = states.find(({ before }) => before === `${two}: restart pgs-patroni@acme.service`)!;
    const fleet = new SimulatedFleet(at.state);
    fleet.bury('just now');
    await fleet.run(update());
    const restarts = fleet.changes.filter((what) => what.includes('restart pgs-patroni'));
    expect(restarts.length).toBe(2);
    expect(restarts[0]).toContain(`${two}:`);
  });

  test('stops at the first host that does not come back, and touches no other', async () => {
    const fleet = new SimulatedFleet(fleets.outdated);
    const [one] = hostsInOrder(fleet);
    fleet.hosts.get(one!)!.failing.add('pgs-patroni@acme.service');
    const thrown: unknown = await fleet.run(update()).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(PgsError);
    expect((thrown as PgsError).details.host).toBe(one);
    const touched = fleet.changes.filter((what) => /install|restart/.test(what)).map((what) => what.split(':')[0]);
    expect(new Set(touched)).toEqual(new Set([one]));
  });
});

describe('nothing is changed', () => {
  test('when one host’s sources lack the package that the others have', async () => {
    const fleet = new SimulatedFleet(fleets.outdated);
    const host = hostsInOrder(fleet)[2]!;
    offer(fleet.hosts.get(host)!, '1', ['pgbouncer']);
    const error = await refusal(fleet, update());
    expect(error.code).toBe('unfit');
    expect(error.details.found).toContain(`${host}: 1`);
    expect((await refusal(fleet, updateAll())).code).toBe('unfit');
  });

  test('while a member does not stream, and while Patroni is paused', async () => {
    const down = new SimulatedFleet(fleets.outdated);
    await down.hosts.get(hostsInOrder(down)[0]!)!.run({ argv: ['true'], timeoutMs: 1 });
    const unit = down.hosts.get(hostsInOrder(down)[0]!)!;
    unit.units.get('pgs-patroni@acme.service')!.active = 'inactive';
    down.patroni.stop(hostsInOrder(down)[0]!, tenant);
    const error = await refusal(down, update());
    expect(error.code).toBe('endangers');
    expect(error.details.hint).toContain('pgs doctor acme');
    const paused = new SimulatedFleet(fleets.outdated);
    await paused.run(pause(true));
    expect((await refusal(paused, update())).details.hint).toContain('pgs cluster resume acme');
  });

  test('when a host does not answer, or the tenant is being made', async () => {
    const fleet = new SimulatedFleet(fleets.outdated);
    fleet.hosts.get(hostsInOrder(fleet)[0]!)!.powerOff();
    expect((await refusal(fleet, update())).code).toBe('unreachable');
  });

  test('when etcd would break Patroni', async () => {
    const fleet = new SimulatedFleet(fleets.outdated);
    for (const host of fleet.hosts.values()) {
      host.packages.set('patroni', { installed: '4.0.7-1', candidate: '4.0.7-1', held: true });
      offer(host, '3.5.28-1', ['etcd-server']);
    }
    expect((await refusal(fleet, updateAll())).code).toBe('endangers');
  });

  test('when there is nothing to do', async () => {
    expect((await changes(fleets.made, update())).changed).toEqual([]);
    const work: Work = (session) => updateAll()(session);
    expect((await changes(fleets.made, work)).changed).toEqual([]);
    expect((await changes(fleets.made, restart({ pendingOnly: true }))).changed).toEqual([]);
    expect((await changes(fleets.stopped, stop('stopped'))).changed).toEqual([]);
    expect((await changes(fleets.made, apply())).changed).toEqual([]);
  });
});
