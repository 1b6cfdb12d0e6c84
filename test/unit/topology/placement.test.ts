import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  placeTenant,
  memoryBudgetMiB,
  type HostSupply,
  type PlacementRequest,
} from '../../../src/topology/placement.js';
import { portsPerTenant } from '../../../src/topology/cluster.js';
import type { TenantRecord } from '../../../src/topology/tenant.js';
import { recordOf } from '../../fixtures/fleet.js';

function supplyOf(zones: string[], change: Partial<HostSupply> = {}): HostSupply[] {
  return zones.map((zone, i) => ({
    host: { name: `h${i + 1}`, address: `10.0.0.${i + 1}`, zone },
    unfit: null,
    memoryMiB: 8192,
    cores: 4,
    portsTaken: [],
    ...change,
  }));
}

function requestOf(change: Partial<PlacementRequest> = {}): PlacementRequest {
  return {
    spec: recordOf('acme').spec,
    hosts: null,
    supply: supplyOf(['a', 'b', 'c']),
    others: [],
    inventory: { ports: { from: 20000, to: 20099 }, path: 'pgs.yaml' },
    quorumCommit: true,
    ...change,
  };
}

describe('members', () => {
  test('go one to a host, the first on the least loaded', () => {
    const others = [recordOf('one')];
    const supply = supplyOf(['a', 'b', 'c', 'd']);
    const { members } = placeTenant(requestOf({ others, supply }));
    expect(members.map((m) => m.name)).toEqual(['acme-1', 'acme-2', 'acme-3']);
    expect(members[0]!.host).toBe('h4');
    expect(new Set(members.map((m) => m.host)).size).toBe(3);
  });

  test('are spread over zones before load is looked at', () => {
    const supply = supplyOf(['a', 'a', 'b', 'c']);
    const others = [
      { ...recordOf('one'), allocation: { ...recordOf().allocation, members: [{ name: 'one-1', host: 'h3' }] } },
    ];
    const { members } = placeTenant(requestOf({ supply, others }));
    expect(new Set(members.map((m) => supply.find((s) => s.host.name === m.host)!.host.zone))).toEqual(
      new Set(['a', 'b', 'c']),
    );
  });

  test('with the same load, another host gets the first member than last time', () => {
    const first = placeTenant(requestOf());
    const others = [{ ...recordOf('one'), allocation: first }];
    const second = placeTenant(requestOf({ others }));
    expect(second.members[0]!.host).not.toBe(first.members[0]!.host);
  });

  test('go exactly to the hosts that are named', () => {
    const supply = supplyOf(['a', 'b', 'c', 'd']);
    const { members } = placeTenant(requestOf({ supply, hosts: ['h4', 'h2', 'h1'] }));
    expect(members.map((m) => m.host)).toEqual(['h4', 'h2', 'h1']);
  });

  test('are never placed on an unfit host, and the error says why each is', () => {
    const supply = [
      ...supplyOf(['a', 'b']),
      { ...supplyOf(['c'])[0]!, host: { name: 'h9', address: '10.0.0.9', zone: 'z' }, unfit: 'disk: 1 MiB free' },
    ];
    expect(() => placeTenant(requestOf({ supply }))).toThrowError(/h9: disk: 1 MiB free/);
  });

  test.each([
    [['h1', 'h2'], /--hosts names 2 hosts/],
    [['h1', 'h2', 'h7'], /no host "h7"/],
    [['h1', 'h2', 'h1'], /names h1 twice/],
    [['h1', 'h2', 'h1'], /names h1 twice/],
  ])('named as %j are refused', (hosts, message) => {
    expect(() => placeTenant(requestOf({ hosts }))).toThrowError(message);
  });
});

describe('ports', () => {
  test('come in the lowest block that no tenant has and nothing listens on', () => {
    const others = [recordOf('one')];
    const supply = supplyOf(['a', 'b', 'c']);
    supply[1]!.portsTaken = [20015];
    expect(placeTenant(requestOf({ others, supply })).slot).toBe(2);
  });

  test('that are used up are an error naming the range', () => {
    const others = Array.from({ length: 10 }, (_, slot) => ({
      ...recordOf(`t${slot}`),
      allocation: { ...recordOf().allocation, slot },
    }));
    expect(() => placeTenant(requestOf({ others }))).toThrowError(/all 10 blocks of 10 ports between 20000 and 20099/);
  });

  test('of tenants placed one after the other never overlap', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10 }), (count) => {
        const others: TenantRecord[] = [];
        for (let i = 0; i < count; i++)
          others.push({ ...recordOf(`t${i}`), allocation: placeTenant(requestOf({ others })) });
        const ports = others.flatMap((o) =>
          Array.from({ length: portsPerTenant }, (_, i) => o.allocation.slot * portsPerTenant + i),
        );
        return new Set(ports).size === ports.length;
      }),
    );
  });
});

test('placing many tenants keeps members and first members within one of even', () => {
  const supply = supplyOf(['a', 'b', 'c', 'd', 'e']);
  const others: TenantRecord[] = [];
  const inventory = { ports: { from: 20000, to: 29999 }, path: 'pgs.yaml' };
  for (let i = 0; i < 40; i++)
    others.push({ ...recordOf(`t${i}`), allocation: placeTenant(requestOf({ others, supply, inventory })) });
  const count = (pick: (r: TenantRecord) => string[]) =>
    supply.map((s) => others.flatMap(pick).filter((h) => h === s.host.name).length);
  const spread = (counts: number[]) => Math.max(...counts) - Math.min(...counts);
  expect(spread(count((r) => r.allocation.members.map((m) => m.host)))).toBeLessThanOrEqual(1);
  expect(spread(count((r) => [r.allocation.members[0]!.host]))).toBeLessThanOrEqual(1);
});

test('whatever comes, hosts stay within one member of each other, and zones of one size too', () => {
  const replicas = fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 25 });
  const inventory = { ports: { from: 20000, to: 29999 }, path: 'pgs.yaml' };
  const counts = (zones: string[], of: number[]) => {
    const supply = supplyOf(zones);
    const others: TenantRecord[] = [];
    for (const [i, count] of of.entries()) {
      const spec = { ...recordOf(`t${i}`).spec, replicas: count };
      others.push({ ...recordOf(`t${i}`), allocation: placeTenant(requestOf({ spec, others, supply, inventory })) });
    }
    return supply.map((s) => others.flatMap((o) => o.allocation.members).filter((m) => m.host === s.host.name).length);
  };
  const spread = (found: number[]) => Math.max(...found) - Math.min(...found);
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 9 }), replicas, (hosts, of) => {
      expect(spread(counts([...'abcdefghi'].slice(0, hosts), of))).toBeLessThanOrEqual(1);
    }),
  );
  // With one member in each zone, or two, no zone has more than another.
  const whole = fc.array(fc.constantFrom(2, 5), { maxLength: 20 });
  fc.assert(
    fc.property(whole, (of) => {
      expect(spread(counts([...'aabbcc'], of))).toBeLessThanOrEqual(1);
    }),
  );
});

test('the memory budget is an eighth of the host within its bounds', () => {
  expect([512, 8192, 1_000_000].map(memoryBudgetMiB)).toEqual([256, 1024, 16384]);
});

test('a host that gives its watchdog to one tenant takes no second one', () => {
  const supply = supplyOf(['a', 'b', 'c']).map((s) => ({ ...s, host: { ...s.host, fencing: 'device' as const } }));
  expect(placeTenant(requestOf({ supply })).members).toHaveLength(3);
  expect(() => placeTenant(requestOf({ supply, others: [recordOf('one')] }))).toThrow(
    /gives its watchdog to one alone/,
  );
});
