import { expect, test } from 'vitest';
import type { MemberStatus } from '../../../src/etcd/facts.js';
import { brokenPairs } from '../../../src/reconcile/dcs-fit.js';
import type { FleetSupply } from '../../../src/reconcile/supply.js';
import { inventory } from '../../fixtures/fleet.js';

const supplyWith = (patroni: string | null): FleetSupply => ({
  facts: [
    {
      host: inventory.hosts[0]!,
      facts: { packages: { patroni: { installed: patroni } } } as unknown as FleetSupply['facts'][number]['facts'],
      why: null,
    },
  ],
});
const member = (version: string) => ({ answers: true, name: 'etcd-1', version }) as MemberStatus;

test('an etcd that breaks the Patroni found is named with the host', () => {
  expect(brokenPairs(supplyWith('4.0.7-3~deb13u1'), [member('3.5.28')])[0]).toMatch(
    /^h1 and etcd-1: Patroni 4\.0\.7 .* etcd 3\.5\.28/,
  );
  expect(brokenPairs(supplyWith('4.0.7'), [member('3.6.9')])).toHaveLength(1);
});

test('pairs that work, members that are silent and hosts without Patroni are not', () => {
  expect(
    brokenPairs(supplyWith('4.0.7'), [member('3.5.16'), { answers: false, name: 'e', endpoint: 'e', why: 'down' }]),
  ).toEqual([]);
  expect(brokenPairs(supplyWith('4.1.4'), [member('3.5.28')])).toEqual([]);
  expect(brokenPairs(supplyWith(null), [member('3.5.28')])).toEqual([]);
});
