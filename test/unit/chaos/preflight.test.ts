// What has to hold before anything is broken, and who has to agree.

import { expect, test } from 'vitest';
import { lastingRefusals, stateRefusals, touchedTenants, type PreflightFacts } from '../../../chaos/preflight.js';
import { chooseHosts, seededRandom, type HostNeed } from '../../../chaos/targets.js';
import { clusterOf, inventory } from '../../fixtures/fleet.js';
import { baseScenario, fact, scenarioOf } from './history-builder.js';

const cluster = clusterOf();

function factsOf(change: Partial<PreflightFacts> = {}): PreflightFacts {
  return {
    scene: {
      cluster,
      fleet: inventory.hosts,
      patroni: {
        members: {
          'acme-1': fact({ role: 'leader', streaming: false }),
          'acme-2': fact({ synchronous: true }),
          'acme-3': fact({ synchronous: false }),
        },
      },
      etcdHosts: ['h1', 'h2', 'h3'],
      etcdLeader: 'h3',
      has: {},
    },
    quorum: 'healthy',
    fencing: 'fenced',
    armed: {},
    sandbox: true,
    production: false,
    accepted: [],
    powerDriver: null,
    ...change,
  };
}

const withText = (from: string, to: string) => scenarioOf(baseScenario.replace(from, to));
const safe = withText('disruptive', 'safe');
const disruptive = scenarioOf();
const destructive = withText('disruptive', 'destructive');

test.each([
  [safe, { sandbox: false, production: true }, null],
  [disruptive, {}, null],
  [disruptive, { sandbox: false }, 'this is no sandbox: say --accept disruptive'],
  [disruptive, { sandbox: false, accepted: ['disruptive' as const] }, null],
  [disruptive, { production: true }, 'the tenant is marked production'],
  [disruptive, { production: true, accepted: ['disruptive' as const] }, null],
  [destructive, {}, null],
  [destructive, { sandbox: false, accepted: ['destructive' as const] }, 'sandboxes only'],
  [destructive, { production: true, accepted: ['destructive' as const] }, 'sandboxes only'],
])('severity of %#', (scenario, change, why) => {
  const found = lastingRefusals(scenario, factsOf(change)).join('\n');
  if (why === null) expect(found).toBe('');
  else expect(found).toContain(why);
});

test('what a scenario needs is said where it is missing', () => {
  const needy = withText('severity: disruptive', 'severity: disruptive\nneeds: [netem]');
  expect(lastingRefusals(needy, factsOf())).toEqual(['unavailable here: the kernel of the hosts has no netem']);
  const facts = factsOf();
  facts.scene.has = { h1: ['netem'] };
  expect(lastingRefusals(needy, facts)).toEqual([]);
  facts.scene.has = { h2: ['netem'], h3: ['netem'] };
  expect(lastingRefusals(needy, facts)).toHaveLength(1);
  const power = withText('  - fault: kill-postmaster', '  - fault: power-off\n    for: 10s');
  expect(lastingRefusals(power, factsOf()).join()).toContain('--power-command');
  expect(lastingRefusals(power, factsOf({ powerDriver: 'sandbox' }))).toEqual([]);
});

test.each([
  [
    'a replica that does not stream',
    (f: PreflightFacts) => (f.scene.patroni.members['acme-2'] = fact({ streaming: false })),
    '1 of 2 replicas stream',
  ],
  ['nobody who leads', (f: PreflightFacts) => (f.scene.patroni.members['acme-1'] = fact({})), 'no member leads'],
  [
    'a paused Patroni',
    (f: PreflightFacts) => (f.scene.patroni.members['acme-1'] = fact({ role: 'leader', paused: true })),
    'paused',
  ],
  ['a degraded etcd', (f: PreflightFacts) => (f.quorum = 'degraded'), 'etcd is degraded'],
  [
    'what a drill left',
    (f: PreflightFacts) => (f.armed = { h2: ['x-0'] }),
    'h2 still has the undo of x-0: run `pgs chaos heal acme`',
  ],
])('%s is a reason to wait', (_what, change, why) => {
  const facts = factsOf();
  expect(stateRefusals(disruptive, facts)).toEqual([]);
  change(facts);
  expect(stateRefusals(disruptive, facts).join('\n')).toContain(why);
});

test('a fault wider than a member touches every tenant of the fleet, and says so', () => {
  expect(touchedTenants(disruptive, 'acme', ['bolt'])).toEqual(['acme']);
  expect(touchedTenants(withText('kill-postmaster', 'kill-haproxy'), 'acme', ['bolt'])).toEqual(['acme', 'bolt']);
});

test.each([
  ['leader', ['h1']],
  ['sync', ['h2']],
  ['async', ['h3']],
  ['replica', ['h2', 'h3']],
  ['etcd-leader', ['h3']],
  ['etcd-follower', ['h1', 'h2']],
  ['entry', ['h2', 'h3', 'h4']],
  ['every', ['h1', 'h2', 'h3']],
  ['client', []],
] as const)('role %s', (role, hosts) => {
  const chosen = chooseHosts(factsOf().scene, role, 9, seededRandom(1));
  expect(chosen.map((h) => h.name).sort()).toEqual(hosts);
});

test('of mixed machines those are chosen that have what is needed', () => {
  const { scene } = factsOf();
  scene.has = { h1: ['own-kernel'], h3: ['own-kernel', 'netem'] };
  const chosen = (role: 'replica' | 'leader', needs: HostNeed[]) =>
    chooseHosts(scene, role, 9, seededRandom(1), needs).map((h) => h.name);
  expect(chosen('replica', ['own-kernel'])).toEqual(['h3']);
  expect(chosen('leader', ['own-kernel'])).toEqual(['h1']);
  expect(chosen('leader', ['own-kernel', 'netem'])).toEqual([]);
});

test('a seed decides the choice, and another one may choose otherwise', () => {
  const choose = (seed: number) => chooseHosts(factsOf().scene, 'replica', 1, seededRandom(seed))[0]!.name;
  expect(choose(3)).toBe(choose(3));
  expect(new Set(Array.from({ length: 20 }, (_, seed) => choose(seed))).size).toBe(2);
});
