// Many tenants from one file: killed in the middle, the same file again finishes what is left; one that fails stops no other; and no
// tenant gets anything of another's.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import { PgsError } from '../../src/errors.js';
import { applyMany, planMany, type TenantOutcome } from '../../src/reconcile/apply-many.js';
import { openCluster } from '../../src/reconcile/cluster.js';
import { Secret } from '../../src/secrets/secret.js';
import { readSpecDocuments } from '../../src/topology/spec-documents.js';
import { makeFleets, neighbour, type Fleets } from './commands.js';
import { Killed } from './simulated-host.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { belongings, lasting, outcome, planFor } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

let fleets: Fleets;

beforeAll(async () => {
  fleets = await makeFleets();
}, 120_000);

const file = 'tenants.yaml';
const three = 'tenant: acme\n---\ntenant: bolt\nrto: fast\n---\ntenant: core\nreplicas: 1\n';
const tenants = ['acme', 'bolt', 'core'];

function apply(fleet: SimulatedFleet, text = three, parallel = 2): Promise<TenantOutcome[]> {
  const { documents } = readSpecDocuments(text, file);
  const noise = () => undefined;
  const signal = new AbortController().signal;
  return fleet.run((session) =>
    applyMany(session, documents, { parallel, signal, force: false, onStep: noise, onTenant: noise }),
  );
}

const said = (all: TenantOutcome[]) => all.map(({ tenant, outcome: what }) => `${tenant} ${what}`);

async function expectMade(fleet: SimulatedFleet, when: string): Promise<void> {
  const again = await apply(fleet);
  expect(said(again), when).toEqual(
    tenants.map((tenant) => expect.stringMatching(`^${tenant} (created|changed|unchanged)$`) as string),
  );
  const changes = fleet.changes.length;
  expect(said(await apply(fleet)), when).toEqual(tenants.map((tenant) => `${tenant} unchanged`));
  expect(lasting(fleet.changes.slice(changes)), when).toEqual([]);
  for (const tenant of tenants) expect((await planFor(fleet, tenant)).steps, `${when}: ${tenant}`).toEqual([]);
}

test('made side by side, each is as it would be alone', async () => {
  const fleet = new SimulatedFleet(fleets.empty);
  expect(said(await apply(fleet))).toEqual(tenants.map((tenant) => `${tenant} created`));
  await expectMade(fleet, 'not killed');
  const inTurn = new SimulatedFleet(fleets.empty);
  await apply(inTurn, three, 1);
  const slots = (f: SimulatedFleet) =>
    f.dcs
      .withPrefix('/pgs/state/tenants/')
      .map(({ value }) => (JSON.parse(value) as { allocation: { slot: number } }).allocation.slot);
  expect(new Set(slots(fleet)).size).toBe(tenants.length + 1);
  expect(slots(fleet).sort()).toEqual(slots(inTurn).sort());
});

test(
  'killed before any one change, is finished by the same file, and the neighbour notices nothing',
  { timeout: 400_000 },
  async () => {
    const fleet = new SimulatedFleet(fleets.empty);
    const states: { before: string; state: FleetState }[] = [];
    fleet.onChange = (before) => states.push({ before, state: fleet.snapshot() });
    await apply(fleet);
    const every = Math.max(1, Math.floor(states.length / 24));
    for (let i = 1; i < states.length; i += every) {
      const { before, state } = states[i]!;
      const again = new SimulatedFleet(state);
      again.bury(i % 2 === 0 ? 'just now' : 'long ago');
      await expectMade(again, `killed before ${before}`);
      expect(belongings(again, neighbour), before).toEqual(belongings(new SimulatedFleet(fleets.empty), neighbour));
    }
  },
);

test('killed on a host while several tenants are made there, is finished too', async () => {
  for (let seed = 0; seed < 6; seed++) {
    const fleet = new SimulatedFleet(fleets.empty);
    [...fleet.hosts.values()].forEach((host, i) => host.killAfter(5 + ((seed * 7 + i * 5 * (seed + 1)) % 31)));
    await apply(fleet).catch((thrown: unknown) => expect(thrown).toBeInstanceOf(Killed));
    for (const host of fleet.hosts.values()) host.killAfter(Infinity);
    fleet.bury('just now');
    await expectMade(fleet, `seed ${seed}`);
  }
});

describe('one that fails', () => {
  test('stops no other, and says why', async () => {
    const fleet = new SimulatedFleet(fleets.empty);
    const all = await apply(fleet, `tenant: wide\nreplicas: 9\n---\n${three}`);
    expect(said(all)).toEqual(['wide failed', ...tenants.map((tenant) => `${tenant} created`)]);
    expect(all[0]!.error).toMatchObject({
      code: 'unfit',
      details: { found: expect.stringContaining('need 10 hosts') as string },
    });
    expect(fleet.dcs.keys.has('/pgs/state/tenants/wide')).toBe(false);
    await expectMade(fleet, 'beside one that failed');
  });

  test('of which data is kept is refused, and the others are made', async () => {
    const fleet = new SimulatedFleet(fleets.retired);
    const all = await apply(fleet);
    expect(said(all)).toEqual(['acme failed', 'bolt created', 'core created']);
    expect(all[0]!.error!.details.hint).toContain('--reuse-data');
  });

  test('with its host gone half way, is finished when the host is back', async () => {
    const fleet = new SimulatedFleet(fleets.empty);
    let isOff = false;
    fleet.onChange = (what) => {
      if (isOff || !what.includes('start pgs-patroni@bolt')) return;
      isOff = true;
      fleet.hosts.get(what.split(':')[0]!)!.powerOff();
      throw new PgsError('unreachable', { doing: what, found: 'the host is gone' });
    };
    const all = await apply(fleet, three, 1);
    expect(all.find(({ tenant }) => tenant === 'bolt')!.outcome).toBe('failed');
    fleet.onChange = () => undefined;
    for (const host of fleet.hosts.values()) host.powerOn();
    fleet.bury('long ago');
    await expectMade(fleet, 'the host is back');
  });
});

test('a changed document changes its tenant and no other', async () => {
  const fleet = new SimulatedFleet(fleets.empty);
  await apply(fleet);
  const all = await apply(fleet, three.replace('rto: fast', 'rto: safe'));
  expect(said(all)).toEqual(['acme unchanged', 'bolt changed', 'core unchanged']);
});

test('a plan stores nothing, and gives no two tenants the same ports', async () => {
  const fleet = new SimulatedFleet(fleets.empty);
  const before = outcome(fleet);
  const { documents } = readSpecDocuments(`${three}---\ntenant: wide\nreplicas: 9\n`, file);
  const bounds = { parallel: 2, signal: new AbortController().signal };
  const all = await fleet.run((session) => planMany(session, documents, bounds));
  expect(said(all)).toEqual(['acme created', 'bolt created', 'core created', 'wide failed']);
  expect(lasting(fleet.changes)).toEqual([]);
  expect(outcome(fleet)).toEqual(before);
  const ports = all.flatMap(({ plan }) =>
    [...new Set(JSON.stringify(plan).match(/bind \*:(\d+)/g) ?? [])].filter((bind) => !bind.endsWith('5432')),
  );
  expect(ports.length).toBeGreaterThan(3);
  expect(new Set(ports).size).toBe(ports.length);
});

test('no tenant has a secret of another', async () => {
  const fleet = new SimulatedFleet(fleets.empty);
  await apply(fleet, three, 3);
  const own: Record<string, string[]> = {};
  for (const tenant of tenants) {
    own[tenant] = await fleet.run(async (session) => {
      const open = await openCluster(session, tenant);
      open.patroni.close();
      return secretsIn(open.secrets);
    });
  }
  const all = Object.values(own).flat();
  expect(all.length).toBeGreaterThan(20);
  expect(new Set(all).size).toBe(all.length);
  for (const [name, host] of fleet.hosts) {
    for (const [path, { content }] of host.paths) {
      for (const tenant of tenants.filter((t) => !path.includes(t))) {
        const found = own[tenant]!.filter((secret) => content.includes(secret));
        expect(found, `${path} on ${name} has secrets of ${tenant}`).toEqual([]);
      }
    }
  }
});

/** Every secret text below a value, long enough to be one. */
function secretsIn(value: unknown): string[] {
  if (value instanceof Secret) return [value.reveal()].filter((text) => text.trim().length > 5);
  if (typeof value !== 'object' || value === null) return [];
  return [...new Set(Object.values(value).flatMap(secretsIn))];
}
