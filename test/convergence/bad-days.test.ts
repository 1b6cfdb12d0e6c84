// Several operators at once, and hosts that are not there: nobody is hurt, and what was put off is made up for later.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { exitCodes, PgsError } from '../../src/errors.js';
import { parseRecord } from '../../src/state/records.js';
import { apply, create, destroy, makeFleets, tenant, type Fleets } from './commands.js';
import { SimulatedFleet } from './simulated-fleet.js';
import { lasting, outcome, record } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
});

/** The error of a command that must fail. */
async function refusal(run: Promise<unknown>): Promise<PgsError> {
  const thrown = await run.then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  );
  if (!(thrown instanceof PgsError)) throw thrown;
  return thrown;
}

function tenantsOf({ dcs }: SimulatedFleet) {
  return dcs.withPrefix('/pgs/state/tenants/').map(({ key, value }) => parseRecord(key, value));
}

describe('operators at the same time', () => {
  test('who make the same tenant: one makes it, the other is told who works on it', async () => {
    const { fleet: alone } = await record(fleets.empty, create());
    const fleet = new SimulatedFleet(fleets.empty);
    const results = await Promise.allSettled([fleet.run(create()), fleet.run(create())]);
    const failed = results.flatMap((r) => (r.status === 'rejected' ? [r.reason as PgsError] : []));
    expect(failed.map((e) => exitCodes[e.code])).toEqual([6]);
    expect(failed[0]!.details.found).toContain('cluster create acme');
    expect(outcome(fleet)).toEqual(outcome(alone));
    expect((await fleet.run(create())).steps).toEqual([]);
  });

  test('who make different tenants get different ports, and all are made', async () => {
    const fleet = new SimulatedFleet(fleets.bare);
    const names = ['one', 'two', 'three', 'four', 'five'];
    await Promise.all(names.map((name) => fleet.run(create({}, name))));
    const slots = tenantsOf(fleet).map((t) => t.allocation.slot);
    expect([...slots].sort()).toEqual([0, 1, 2, 3, 4]);
    for (const name of names) {
      expect((await fleet.run(create({}, name))).steps, name).toEqual([]);
      expect(
        [...fleet.hosts.keys()].map((host) => fleet.patroni.role(host, name)).filter((r) => r !== null),
      ).toHaveLength(3);
    }
    for (const { listening } of fleet.hosts.values()) {
      expect(new Set(listening.map((l) => l.port)).size).toBe(listening.length);
    }
  });

  test('of whom one destroys and one creates: the tenant is there or not, and nothing between', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    const results = await Promise.allSettled([fleet.run(destroy(true)), fleet.run(create())]);
    expect(results.map((r) => r.status).sort()).toEqual(['fulfilled', 'rejected']);
    await fleet.run(create());
    expect((await fleet.run(create())).steps).toEqual([]);
  });
});

test('a port that a stranger listens on is no tenant’s', async () => {
  const fleet = new SimulatedFleet(fleets.bare);
  fleet.hosts.get('h3')!.listening.push({ port: 20007, process: 'stranger' });
  await fleet.run(create());
  expect(tenantsOf(fleet)[0]!.allocation.slot).toBe(1);
});

describe('a tenant that is half removed', () => {
  test('is not created again: its removal has to be finished', async () => {
    const { states } = await record(fleets.made, destroy(true));
    const half = states.find(({ before }) => before.startsWith('h1: stop'))!;
    const fleet = new SimulatedFleet(half.state);
    fleet.bury('just now');
    const error = await refusal(fleet.run(create()));
    expect(error.code).toBe('endangers');
    expect(error.details.hint).toContain('pgs cluster destroy acme');
    expect((await refusal(fleet.run(apply()))).code).toBe('endangers');
    expect(lasting(fleet.changes)).toEqual([]);
  });

  test('whose data is kept, is created again only with --reuse-data', async () => {
    const fleet = new SimulatedFleet(fleets.retired);
    const error = await refusal(fleet.run(create()));
    expect(error.code).toBe('endangers');
    expect(error.details.hint).toContain('--reuse-data');
    const other = await refusal(fleet.run(create({ reuseData: true, given: { tenant, rto: 'fast' } })));
    expect(other.details.found).toMatch(/data was kept with another spec:\nrto: "norm" there, "fast" asked for/);
    const kept = fleet.hosts.get('h1')!.paths.get('/var/lib/pgs/acme/data/system-id');
    await fleet.run(create({ reuseData: true }));
    expect(fleet.hosts.get('h1')!.paths.get('/var/lib/pgs/acme/data/system-id')).toEqual(kept);
  });
});

describe('a host that cannot be reached', () => {
  test('is not fit for a new tenant, and the error says why', async () => {
    const fleet = new SimulatedFleet(fleets.empty);
    fleet.hosts.get('h1')!.powerOff();
    fleet.hosts.get('h4')!.powerOff();
    const error = await refusal(fleet.run(create()));
    expect(error.code).toBe('unfit');
    expect(error.details.found).toMatch(/h1: cannot be looked at: no answer\nh4: cannot be looked at: no answer/);
    expect(lasting(fleet.changes)).toEqual([]);
  });

  test('is left out when the others suffice, and gets its part when it is back', async () => {
    const fleet = new SimulatedFleet(fleets.empty);
    fleet.hosts.get('h4')!.powerOff();
    const plan = await fleet.run(create());
    expect(plan.warnings).toEqual([expect.stringMatching(/^h4 could not be looked at and is left as it is/)]);
    expect(tenantsOf(fleet)[0]).toMatchObject({ spec: { tenant }, phase: 'ready' });
    fleet.hosts.get('h4')!.powerOn();
    const changes = fleet.changes.length;
    await fleet.run(apply());
    expect(lasting(fleet.changes.slice(changes)).every((what) => what.startsWith('h4: '))).toBe(true);
    expect((await fleet.run(apply())).steps).toEqual([]);
  });

  test('stops a create that was begun with it, before anything else is changed', async () => {
    const { states } = await record(fleets.empty, create());
    const half = states.find(({ before }) => before.startsWith('h1: user'))!;
    const fleet = new SimulatedFleet(half.state);
    fleet.bury('just now');
    fleet.hosts.get('h2')!.powerOff();
    const error = await refusal(fleet.run(create()));
    expect(error.code).toBe('unreachable');
    expect(error.details.found).toContain('h2 could not be looked at');
    expect(lasting(fleet.changes)).toEqual([]);
    fleet.hosts.get('h2')!.powerOn();
    await fleet.run(create());
    expect((await fleet.run(create())).steps).toEqual([]);
  });

  test.each([true, false])(
    'keeps a tenant from being destroyed: what is there is unknown (purge: %s)',
    async (purge) => {
      const fleet = new SimulatedFleet(fleets.made);
      fleet.hosts.get('h1')!.powerOff();
      const before = JSON.stringify(outcome(fleet));
      const error = await refusal(fleet.run(destroy(purge)));
      expect(error.code).toBe('endangers');
      expect(error.details.found).toContain('h1 could not be looked at');
      expect(lasting(fleet.changes)).toEqual([]);
      expect(JSON.stringify(outcome(fleet))).toBe(before);
    },
  );

  test.each(['h1', 'h2', 'h3', 'h4'])('does not keep the others from being mended, and is named: %s', async (down) => {
    const fleet = new SimulatedFleet(fleets.made);
    const expected = outcome(fleet);
    fleet.hosts.get(down)!.powerOff();
    for (const host of fleet.hosts.values()) if (host.name !== down) damage(host.name);
    const plan = await fleet.run(apply());
    expect(plan.warnings).toEqual([expect.stringContaining(`${down} could not be looked at`)]);
    expect(plan.steps.filter((s) => s.host === down)).toEqual([]);
    for (const host of fleet.hosts.values()) {
      if (host.name !== down) expect(host.paths.has('/etc/pgs/haproxy/conf.d/tenant-acme.cfg'), host.name).toBe(true);
    }
    fleet.hosts.get(down)!.powerOn();
    await fleet.run(apply());
    expect((await fleet.run(apply())).steps).toEqual([]);
    expect(outcome(fleet)).toEqual(expected);

    function damage(name: string): void {
      fleet.hosts.get(name)!.paths.delete('/etc/pgs/haproxy/conf.d/tenant-acme.cfg');
    }
  });
});

describe('a change that restarts members', () => {
  const disturbing = (changes: string[]) => changes.filter((what) => /restart|switchover/.test(what));

  test('restarts one replica after the other, and the old leader after a switchover', async () => {
    const { fleet } = await record(fleets.made, apply({ watchdog: 'automatic' }));
    const unit = 'restart pgs-patroni@acme.service';
    expect(disturbing(fleet.changes)).toEqual([
      `h1: ${unit}`,
      `h2: ${unit}`,
      'cluster: switchover of acme',
      `h4: ${unit}`,
    ]);
    expect(fleet.patroni.role('h4', tenant)).toBe('replica');
  });

  test('restarts nobody twice, wherever it is killed', async () => {
    const { states } = await record(fleets.made, apply({ watchdog: 'automatic' }));
    const done: string[] = [];
    for (const { before, state } of states) {
      const fleet = new SimulatedFleet(state);
      fleet.bury('just now');
      await fleet.run(apply({ watchdog: 'automatic' }));
      const restarts = [...done, ...fleet.changes].filter((what) => what.includes('restart')).sort();
      expect(restarts, before).toEqual(['h1', 'h2', 'h4'].map((host) => `${host}: restart pgs-patroni@acme.service`));
      done.push(before);
    }
  });

  test('restarts at once what does not serve anyway', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    // Its file was changed by hand to something that its process cannot work with.
    for (const name of ['h1', 'h2']) {
      const { paths } = fleet.hosts.get(name)!;
      const file = paths.get('/etc/pgs/tenants/acme/patroni.yml')!;
      paths.set('/etc/pgs/tenants/acme/patroni.yml', {
        ...file,
        content: file.content.replace(/password: .*/, 'password: x'),
      });
    }
    for (const name of ['h1', 'h2']) fleet.patroni.reload(name, tenant);
    expect(fleet.patroni.role('h1', tenant)).toBeNull();
    await fleet.run(apply({ watchdog: 'automatic' }));
    expect((await fleet.run(apply({ watchdog: 'automatic' }))).steps).toEqual([]);
    expect(fleet.patroni.role('h1', tenant)).not.toBeNull();
  });
});
