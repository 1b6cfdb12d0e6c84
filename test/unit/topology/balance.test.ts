// Leaders and members per host: as even as can be, with the fewest moves. Small fleets are compared with every possible answer.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  balanceLeaders,
  balanceMembers,
  memberCounts,
  type BalancedHost,
  type LedTenant,
  type PlacedTenant,
} from '../../../src/topology/balance.js';

/** `acme` leads on the first host; those on the others could. */
function led(tenant: string, [first, ...others]: number[]): LedTenant {
  const member = (n: number) => ({ name: `${tenant}-${n}`, host: `h${n}` });
  return { tenant, leader: member(first!), candidates: others.map(member) };
}

const squares = (counts: number[]) => counts.reduce((sum, n) => sum + n * n, 0);

describe('leaders', () => {
  test('that are within 1 of even stay', () => {
    const { moves, isEven, after } = balanceLeaders([
      led('a', [1, 2, 3]),
      led('b', [2, 1, 3]),
      led('c', [1, 2, 3]),
      led('d', [3]),
    ]);
    expect({ moves, isEven }).toEqual({ moves: [], isEven: true });
    expect(after).toEqual({ h1: 2, h2: 1, h3: 1 });
  });

  test('that all sit on one host after an outage are shared with as few switchovers as there are too many', () => {
    const tenants = [...'abcdefghi'].map((name) => led(name, [1, 2, 3]));
    const { moves, before, after, isEven } = balanceLeaders(tenants);
    expect(before).toEqual({ h1: 9, h2: 0, h3: 0 });
    expect(after).toEqual({ h1: 3, h2: 3, h3: 3 });
    expect({ moves: moves.length, isEven }).toEqual({ moves: 6, isEven: true });
    for (const { tenant, from, to } of moves) {
      expect(from).toEqual({ name: `${tenant}-1`, host: 'h1' });
      expect(['h2', 'h3']).toContain(to.host);
    }
  });

  test('go by way of another host where there is no straight way', () => {
    const { moves, after } = balanceLeaders([led('a', [1, 2]), led('b', [1, 2]), led('c', [2, 3])]);
    expect(after).toEqual({ h1: 1, h2: 1, h3: 1 });
    expect(moves.map(({ tenant, to }) => `${tenant} ${to.host}`)).toEqual(['a h2', 'c h3']);
  });

  test('of tenants without a candidate stay and count', () => {
    const fixed = [led('a', [1]), led('b', [1])];
    const { moves, after } = balanceLeaders([...fixed, led('c', [1, 2]), led('d', [2, 1])]);
    expect(moves.map((m) => m.tenant)).toEqual(['c']);
    expect(after).toEqual({ h1: 2, h2: 2 });
  });

  test('that cannot be even say so', () => {
    const { moves, isEven } = balanceLeaders([led('a', [1]), led('b', [1]), led('c', [1]), led('d', [2, 3])]);
    expect({ moves, isEven }).toEqual({ moves: [], isEven: false });
    expect(balanceLeaders([])).toEqual({ moves: [], before: {}, after: {}, isEven: true });
  });

  const tenant = fc.shuffledSubarray([1, 2, 3, 4], { minLength: 1, maxLength: 3 });

  test('are as even as any answer, with no more switchovers than the best of those', () => {
    fc.assert(
      fc.property(fc.array(tenant, { maxLength: 6 }), (places) => {
        const tenants = places.map((hosts, i) => led(String.fromCharCode(97 + i), hosts));
        const { moves, after } = balanceLeaders(tenants);
        let best = { squares: Infinity, moves: Infinity };
        const visit = (i: number, at: number[], moved: number) => {
          if (i === places.length) {
            const sum = squares([1, 2, 3, 4].map((h) => at.filter((x) => x === h).length));
            if (sum < best.squares || (sum === best.squares && moved < best.moves))
              best = { squares: sum, moves: moved };
            return;
          }
          for (const [k, host] of places[i]!.entries()) visit(i + 1, [...at, host], moved + (k === 0 ? 0 : 1));
        };
        visit(0, [], 0);
        expect({ squares: squares(Object.values(after)), moves: moves.length }).toEqual(best);
      }),
      { numRuns: 300 },
    );
  });

  test('once balanced, stay: a second run moves nobody', () => {
    fc.assert(
      fc.property(fc.array(tenant, { maxLength: 30 }), (places) => {
        const tenants = places.map((hosts, i) => led(`t${i}`, hosts));
        const { moves, after } = balanceLeaders(tenants);
        const next = tenants.map((t): LedTenant => {
          const move = moves.find((m) => m.tenant === t.tenant);
          if (!move) return t;
          expect(t.candidates).toContainEqual(move.to);
          return { ...t, leader: move.to, candidates: [t.leader, ...t.candidates.filter((c) => c !== move.to)] };
        });
        expect(balanceLeaders(next)).toMatchObject({ moves: [], after });
      }),
    );
  });

  test('of every tenant able to go anywhere are within 1 of even, whatever was', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 40 }), (first) => {
        const tenants = first.map((f, i) => led(`t${i}`, [f, ...[1, 2, 3, 4, 5].filter((h) => h !== f)]));
        const { after, moves, before, isEven } = balanceLeaders(tenants);
        expect(isEven).toBe(true);
        const even = Math.ceil(first.length / 5);
        const tooMany = Object.values(before).reduce((sum, n) => sum + Math.max(0, n - even), 0);
        const tooFew = Object.values(before).reduce((sum, n) => sum + Math.max(0, Math.floor(first.length / 5) - n), 0);
        expect(moves.length).toBe(Math.max(tooMany, tooFew));
        expect(Object.values(after).every((n) => Math.abs(n - first.length / 5) < 1)).toBe(true);
      }),
    );
  });
});

describe('members', () => {
  const hostsIn = (zones: string[]): BalancedHost[] =>
    zones.map((zone, i) => ({ name: `h${i + 1}`, zone, isOpen: true }));
  const on = (tenant: string, hosts: number[], leader = 1): PlacedTenant => ({
    tenant,
    members: hosts.map((h, i) => ({ name: `${tenant}-${i + 1}`, host: `h${h}` })),
    leader: `${tenant}-${leader}`,
  });

  test('go to a host that is new until it has its share, those that lead last', () => {
    const tenants = [...'abcd'].map((name) => on(name, [1, 2, 3]));
    const moves = balanceMembers(hostsIn(['a', 'b', 'c', 'd']), tenants);
    expect(moves.map(({ to }) => to)).toEqual(['h4', 'h4', 'h4']);
    expect(new Set(moves.map((m) => m.tenant)).size).toBe(3);
    expect(moves.filter(({ member }) => member.endsWith('-1'))).toHaveLength(1);
  });

  test('stay rather than share a zone, and never go to a host that is being drained', () => {
    const tenants = [...'abcd'].map((name) => on(name, [1, 2, 3]));
    expect(balanceMembers(hostsIn(['a', 'b', 'c', 'c']), tenants).every(({ from }) => from === 'h3')).toBe(true);
    const drained = hostsIn(['a', 'b', 'c', 'd']).map((h) => ({ ...h, isOpen: h.name !== 'h4' }));
    expect(balanceMembers(drained, tenants)).toEqual([]);
  });

  test('end within one of each other, with no two of a tenant on a host, where nothing forbids it', () => {
    const three = fc.shuffledSubarray([1, 2, 3, 4, 5], { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(fc.array(three, { maxLength: 20 }), (places) => {
        const hosts = hostsIn(['a', 'b', 'c', 'd', 'e']);
        const tenants = places.map((p, i) => on(`t${i}`, p));
        const moves = balanceMembers(hosts, tenants);
        const after = tenants.map((t) => ({
          ...t,
          members: t.members.map((m) => ({ ...m, host: moves.find((x) => x.member === m.name)?.to ?? m.host })),
        }));
        for (const { members } of after) expect(new Set(members.map((m) => m.host)).size).toBe(members.length);
        const counts = Object.values(memberCounts(hosts, after));
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
