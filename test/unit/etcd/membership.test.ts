import { describe, expect, test } from 'vitest';
import { nextMembershipMove, type EtcdMembership } from '../../../src/etcd/membership.js';
import type { MemberStatus } from '../../../src/etcd/facts.js';
import { answering } from '../../fixtures/memory-dcs.js';

const url = (n: number) => `https://10.0.0.${n}:2380`;
const member = (n: number, name = `h${n}`): EtcdMembership => ({ id: String(n), name, peerUrls: [url(n)] });
const up = (n: number): MemberStatus => ({ ...answering(`h${n}`, 'x', n), leaderId: '1' });
const down = (n: number): MemberStatus => ({ answers: false, name: `h${n}`, endpoint: 'x', why: 'refused' });
const change = { leaves: 'h2', joins: { name: 'h4', peerUrl: url(4) } };

describe("etcd's member moves to another host", () => {
  test('the old one leaves, a place is made, the new one starts, and then nothing is left to do', () => {
    const move = (members: EtcdMembership[], statuses: MemberStatus[]) => nextMembershipMove(change, members, statuses);
    const [one, two, three] = [member(1), member(2), member(3)];
    expect(move([one, two, three], [up(1), up(3), down(4)])).toEqual({ kind: 'remove', member: two });
    expect(move([one, three], [up(1), up(3), down(4)])).toEqual({ kind: 'add', peerUrl: url(4) });
    expect(move([one, three, member(4, '')], [up(1), up(3), down(4)])).toEqual({ kind: 'start', name: 'h4' });
    expect(move([one, three, member(4)], [up(1), up(3), up(4)])).toBe(null);
  });

  test('a live one leaves before the new one comes as well', () => {
    const members = [member(1), member(2), member(3)];
    expect(nextMembershipMove(change, members, [up(1), up(2), up(3)])).toMatchObject({ kind: 'remove' });
  });

  test.each([
    ['to be removed', [member(1), member(2), member(3)]],
    ['to be added', [member(1), member(3)]],
    ['to be started', [member(1), member(3), member(4, '')]],
  ])('while another member does not answer nothing is %s', (_what, members) => {
    const thrown = (() => {
      try {
        nextMembershipMove(change, members, [up(1), down(3), down(4)]);
        return null;
      } catch (error) {
        return error;
      }
    })();
    expect(thrown).toMatchObject({ code: 'endangers' });
    expect(String(thrown)).toMatch(/h3 does not answer/);
  });

  test('one that answers and follows no leader is no part of a quorum', () => {
    const lost = { ...up(3), leaderId: null } as MemberStatus;
    expect(() => nextMembershipMove(change, [member(1), member(2), member(3)], [up(1), lost])).toThrow(/no leader/);
  });
});
