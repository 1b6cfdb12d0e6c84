// Wherever pgs is killed while it makes, changes or removes a tenant: the same command again comes to the same end as if nothing
// had happened, a neighbour notices nothing, and a further run changes nothing.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { PgsError } from '../../src/errors.js';
import { createCluster, type CreateRequest } from '../../src/reconcile/create.js';
import { destroyCluster } from '../../src/reconcile/destroy.js';
import { respecCluster } from '../../src/reconcile/respec.js';
import type { Step } from '../../src/reconcile/step.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { belongings, lasting, outcome, record, undisturbed, type Work } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

const neighbour = 'acme-co';
const tenant = 'acme';

function request(name: string, change: Partial<CreateRequest> = {}): CreateRequest {
  return { given: { tenant: name }, hosts: null, source: 'the options', reuseData: false, ...change };
}

const create =
  (change: Partial<CreateRequest> = {}): Work =>
  async (session) =>
    (await createCluster(session, request(tenant, change), undisturbed())).plan;

const destroy =
  (purgeData: boolean): Work =>
  (session) =>
    destroyCluster(session, tenant, { ...undisturbed(), purgeData });

const respec =
  (change: Record<string, unknown>): Work =>
  (session) =>
    respecCluster(session, { tenant, ...change }, 'acme.yaml', undisturbed());

/** A fleet with a neighbour, and the same with the tenant. */
let empty: FleetState;
let made: FleetState;
let retired: FleetState;
let bare: FleetState;

beforeAll(async () => {
  const fleet = new SimulatedFleet();
  bare = fleet.snapshot();
  await fleet.run((session) => createCluster(session, request(neighbour), undisturbed()));
  empty = fleet.snapshot();
  await fleet.run(create());
  made = fleet.snapshot();
  await fleet.run(destroy(false));
  retired = fleet.snapshot();
});

/** The steps that a command took; a destroy that finds nothing left to destroy says so, and that is an end too. */
async function runAgain(fleet: SimulatedFleet, work: Work): Promise<Step[]> {
  try {
    return (await fleet.run(work)).steps;
  } catch (thrown) {
    if (thrown instanceof PgsError && thrown.code === 'usage' && /destroying/.test(thrown.details.doing)) return [];
    throw thrown;
  }
}

interface Interrupted {
  command: string;
  from: () => FleetState;
  work: Work;
  /** The command that is run after the kill; the same unless said. */
  then?: Work;
}

const cases: Interrupted[] = [
  { command: 'create of the first tenant', from: () => bare, work: create() },
  { command: 'create beside a neighbour', from: () => empty, work: create() },
  { command: 'create --reuse-data', from: () => retired, work: create({ reuseData: true }) },
  { command: 'apply of other parameters', from: () => made, work: respec({ settings: { work_mem: '9MB' } }) },
  { command: 'apply of what restarts members', from: () => made, work: respec({ watchdog: 'automatic' }) },
  { command: 'destroy', from: () => made, work: destroy(false) },
  { command: 'destroy --purge-data', from: () => made, work: destroy(true) },
  { command: 'destroy --purge-data of kept data', from: () => retired, work: destroy(true) },
  { command: 'create, given up by destroy --purge-data', from: () => empty, work: create(), then: destroy(true) },
];

describe.each(cases)('$command, killed before any one change', ({ from, work, then = work }) => {
  test('comes to the same end when run again, and a neighbour notices nothing', async () => {
    const { states, fleet: uninterrupted } = await record(from(), work);
    if (then !== work) await uninterrupted.run(then);
    const expected = outcome(uninterrupted);
    const neighbours = belongings(new SimulatedFleet(from()), neighbour);
    expect(states.length).toBeGreaterThan(6);
    for (const [i, { before, state }] of states.entries()) {
      const fleet = new SimulatedFleet(state);
      fleet.bury(i % 2 === 0 ? 'just now' : 'long ago');
      await runAgain(fleet, then);
      expect(outcome(fleet), before).toEqual(expected);
      expect(belongings(fleet, neighbour), before).toEqual(neighbours);
      const changes = fleet.changes.length;
      expect(await runAgain(fleet, then), before).toEqual([]);
      expect(lasting(fleet.changes.slice(changes)), before).toEqual([]);
    }
  });
});
