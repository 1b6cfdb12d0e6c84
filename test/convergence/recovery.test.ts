// An etcd that lost everything, filled from an export and let go, killed before any one change: the same again comes to the same end.

import { beforeAll, expect, test, vi } from 'vitest';
import { fillDcs } from '../../src/reconcile/recover-dcs.js';
import { pausedIn, recoveringKey, releaseTenants } from '../../src/reconcile/release-tenants.js';
import type { Session } from '../../src/reconcile/session.js';
import { pgsVersion, readExported, type ExportContent } from '../../src/state/export.js';
import { makeFleets, neighbour, pause, tenant, type Fleets } from './commands.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { outcome, planFor } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
});

async function exportOf(state: FleetState): Promise<ExportContent> {
  const fleet = new SimulatedFleet(state);
  const kept = await fleet.run(async (session) => readExported(await session.dcs()));
  return { pgs: pgsVersion, fleet: 'main', fleetId: 'x', files: {}, ...kept };
}

/** Every key and login of etcd is gone; the members run. */
function lost(state: FleetState): FleetState {
  const fleet = new SimulatedFleet(state);
  fleet.dcs.keys.clear();
  fleet.dcs.leases.clear();
  fleet.dcs.users.clear();
  fleet.dcs.roles.clear();
  return fleet.snapshot();
}

const recover = (content: ExportContent, fleet: SimulatedFleet) => async (session: Session) => {
  await fillDcs(session, content);
  // What each member's Patroni writes when it is let in.
  for (const one of [tenant, neighbour])
    for (const n of [1, 2, 3]) fleet.dcs.put(`/pgs/dcs/${one}/members/${one}-${n}`, '{}');
  const { signal } = new AbortController();
  return releaseTenants(session, pausedIn(content), signal, () => undefined);
};

const members = /\/members\//;
const without = (state: unknown) =>
  JSON.parse(JSON.stringify(state), (_, value: unknown) =>
    Array.isArray(value) ? value.filter((one) => !(Array.isArray(one) && members.test(String(one[0])))) : value,
  ) as unknown;

test('comes to what it was, wherever it was killed', { timeout: 120_000 }, async () => {
  const content = await exportOf(fleets.made);
  const expected = without(outcome(new SimulatedFleet(fleets.made)));
  const start = lost(fleets.made);
  const states: { before: string; state: FleetState }[] = [];
  const fleet = new SimulatedFleet(start);
  fleet.onChange = (what) => states.push({ before: what, state: fleet.snapshot() });
  const released = await fleet.run(recover(content, fleet));
  expect(released.map((one) => one.tenant)).toEqual([tenant, neighbour]);
  expect(without(outcome(fleet))).toEqual(expected);
  expect((await planFor(fleet, tenant)).steps).toEqual([]);
  expect(states.length).toBeGreaterThan(20);
  for (const { before, state } of states) {
    const again = new SimulatedFleet(state);
    again.bury('just now');
    await again.run(recover(content, again));
    expect(without(outcome(again)), `killed before ${before}`).toEqual(expected);
    expect(again.dcs.keys.has(recoveringKey), `killed before ${before}`).toBe(false);
  }
});

test('while it is filled every tenant is paused, and one that was paused before stays so', async () => {
  const resting = new SimulatedFleet(fleets.made);
  await resting.run(pause(true));
  const content = await exportOf(resting.snapshot());
  expect(pausedIn(content)).toEqual([tenant]);
  const fleet = new SimulatedFleet(lost(resting.snapshot()));
  await fleet.run((session) => fillDcs(session, content));
  const paused = (name: string) =>
    (JSON.parse(fleet.dcs.keys.get(`/pgs/dcs/${name}/config`)!.value) as { pause?: boolean }).pause;
  expect([paused(tenant), paused(neighbour)]).toEqual([true, true]);
  await fleet.run(recover(content, fleet));
  expect([paused(tenant), paused(neighbour)]).toEqual([true, undefined]);
});
