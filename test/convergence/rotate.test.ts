// Replacing secrets, killed before any one change: the same command again ends it, the new ones are let in and those of before are not.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { PgsError } from '../../src/errors.js';
import { openCluster } from '../../src/reconcile/cluster.js';
import { rotateTenant } from '../../src/reconcile/rotate.js';
import { ownTargets, type RotationTarget } from '../../src/secrets/rotation.js';
import type { TenantSecrets } from '../../src/secrets/tenant-secrets.js';
import { apply, makeFleets, neighbour, rotate, tenant, undisturbed, type Fleets, type Work } from './commands.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { letsIn } from './simulated-patroni.js';
import { belongings, lasting, planFor, record } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
});

async function secretsOf(fleet: SimulatedFleet): Promise<TenantSecrets> {
  return fleet.run(async (session) => (await openCluster(session, tenant)).secrets);
}

const kinds = ['replication', 'rewind', 'etcd', 'rest', 'probe', 'app'] as const;

/** Logins that are let in now, of those in `secrets`. */
function letInOf({ dcs, patroni }: SimulatedFleet, { passwords }: TenantSecrets): string[] {
  const database = patroni.database(tenant)!;
  const inDatabase = (kind: 'replication' | 'rewind' | 'probe' | 'app') =>
    letsIn(database, { username: passwords[kind].user, password: passwords[kind].password.reveal() });
  const { etcd } = passwords;
  const inEtcd = dcs.mayWrite(etcd.user, etcd.password.reveal(), `/pgs/dcs/${tenant}/`);
  return kinds.filter((kind) => (kind === 'etcd' ? inEtcd : kind === 'rest' ? false : inDatabase(kind)));
}

const withoutRest = kinds.filter((kind) => kind !== 'rest');
/** What of a tenant's passwords each target replaces. */
const replaces: Partial<Record<RotationTarget, (typeof kinds)[number][]>> = {
  replication: ['replication', 'rewind'],
  etcd: ['etcd'],
  rest: ['rest'],
  probe: ['probe'],
  app: ['app'],
};

async function expectDone(fleet: SimulatedFleet, start: FleetState, targets: RotationTarget[], when: string) {
  const [before, now] = [await secretsOf(new SimulatedFleet(start)), await secretsOf(fleet)];
  const replaced = targets.flatMap((target) => replaces[target] ?? []);
  expect(now.rotation, when).toBeUndefined();
  for (const kind of kinds) {
    const same = before.passwords[kind].password.reveal() === now.passwords[kind].password.reveal();
    expect(same, `${when}: ${kind}`).toBe(!replaced.includes(kind));
  }
  expect(letInOf(fleet, now), when).toEqual(withoutRest);
  expect(letInOf(fleet, before), when).toEqual(withoutRest.filter((kind) => !replaced.includes(kind)));
  expect(belongings(fleet, neighbour), when).toEqual(belongings(new SimulatedFleet(start), neighbour));
  expect((await planFor(fleet, tenant)).steps, when).toEqual([]);
}

const cases: RotationTarget[][] = [ownTargets, ['app'], ['ca'], ['certificates']];

describe.each(cases.map((targets) => ({ targets, name: targets.join(', ') })))('$name', ({ targets }) => {
  test('are replaced, and finishing what was finished changes nothing', async () => {
    const fleet = new SimulatedFleet(fleets.made);
    await fleet.run(rotate(targets));
    await expectDone(fleet, fleets.made, targets, 'uninterrupted');
    const changes = fleet.changes.length;
    expect((await fleet.run(rotate(targets, { onlyResume: true }))).steps).toEqual([]);
    expect(lasting(fleet.changes.slice(changes))).toEqual([]);
  });

  test('killed before any one change, end well by the same command', { timeout: 300_000 }, async () => {
    const { states } = await record(fleets.made, rotate(targets));
    expect(states.length).toBeGreaterThan(6);
    for (const [i, { before, state }] of states.entries()) {
      const fleet = new SimulatedFleet(state);
      fleet.bury(i % 2 === 0 ? 'just now' : 'long ago');
      await fleet.run(rotate(targets));
      await expectDone(fleet, fleets.made, targets, `killed before ${before}`);
    }
  });

  test('killed before some changes, an apply is right in the phase that it finds', { timeout: 300_000 }, async () => {
    const { states } = await record(fleets.made, rotate(targets));
    for (const { before, state } of states.filter((_, i) => i % 4 === 0)) {
      const fleet = new SimulatedFleet(state);
      fleet.bury('just now');
      await fleet.run(apply());
      const now = await secretsOf(fleet);
      expect(letInOf(fleet, now), `killed before ${before}`).toEqual(withoutRest);
      expect((await planFor(fleet, tenant)).steps, `killed before ${before}`).toEqual([]);
    }
  });
});

test('twice, the names have taken turns and are the first ones again', async () => {
  const fleet = new SimulatedFleet(fleets.made);
  await fleet.run(rotate(ownTargets));
  const once = await secretsOf(fleet);
  expect([once.passwords.replication.user, once.passwords.etcd.user]).toEqual(['pgs_replication_2', 'pgs-acme.2']);
  await fleet.run(rotate(ownTargets));
  const twice = await secretsOf(fleet);
  expect([twice.passwords.replication.user, twice.passwords.etcd.user]).toEqual(['pgs_replication', 'pgs-acme']);
  await expectDone(fleet, fleets.made, ownTargets, 'twice');
});

test('a CA waits until clients have the next one, and other secrets wait for it', async () => {
  const fleet = new SimulatedFleet(fleets.made);
  const waiting = rotate(['ca'], { clientsTrustNext: false });
  await fleet.run(waiting);
  const { rotation, sqlCa } = await secretsOf(fleet);
  expect(rotation?.phase).toBe('prepare');
  const changes = fleet.changes.length;
  await fleet.run(waiting);
  expect(lasting(fleet.changes.slice(changes))).toEqual([]);
  const other: unknown = await fleet.run(rotate(['rest'])).catch((error: unknown) => error);
  expect((other as PgsError).details).toMatchObject({ hint: expect.stringContaining('pgs rotate acme ca') as string });
  await fleet.run(rotate(['ca']));
  expect((await secretsOf(fleet)).sqlCa.certPem).not.toBe(sqlCa.certPem);
  await expectDone(fleet, fleets.made, ['ca'], 'gone on with');
});

test('every proof was really tried, at every place', async () => {
  const fleet = new SimulatedFleet(fleets.made);
  const { proofs } = await fleet.run((session) =>
    rotateTenant(session, tenant, { targets: ownTargets, clientsTrustNext: false }, undisturbed()),
  );
  const places = (what: string) => proofs.filter((p) => p.what === what).map((p) => p.where);
  for (const what of ['replication', 'rewind', 'poolers', 'REST'])
    expect(places(what)).toEqual(['acme-1', 'acme-2', 'acme-3']);
  expect(places('etcd')).toEqual(['etcd']);
  expect(places('probe')).toHaveLength(4 * fleet.inventory.hosts.length);
  for (const proof of proofs) expect(proof).toMatchObject({ present: 'accepted', before: 'refused' });
});

test('with a member away nothing is begun', async () => {
  const fleet = new SimulatedFleet(fleets.made);
  fleet.hosts.get('h2')!.powerOff();
  const work: Work = rotate(ownTargets);
  const changes = fleet.changes.length;
  const thrown = await fleet.run(work).catch((error: unknown) => error);
  expect(thrown).toBeInstanceOf(PgsError);
  expect((thrown as PgsError).code).toBe('endangers');
  expect((thrown as PgsError).details.found).toMatch(/does not stream; h2 does not answer/);
  expect(lasting(fleet.changes.slice(changes))).toEqual([]);
});
