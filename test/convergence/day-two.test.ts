// What is done to a cluster that lives: killed before any one change it is finished by the same command; and what is refused.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { PgsError } from '../../src/errors.js';
import { switchOver } from '../../src/reconcile/switchover.js';
import { apply, makeFleets, pause, reinit, restart, stop, tenant, type Fleets, type Work } from './commands.js';
import { describeKills } from './kills.js';
import { SimulatedFleet } from './simulated-fleet.js';
import { planFor, record, refusal } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

describeKills([
  {
    command: 'apply of what members need a restart for',
    from: 'made',
    work: apply({ settings: { max_connections: 200 } }),
  },
  {
    command: 'apply of what goes up, down and needs a restart',
    from: 'made',
    work: apply({ settings: { max_connections: 60, max_worker_processes: 12, shared_buffers: '256MB' } }),
    thoroughly: true,
  },
  { command: 'apply of another preset and RPO', from: 'made', work: apply({ rto: 'fast', rpo: 1048576 }) },
  { command: 'restart', from: 'made', work: restart(), still: apply(), thoroughly: true },
  { command: 'apply of a longer ttl', from: 'made', work: apply({ rto: 'wide', watchdog: 'automatic' }) },
  { command: 'reinit', from: 'made', work: reinit('acme-2'), still: apply() },
  { command: 'stop', from: 'made', work: stop('stopped'), thoroughly: true },
  { command: 'start', from: 'stopped', work: stop('ready'), thoroughly: true },
]);

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
});

/** What a command changed on the cluster itself, in order. */
async function cluster(fleet: SimulatedFleet, work: Work): Promise<string[]> {
  const before = fleet.changes.length;
  await fleet.run(work);
  return fleet.changes
    .slice(before)
    .filter((what) => what.startsWith('cluster: ') || /(stop|restart) pgs-patroni@acme/.test(what));
}

const set = (settings: Record<string, string | number>) => apply({ settings });
const leaderOf = ({ dcs }: SimulatedFleet) => dcs.keys.get(`/pgs/dcs/${tenant}/leader`)!.value;

describe('a parameter', () => {
  test('that a reload is enough for restarts nobody', async () => {
    expect(await cluster(new SimulatedFleet(fleets.made), set({ work_mem: '9MB' }))).toEqual([
      'cluster: settings of acme',
    ]);
  });

  test('that needs a restart, or goes up: replicas first, the leader last and after a switchover', async () => {
    for (const settings of [{ shared_buffers: '256MB' }, { max_connections: 300 }]) {
      const fleet = new SimulatedFleet(fleets.made);
      const leader = leaderOf(fleet);
      const replicas = ['acme-1', 'acme-2', 'acme-3'].filter((name) => name !== leader);
      expect(await cluster(fleet, set(settings))).toEqual([
        'cluster: settings of acme',
        ...replicas.map((name) => `cluster: restart of ${name}`),
        'cluster: switchover of acme',
        `cluster: restart of ${leader}`,
      ]);
    }
  });

  test('that goes down: the leader first and in place, then the replicas', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const leader = leaderOf(fleet);
    const replicas = ['acme-1', 'acme-2', 'acme-3'].filter((name) => name !== leader);
    expect(await cluster(fleet, set({ max_connections: 60 }))).toEqual([
      'cluster: settings of acme',
      `cluster: restart of ${leader} in place`,
      ...replicas.map((name) => `cluster: restart of ${name}`),
    ]);
    expect(leaderOf(fleet)).toBe(leader);
  });

  test('is taken back to what pgs gives it', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const before = fleet.patroni.parameters(tenant);
    await fleet.run(set({ max_connections: 300, work_mem: '9MB' }));
    expect(fleet.patroni.parameters(tenant)).not.toEqual(before);
    await fleet.run(set({}));
    expect(fleet.patroni.parameters(tenant)).toEqual(before);
  });
});

describe('a restart', () => {
  test('goes on where it was killed: nobody restarts twice', async () => {
    const { states } = await record(fleets.made, restart());
    const leader = leaderOf(new SimulatedFleet(fleets.made));
    const [, second] = ['acme-1', 'acme-2', 'acme-3'].filter((name) => name !== leader);
    const fleet = new SimulatedFleet(states.find(({ before }) => before === `cluster: restart of ${second}`)!.state);
    fleet.bury('just now');
    expect(await cluster(fleet, restart())).toEqual([
      `cluster: restart of ${second}`,
      'cluster: switchover of acme',
      `cluster: restart of ${leader}`,
    ]);
    expect((await planFor(fleet, tenant)).steps).toEqual([]);
  });

  test('of one member is of that one, and with nothing pending of none', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const replica = ['acme-1', 'acme-2', 'acme-3'].find((name) => name !== leaderOf(fleet))!;
    expect(await cluster(fleet, restart({ member: replica }))).toEqual([`cluster: restart of ${replica}`]);
    expect(await cluster(fleet, restart({ pendingOnly: true }))).toEqual([]);
  });

  test('is refused while another member does not stream', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const name = ['acme-1', 'acme-2', 'acme-3'].find((member) => member !== leaderOf(fleet))!;
    const host = (await planHost(fleet, name))!;
    fleet.hosts.get(host)!.powerOff();
    const error = await refusal(fleet, restart());
    expect(error.code).toBe('endangers');
    expect(error.details.found).toContain(`${name} does not stream`);
  });
});

async function planHost(fleet: SimulatedFleet, member: string): Promise<string | undefined> {
  const record = fleet.dcs.keys.get(`/pgs/state/tenants/${tenant}`)!.value;
  const { allocation } = JSON.parse(record) as { allocation: { members: { name: string; host: string }[] } };
  return Promise.resolve(allocation.members.find((m) => m.name === member)?.host);
}

describe('a reinit', () => {
  test('is refused for the leader, and for the last good copy beside it', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const leader = leaderOf(fleet);
    const [one, other] = ['acme-1', 'acme-2', 'acme-3'].filter((name) => name !== leader) as [string, string];
    expect((await refusal(fleet, reinit(leader))).details.found).toMatch(/it leads/);
    fleet.hosts.get((await planHost(fleet, one))!)!.powerOff();
    const error = await refusal(fleet, reinit(other));
    expect(error.code).toBe('endangers');
    expect(error.details.found).toMatch(/the last good copy/);
  });
});

describe('a pause', () => {
  test('is kept by an apply, stops what needs Patroni, and is ended by a resume', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    expect(await cluster(fleet, pause(true))).toEqual(['cluster: settings of acme']);
    expect((await fleet.run(apply())).steps).toEqual([]);
    expect((await fleet.run(pause(true))).steps).toEqual([]);
    for (const work of [restart(), set({ shared_buffers: '256MB' }), reinit('acme-2'), stop('stopped')]) {
      const thrown: unknown = await fleet.run(work).catch((error: unknown) => error);
      expect(thrown).toBeInstanceOf(PgsError);
      expect((thrown as PgsError).code).toBe('endangers');
      expect((thrown as PgsError).details.hint).toContain('pgs cluster resume acme');
    }
    await fleet.run(pause(false));
    expect((await fleet.run(pause(false))).steps).toEqual([]);
    await fleet.run(restart());
  });
});

describe('a tenant that is stopped', () => {
  test('has no process and no port, stays so with an apply and a boot, and comes back with who led', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const leader = leaderOf(fleet);
    const changed = await cluster(fleet, stop('stopped'));
    expect(changed.at(-1)).toBe(`${await planHost(fleet, leader)}: stop pgs-patroni@acme.service`);
    for (const host of fleet.hosts.values()) {
      expect([...host.units].filter(([unit, { active }]) => unit.includes('@acme.') && active === 'active')).toEqual(
        [],
      );
      expect(host.listening.filter(({ port }) => port >= 20010 && port < 20020)).toEqual([]);
      host.powerOff();
      host.powerOn();
    }
    expect((await fleet.run(apply())).steps).toEqual([]);
    expect([...fleet.hosts.keys()].map((host) => fleet.patroni.role(host, tenant)).filter(Boolean)).toEqual([]);
    await fleet.run(stop('ready'));
    expect(leaderOf(fleet)).toBe(leader);
  });

  test('refuses what needs it in service, with the way out', async () => {
    const fleet = new SimulatedFleet(fleets.stopped);
    const switching: Work = (session) =>
      switchOver(session, tenant, null, {
        signal: new AbortController().signal,
        onPhase: () => undefined,
        force: false,
      }) as never;
    for (const work of [restart(), reinit('acme-2'), pause(true), switching]) {
      const error = await refusal(fleet, work);
      expect(error.code).toBe('endangers');
      expect(error.details.hint).toContain('pgs cluster start acme');
    }
  });
});
