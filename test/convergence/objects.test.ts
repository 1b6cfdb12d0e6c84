// A tenant as code on a simulated fleet: what a file names no more stays, what is to go takes two words, and what the fleet cannot do is refused
// before anything is stored.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { planMany } from '../../src/reconcile/apply-many.js';
import { respecCluster } from '../../src/reconcile/respec.js';
import { rotateRolePassword } from '../../src/reconcile/role-login.js';
import { readSpecDocuments } from '../../src/topology/spec-documents.js';
import { apply, create, makeFleets, neighbour, tenant, undisturbed, type Fleets, type Work } from './commands.js';
import { SimulatedFleet } from './simulated-fleet.js';
import { lasting, planFor, refusal } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

const file = {
  roles: { shop: {}, reporting: { connections: 5 } },
  databases: { shop: { owner: 'shop', schemas: ['billing'] }, old: {} },
};

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
}, 120_000);

async function made(): Promise<SimulatedFleet> {
  const fleet = new SimulatedFleet(fleets.made);
  await fleet.run(apply(file));
  return fleet;
}

function databases(fleet: SimulatedFleet): string[] {
  return Object.keys(fleet.patroni.database(tenant)!.objects.databases).sort();
}

function dropping(dropData: string[]): Work {
  const given = { tenant, ...file, databases: { shop: file.databases.shop, old: { state: 'absent' } } };
  const respec = { tenant, command: 'apply', source: 'acme.yaml', given: () => given };
  return (session) => respecCluster(session, respec, { ...undisturbed(), dropData });
}

describe('what a file names no more', () => {
  test('stays, and every plan says so until it is named again', async () => {
    const fleet = await made();
    await fleet.run(apply({ roles: { shop: {} }, databases: { shop: { owner: 'shop' } } }));
    expect(databases(fleet)).toEqual(['app', 'old', 'shop']);
    const { notes = [], steps } = await planFor(fleet, tenant);
    expect(steps).toEqual([]);
    expect(notes.filter((note) => note.includes('stays'))).toEqual([
      expect.stringMatching(/^role reporting is not in the file any more and stays/),
      expect.stringMatching(/^database old /),
      expect.stringMatching(/^schema shop.billing /),
    ]);
    await fleet.run(apply(file));
    expect((await planFor(fleet, tenant)).notes!.filter((note) => note.includes('stays'))).toEqual([]);
  });

  test('goes by two words', async () => {
    const fleet = await made();
    await fleet.run(dropping([]));
    expect(databases(fleet)).toEqual(['app', 'old', 'shop']);
    expect((await planFor(fleet, tenant)).notes!.join('\n')).toMatch(
      /database old is to be absent .* --drop-data acme\/old/,
    );
    await fleet.run(dropping(['old']));
    expect(databases(fleet)).toEqual(['app', 'shop']);
  });

  test('is in the plan of a file of many tenants with the second word, and not without', async () => {
    const fleet = await made();
    const own = `tenant: ${tenant}\nroles: { shop: {} }\ndatabases: { shop: { owner: shop }, old: { state: absent } }\n`;
    const { documents } = readSpecDocuments(`${own}---\ntenant: ${neighbour}\n`, 'tenants.yaml');
    const dropped = async (dropData: Record<string, string[]>) => {
      const bounds = { parallel: 2, signal: undisturbed().signal };
      const all = await fleet.run((session) => planMany(session, documents, { ...bounds, dropData }));
      return all.map(({ plan }) => plan!.steps.filter((step) => step.destructive).map((step) => step.id));
    };
    expect(await dropped({})).toEqual([[], []]);
    expect(await dropped({ [tenant]: ['old'], [neighbour]: [] })).toEqual([
      [`${tenant}/objects/drop-database/old`],
      [],
    ]);
    expect(databases(fleet)).toEqual(['app', 'old', 'shop']);
  });
});

test('a tenant that is made with databases looks at every host once', async () => {
  const fleet = new SimulatedFleet(fleets.empty);
  const looks = [...fleet.hosts.values()].map((host) => vi.spyOn(host, 'run'));
  await fleet.run(create({ given: { tenant, ...file } }));
  expect(databases(fleet)).toEqual(['app', 'old', 'shop']);
  const greetings = looks.map(({ mock }) => mock.calls.filter(([{ argv }]) => argv.join(' ') === 'true').length);
  expect(greetings).toEqual(looks.map(() => 1));
});

test('a password is replaced, and both are tried', async () => {
  const fleet = await made();
  const changes = fleet.changes.length;
  const { proof } = await fleet.run((session) => rotateRolePassword(session, tenant, 'shop', undisturbed()));
  expect(proof).toMatchObject({ what: 'shop', present: 'accepted', before: 'refused' });
  expect(lasting(fleet.changes.slice(changes)).filter((what) => what.startsWith('h'))).toEqual([]);
  await expect(
    fleet.run((session) => rotateRolePassword(session, tenant, 'nobody', undisturbed())),
  ).rejects.toMatchObject({
    code: 'usage',
    details: {
      found: expect.stringMatching(
        /"nobody" is not among the roles of acme that log in: app, shop, reporting/,
      ) as string,
    },
  });
});

describe('is refused, with nothing changed,', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      'an extension without its package',
      { databases: { gis: { extensions: ['postgis'] } } },
      /databases.gis.extensions.0: extension postgis is not on h1, h2, h4: install postgresql-17-postgis-3 there/,
    ],
    [
      'a rule that an entry without a member does not tell',
      {
        roles: { ...file.roles, r: {} },
        hba: [{ name: 'x', auth: 'ssl', addr: 'cluster', roles: ['r'], services: ['direct'] }],
      },
      /hba.0.addr: cluster cannot be told on direct: who comes in at h3/,
    ],
  ])('%s', async (_what, change, message) => {
    const refused = await refusal(await made(), apply({ ...file, ...change }));
    expect(refused.details.found).toMatch(message);
    expect(refused.code).toBe('configuration');
  });
});
