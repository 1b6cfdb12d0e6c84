// Leaders that gathered on one host, shared again: one switchover at a time, stopped at the first that fails, finished by the same command.

import { beforeAll, expect, test, vi } from 'vitest';
import { PgsError } from '../../src/errors.js';
import { withTenantLock } from '../../src/reconcile/change.js';
import { withCluster } from '../../src/reconcile/cluster.js';
import { changeLeader } from '../../src/reconcile/leader-change.js';
import type { RebalancePlan } from '../../src/reconcile/plan-rebalance.js';
import { lookAtBalance, rebalanceLeaders } from '../../src/reconcile/rebalance.js';
import type { switchOver, SwitchoverResult } from '../../src/reconcile/switchover.js';
import { acquireTenantLock } from '../../src/state/lock.js';
import { create, pause } from './commands.js';
import { SimulatedFleet, type FleetState } from './simulated-fleet.js';
import { lasting } from './states.js';

vi.mock('../../src/secrets/renewal.js', () => import('./paper-certificates.js'));

const tenants = ['acme', 'bolt', 'core', 'dune'];
/** All led on one host. */
let gathered: FleetState;

beforeAll(async () => {
  const fleet = new SimulatedFleet();
  for (const tenant of tenants) await fleet.run(create({ hosts: ['h1', 'h2', 'h3'] }, tenant));
  for (const tenant of tenants) {
    const standbys = [1, 2, 3].map((n) => `${tenant}-${n}`).join(',');
    // The simulated Patroni keeps no list; it is what the real one writes.
    fleet.dcs.put(
      `/pgs/dcs/${tenant}/sync`,
      JSON.stringify({ leader: leaderOf(fleet, tenant), sync_standby: standbys }),
    );
  }
  gathered = fleet.snapshot();
}, 120_000);

function leaderOf({ dcs }: SimulatedFleet, tenant: string): string {
  return dcs.keys.get(`/pgs/dcs/${tenant}/leader`)!.value;
}

const look = (fleet: SimulatedFleet): Promise<RebalancePlan> => fleet.run(lookAtBalance);

/** The change of leader itself, without the client that measures it: nothing listens in a simulated fleet. */
const handOver: typeof switchOver = (session, tenant, to, { signal }) =>
  withTenantLock(session, tenant, 'switchover', signal, () =>
    withCluster(session, tenant, async (open) => {
      const from = (await open.patroni.gather()).members;
      const leader = Object.entries(from).find(([, fact]) => fact.reachable && fact.role === 'leader')![0];
      const options = { signal, onPhase: () => undefined, startedMs: 0, whenBusy: 'give up' } as const;
      await changeLeader(session, open, { from: leader, to: to! }, options);
      return {
        from: leader,
        to: to!,
        tookMs: 1,
        phases: [],
        probe: null,
        heldMs: null,
        fork: null,
      } satisfies SwitchoverResult;
    }),
  );

function rebalance(fleet: SimulatedFleet, plan: RebalancePlan, by = handOver) {
  const noise = () => undefined;
  const options = { signal: new AbortController().signal, force: false, onMove: noise, onPhase: noise, onDone: noise };
  return fleet.run((session) => rebalanceLeaders(session, plan, options, by));
}

const counts = ({ hosts }: RebalancePlan) => hosts.map(({ leaders }) => leaders);

test('looking changes nothing', async () => {
  const fleet = new SimulatedFleet(gathered);
  const plan = await look(fleet);
  expect(plan.skipped).toEqual([]);
  expect(fleet.changes).toEqual([]);
});

test('leaders are within 1 of even afterwards, and a second look finds nothing to do', async () => {
  const fleet = new SimulatedFleet(gathered);
  const plan = await look(fleet);
  expect(Math.max(...counts(plan)) - Math.min(...counts(plan).slice(0, 3))).toBeGreaterThan(1);
  const done = await rebalance(fleet, plan);
  expect(done.map(({ tenant }) => tenant)).toEqual(plan.moves.map(({ tenant }) => tenant));
  const after = await look(fleet);
  expect(counts(after).slice(0, 3).sort()).toEqual([1, 1, 2]);
  expect(after).toMatchObject({ moves: [], isEven: true });
});

test('the first that fails is the last, says how many are done, and the same again goes on', async () => {
  const fleet = new SimulatedFleet(gathered);
  const plan = await look(fleet);
  expect(plan.moves.length).toBeGreaterThan(1);
  let begun = 0;
  const failing: typeof switchOver = (...args) => {
    if (++begun === 2)
      throw new PgsError('endangers', { doing: 'switching over', found: 'a long transaction', hint: 'Wait.' });
    return handOver(...args);
  };
  const error: unknown = await rebalance(fleet, plan, failing).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'endangers', details: { found: 'a long transaction' } });
  expect((error as PgsError).details.hint).toMatch(
    new RegExp(`^Wait.\\n1 of ${plan.moves.length} switchovers are done`),
  );
  expect(begun).toBe(2);
  const rest = await look(fleet);
  expect(rest.moves).toHaveLength(plan.moves.length - 1);
  await rebalance(fleet, rest);
  expect((await look(fleet)).moves).toEqual([]);
});

test('a leader that changed since the look is not moved on', async () => {
  const fleet = new SimulatedFleet(gathered);
  const plan = await look(fleet);
  await rebalance(fleet, plan);
  const changes = fleet.changes.length;
  await expect(rebalance(fleet, plan)).rejects.toMatchObject({ code: 'endangers' });
  expect(lasting(fleet.changes.slice(changes))).toEqual([]);
});

test('tenants that are paused, locked or not whole are left as they are, and named', async () => {
  const fleet = new SimulatedFleet(gathered);
  await fleet.run((session) => pause(true)(session));
  const dcs = await fleet.run((session) => session.dcs());
  const lock = await acquireTenantLock(dcs, 'bolt', { command: 'cluster set bolt' });
  try {
    const { skipped, moves } = await look(fleet);
    expect(skipped).toEqual([
      { tenant: 'acme', why: 'Patroni is paused' },
      { tenant: 'bolt', why: 'it is being changed: cluster set bolt' },
    ]);
    expect(moves.every(({ tenant }) => ['core', 'dune'].includes(tenant))).toBe(true);
  } finally {
    await lock.release();
  }
  fleet.hosts.get('h3')!.powerOff();
  expect((await look(fleet)).skipped.map(({ tenant }) => tenant)).toEqual(tenants);
});
