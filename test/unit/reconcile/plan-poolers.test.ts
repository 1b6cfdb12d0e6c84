import { expect, test } from 'vitest';
import { planCluster } from '../../../src/reconcile/plan-cluster.js';
import type { Step } from '../../../src/reconcile/step.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';
import { wantedInput } from '../../fixtures/cluster-facts.js';

const unit = 'pgs-pgbouncer@acme.service';
const pooled = () => wantedInput(clusterOf(recordOf('acme', { pool: 'transaction' })));
const unpooled = () => wantedInput(clusterOf(recordOf('acme', { pool: 'off' })));
const verbs = (steps: Step[], verb: string) =>
  steps.filter(({ action }) => action.kind === 'unit' && action.verb === verb);

/** Everything that a step waits for, by way of others too. */
function waitsFor(steps: Step[], id: string): Set<string> {
  const found = new Set<string>();
  const visit = (of: string) => {
    for (const need of steps.find((s) => s.id === of)!.needs) {
      if (!found.has(need)) visit(need);
      found.add(need);
    }
  };
  visit(id);
  return found;
}

test('poolers that are as they should be are left alone', () => {
  expect(planCluster(pooled()).steps).toEqual([]);
});

test('a pooler that does not run is started, and nothing else', () => {
  const input = pooled();
  const host = input.facts.hosts.h2!;
  if (host.reachable) host.units[unit]!.active = 'failed';
  const { steps } = planCluster(input);
  expect(steps.filter((s) => s.action.kind !== 'none').map((s) => s.title)).toEqual([`start ${unit}`]);
});

test('a tenant that gets poolers is led to them once they run', () => {
  const found = unpooled().facts;
  const input = { ...pooled(), facts: found };
  for (const host of Object.values(found.hosts)) {
    if (!host.reachable) continue;
    const wanted = pooled().facts.hosts.h1!;
    if (!wanted.reachable) continue;
    for (const path of Object.keys(wanted.paths)) host.paths[path] ??= { kind: 'absent' };
    for (const name of Object.keys(wanted.units)) {
      host.units[name] ??= {
        ...wanted.units[name]!,
        load: 'not-found',
        active: 'inactive',
        enabled: false,
        loaded: {},
      };
    }
  }
  const { steps } = planCluster(input);
  const starts = verbs(steps, 'start').map((s) => s.id);
  expect(starts).toHaveLength(6);
  const reloads = steps.filter((s) => s.id.includes('-routing/'));
  expect(reloads.length).toBeGreaterThan(0);
  for (const step of reloads) expect([...waitsFor(steps, step.id)]).toEqual(expect.arrayContaining(starts));
});

test('poolers that are no longer wanted stop after every entry has let go of them', () => {
  const input = { ...unpooled(), facts: pooled().facts };
  const { steps } = planCluster(input);
  const stops = verbs(steps, 'stop');
  expect(stops).toHaveLength(6);
  const reloads = verbs(steps, 'reload').map((s) => s.id);
  expect(reloads).toHaveLength(4);
  for (const stop of stops) expect([...waitsFor(steps, stop.id)]).toEqual(expect.arrayContaining(reloads));
});
