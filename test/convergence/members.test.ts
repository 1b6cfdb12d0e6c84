// Members that come and go: killed before any one change, the same command finishes it; what is refused; and what a host that was lost can
// still do when it comes back.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import {
  apply,
  hostOf,
  leaderOf,
  makeFleets,
  membersOf,
  replace,
  restart,
  scale,
  tenant,
  type Fleets,
} from './commands.js';
import { describeKills } from './kills.js';
import { Killed } from './simulated-host.js';
import { SimulatedFleet } from './simulated-fleet.js';
import { outcome, planFor, record, refusal } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

describeKills([
  { command: 'scale up', from: 'made', work: scale(3), sparsely: true },
  { command: 'scale down with the data', from: 'made', work: scale(1, null, 'purge'), sparsely: true },
  { command: 'replace of the leader', from: 'made', work: replace('acme-1'), sparsely: true },
  { command: 'replace of a lost member', from: 'lost', work: replace('acme-2'), sparsely: true, thoroughly: true },
]);

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
}, 120_000);

const others = (fleet: SimulatedFleet) => membersOf(fleet).members.map((m) => m.name);
const serving = (fleet: SimulatedFleet) =>
  [...fleet.hosts.keys()]
    .map((host) => fleet.patroni.role(host, tenant))
    .filter(Boolean)
    .sort();

const freeHost = (fleet: SimulatedFleet) =>
  [...fleet.hosts.keys()].find((host) => !membersOf(fleet).members.some((m) => m.host === host))!;

describe('scaling', () => {
  test('up restarts nobody, and gives a name that was never given', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const starts = fleet.patroni.snapshot().starts;
    await fleet.run(scale(3));
    expect(others(fleet)).toEqual(['acme-1', 'acme-2', 'acme-3', 'acme-4']);
    expect(fleet.patroni.snapshot().starts).toBe(starts + 1);
    await fleet.run(scale(2));
    await fleet.run(scale(3));
    expect(others(fleet)).toEqual(['acme-1', 'acme-2', 'acme-3', 'acme-5']);
    expect(serving(fleet)).toEqual(['leader', 'replica', 'replica', 'replica']);
  });

  test('down lets replicas go, never the leader, and keeps their data where it was', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const leader = leaderOf(fleet);
    const hosts = Object.fromEntries(others(fleet).map((name) => [name, hostOf(fleet, name)]));
    await fleet.run(scale(0));
    expect(others(fleet)).toEqual([leader]);
    expect(leaderOf(fleet)).toBe(leader);
    for (const [name, host] of Object.entries(hosts)) {
      const { paths, units } = fleet.hosts.get(host)!;
      expect(paths.has(`/var/lib/pgs/${tenant}/data`), name).toBe(true);
      expect(paths.has(`/etc/pgs/tenants/${tenant}`), name).toBe(name === leader);
      expect(units.get(`pgs-patroni@${tenant}.service`)?.active === 'active', name).toBe(name === leader);
    }
    await fleet.run(scale(2));
    expect(serving(fleet)).toEqual(['leader', 'replica', 'replica']);
    expect((await planFor(fleet, tenant)).steps).toEqual([]);
  });

  test('is refused where what stays would not follow, and gives up what is lost', async () => {
    const fleet = new SimulatedFleet(fleets.lost);
    await fleet.run(scale(1));
    expect(others(fleet)).toEqual(['acme-1', 'acme-3']);
    const two = new SimulatedFleet(fleets.lost);
    two.hosts.get(hostOf(two, 'acme-3'))!.powerOff();
    const error = await refusal(two, scale(1));
    expect(error.code).toBe('endangers');
    expect(error.details.hint).toContain('pgs cluster scale acme --replicas 0');
  });

  test('to none is refused with strict durability', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    await fleet.run(apply({ durability: 'strict' }));
    expect((await refusal(fleet, scale(0))).details.found).toMatch(/strict/);
  });

  test('by a changed spec is the same', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    await fleet.run(apply({ replicas: 3 }));
    expect(serving(fleet)).toHaveLength(4);
    // A spec that does not say how many leaves them as they are.
    expect((await fleet.run(apply())).steps).toEqual([]);
    await fleet.run(apply({ replicas: 1 }));
    expect(serving(fleet)).toEqual(['leader', 'replica']);
    expect((await refusal(fleet, apply({ replicas: 0 }))).code).toBe('configuration');
  });
});

describe('a replacement', () => {
  test('follows before the old one goes, and a leader hands over first', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const leader = leaderOf(fleet);
    const [from, to] = [hostOf(fleet, leader), freeHost(fleet)];
    await fleet.run(replace(leader, to));
    const order = [
      `${to}: start pgs-patroni@acme.service`,
      'cluster: switchover of acme',
      `${from}: stop pgs-patroni@acme.service`,
    ];
    expect(fleet.changes.filter((what) => order.includes(what))).toEqual(order);
    expect(others(fleet)).toContain('acme-4');
    expect(others(fleet)).not.toContain(leader);
    expect(serving(fleet)).toEqual(['leader', 'replica', 'replica']);
  });

  test('is refused while another member is down, with the way out', async () => {
    const fleet = new SimulatedFleet(fleets.lost);
    const error = await refusal(fleet, replace('acme-3'));
    expect(error.code).toBe('endangers');
    expect(error.details.found).toContain('acme-2 does not stream');
    expect(error.details.hint).toContain('pgs cluster replace acme-2');
  });

  test('is refused with no host to go to, and to a host that has a member', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    expect((await refusal(fleet, replace('acme-2', hostOf(fleet, 'acme-3')))).details.found).toContain(
      'has acme-3 already',
    );
    fleet.hosts.get(freeHost(fleet))!.powerOff();
    expect((await refusal(fleet, replace('acme-2'))).code).toBe('unfit');
    expect((await refusal(fleet, replace('acme-9'))).code).toBe('usage');
  });

  test('of a lost member changes what its host knows, after everybody else has it', async () => {
    const fleet = new SimulatedFleet(fleets.lost);
    const lost = hostOf(new SimulatedFleet(fleets.made), 'acme-2');
    await fleet.run(replace('acme-2'));
    expect(membersOf(fleet).leaving).toEqual([{ name: 'acme-2', host: lost, data: 'keep', login: 'changed' }]);
    const changed = fleet.changes.indexOf('dcs: change password of pgs-acme');
    const reloads = fleet.changes.flatMap((what, i) => (/: reload pgs-patroni@acme/.test(what) ? [i] : []));
    expect(reloads.filter((i) => i < changed).length).toBeGreaterThanOrEqual(2);
    expect(serving(fleet)).toEqual(['leader', 'replica', 'replica']);
    // Back again, it cannot take part by itself, and an apply removes what is left of it.
    const host = fleet.hosts.get(lost)!;
    host.powerOn();
    expect(fleet.patroni.role(lost, tenant)).toBe(null);
    expect(serving(fleet)).toEqual(['leader', 'replica', 'replica']);
    expect((await planFor(fleet, tenant)).steps.map((s) => s.title)).toContain('stop pgs-patroni@acme.service');
    await fleet.run(apply());
    expect(host.units.get('pgs-patroni@acme.service')?.active ?? 'gone').not.toBe('active');
    expect(host.paths.has('/var/lib/pgs/acme/data')).toBe(true);
    expect(membersOf(fleet)).toMatchObject({ keptOn: [lost] });
    expect(membersOf(fleet).leaving).toBeUndefined();
    expect((await planFor(fleet, tenant)).steps).toEqual([]);
  });

  test('whose old host dies before it has left is finished all the same', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const from = hostOf(fleet, 'acme-2');
    fleet.onChange = (what) => {
      if (what !== `${from}: stop pgs-patroni@acme.service`) return;
      fleet.hosts.get(from)!.powerOff();
      throw new Killed();
    };
    await expect(fleet.run(replace('acme-2'))).rejects.toBeInstanceOf(Killed);
    fleet.onChange = () => undefined;
    fleet.bury('long ago');
    await fleet.run(replace('acme-2'));
    expect(serving(fleet)).toEqual(['leader', 'replica', 'replica']);
    expect(membersOf(fleet).leaving).toMatchObject([{ name: 'acme-2', login: 'changed' }]);
  });

  test('that was begun is finished by an apply as well', { timeout: 400_000 }, async () => {
    const { states, fleet: uninterrupted } = await record(fleets.made, replace('acme-2'));
    const begun = states.findIndex(({ before }) => before.includes(`/pgs/state/tenants/${tenant}`)) + 1;
    for (let i = begun; i < states.length; i += 12) {
      const fleet = new SimulatedFleet(states[i]!.state);
      fleet.bury('long ago');
      await fleet.run(apply());
      expect(outcome(fleet), `killed before ${states[i]!.before}`).toEqual(outcome(uninterrupted));
    }
  });

  test('that is begun holds other jobs up no longer than it takes', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    await fleet.run(replace('acme-2'));
    await fleet.run(restart());
    expect(serving(fleet)).toEqual(['leader', 'replica', 'replica']);
  });
});
