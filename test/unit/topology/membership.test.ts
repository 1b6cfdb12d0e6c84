import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isMoving,
  lastNumberOf,
  stayingMembers,
  withJoined,
  withJoining,
  withLeaving,
  withLogin,
  withoutLeaving,
} from '../../../src/topology/membership.js';
import { placeJoining, type HostSupply, type JoinRequest } from '../../../src/topology/placement.js';
import { deriveSettings } from '../../../src/topology/settings.js';
import type { Allocation } from '../../../src/topology/tenant.js';
import { recordOf } from '../../fixtures/fleet.js';

const three = recordOf('acme').allocation;
const names = ({ members }: Allocation) => members.map((m) => m.name);
const added = (before: Allocation, hosts: string[], replaces: string | null = null) =>
  withJoining('acme', before, hosts, { replaces, data: 'keep' });

describe('what is kept of members', () => {
  test('names a new one with a number that nobody had, whoever left meanwhile', () => {
    const four = withJoined(added(three, ['h4']), ['acme-4']);
    expect(names(four)).toEqual(['acme-1', 'acme-2', 'acme-3', 'acme-4']);
    const left = withoutLeaving(withLeaving(four, [{ name: 'acme-4', host: 'h4', data: 'purge' }]), 'acme-4');
    expect(names(added(left, ['h5']))).toEqual(['acme-1', 'acme-2', 'acme-3', 'acme-5']);
    expect(lastNumberOf(left)).toBe(4);
  });

  test('counts one that is replaced as a member until the other one follows', () => {
    const both = added(three, ['h4'], 'acme-2');
    expect(names(both)).toHaveLength(4);
    expect(stayingMembers(both).map((m) => m.name)).toEqual(['acme-1', 'acme-3', 'acme-4']);
    expect(isMoving(both)).toBe(true);
  });

  test('keeps who leaves until it is gone, and remembers where data stays', () => {
    const leaving = withLeaving(three, [{ name: 'acme-3', host: 'h3', data: 'keep' }]);
    expect(names(leaving)).toEqual(['acme-1', 'acme-2']);
    expect(isMoving(leaving)).toBe(true);
    const lost = withLogin(leaving, ['acme-3'], 'works');
    expect(lost.leaving).toEqual([{ name: 'acme-3', host: 'h3', data: 'keep', login: 'works' }]);
    const gone = withoutLeaving(lost, 'acme-3');
    expect(isMoving(gone)).toBe(false);
    expect(gone.keptOn).toEqual(['h3']);
    expect(added(gone, ['h3']).keptOn).toBeUndefined();
    expect(withoutLeaving(withLeaving(three, [{ name: 'acme-3', host: 'h3', data: 'purge' }]), 'acme-3').keptOn).toBe(
      undefined,
    );
  });

  test('moves max_wal_senders only when what it is would not be enough', () => {
    const senders = (allocation: Allocation) => deriveSettings(allocation, 'norm').max_wal_senders;
    let now = three;
    expect(senders(now)).toBe(10);
    for (let n = 4; n <= 8; n++) now = added(now, [`h${n}`]);
    expect(senders(now)).toBe(10);
    now = added(now, ['h9']);
    expect(senders(now)).toBe(27);
    const left = withLeaving(
      now,
      now.members.slice(2).map(({ name, host }) => ({ name, host, data: 'keep' })),
    );
    expect(senders(left)).toBe(27);
  });

  test('always leaves room for every replica, a copy and a backup', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 30 }), (moves) => {
        let now = three;
        for (const [i, comes] of moves.entries()) {
          if (comes && now.members.length < 16) now = added(now, [`x${i}`]);
          else if (now.members.length > 1) {
            const { name, host } = now.members.at(-1)!;
            now = withoutLeaving(withLeaving(now, [{ name, host, data: 'keep' }]), name);
          }
          expect(Number(deriveSettings(now, 'norm').max_wal_senders)).toBeGreaterThanOrEqual(now.members.length + 2);
        }
        expect(new Set(names(now)).size).toBe(now.members.length);
      }),
    );
  });
});

describe('the place of a new member', () => {
  const host = (n: number, zone: string, change: Partial<HostSupply> = {}): HostSupply => ({
    host: { name: `h${n}`, address: `10.0.0.${n}`, zone },
    unfit: null,
    memoryMiB: 8192,
    cores: 4,
    portsTaken: [],
    ...change,
  });
  const zones = ['a', 'b', 'c', 'a', 'b', 'c'];
  const place = (change: Partial<JoinRequest> = {}) =>
    placeJoining({
      tenant: 'acme',
      allocation: three,
      hosts: null,
      supply: zones.map((zone, i) => host(i + 1, zone)),
      others: [],
      staying: three.members,
      count: 1,
      ...change,
    });

  test('is a host without one, in the zone that the others leave free', () => {
    expect(place({ staying: three.members.filter((m) => m.name !== 'acme-2') })).toEqual(['h5']);
    expect(place({ count: 3 })).toEqual(['h4', 'h5', 'h6']);
  });

  test('is not where one is about to leave, and rather not where data of an earlier one is kept', () => {
    const allocation = withLeaving(three, [{ name: 'acme-1', host: 'h1', data: 'keep' }]);
    expect(() => place({ allocation, hosts: ['h1'] })).toThrow(/has acme-1 already/);
    expect(place({ allocation: { ...three, keptOn: ['h4'] } })).toEqual(['h5']);
    expect(place({ allocation: { ...three, keptOn: ['h4'] }, hosts: ['h4'] })).toEqual(['h4']);
  });

  test('is not too small, and the error names every host with what keeps it', () => {
    const supply = [host(1, 'a'), host(2, 'b'), host(3, 'c'), host(4, 'd', { memoryMiB: 512 })];
    expect(() => place({ supply })).toThrow(/0 of 4 hosts are fit[^]*h1: has acme-1 already[^]*h4: has 512 MiB/);
    expect(() => place({ hosts: ['h4', 'h5'] })).toThrow(/2 hosts are named, and 1 is needed/);
  });
});
