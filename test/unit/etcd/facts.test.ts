import { describe, expect, it } from 'vitest';
import { leadersOf, parseMemberStatus, quorumOf, type MemberStatus } from '../../../src/etcd/facts.js';
import { judgeDcs } from '../../../src/etcd/status.js';
import { answering } from '../../fixtures/memory-dcs.js';

const up = (n: number): MemberStatus => answering(`h${n}`, `https://10.0.0.${n}:2379`, n - 1);
const alone = (n: number): MemberStatus => ({ ...answering(`h${n}`, 'x', n - 1), leaderId: null });
const down = (n: number): MemberStatus => ({
  answers: false,
  name: `h${n}`,
  endpoint: 'x',
  why: 'connect ECONNREFUSED',
});

describe('quorumOf', () => {
  it.each<[string, string, MemberStatus[]]>([
    ['healthy', 'h1, h2 and h3 answer', [up(1), up(2), up(3)]],
    ['degraded', 'h1 and h2 answer, h3 does not', [up(1), up(2), down(3)]],
    ['degraded', 'h1 and h2 answer, h3 answers but knows no leader', [up(1), up(2), alone(3)]],
    ['lost', 'h1 answers but knows no leader, h2 and h3 do not', [alone(1), down(2), down(3)]],
    ['lost', 'h1 answers, h2 and h3 do not', [up(1), down(2), down(3)]],
    ['lost', 'h1, h2 and h3 answer but know no leader', [alone(1), alone(2), alone(3)]],
    ['lost', 'h1, h2 and h3 do not answer', [down(1), down(2), down(3)]],
    ['lost', 'h1 does not answer', [down(1)]],
    ['degraded', 'h1, h2 and h3 answer, h4 and h5 do not', [up(1), up(2), up(3), down(4), down(5)]],
    ['lost', 'h1 and h2 answer, h3 and h4 do not', [up(1), up(2), down(3), down(4)]],
  ])('is %s: %s', (state, seen, members) => {
    expect(quorumOf(members)).toEqual({ state, seen });
  });
});

describe('leadersOf', () => {
  it('names one where all agree, and both where they do not', () => {
    expect(leadersOf([up(1), up(2), up(3)])).toEqual(['h1']);
    expect(leadersOf([up(1), { ...answering('h2', 'x', 1), leaderId: '101' }])).toEqual(['h1', 'h2']);
    expect(leadersOf([alone(1), down(2)])).toEqual([]);
  });
});

/** Recorded from etcd 3.5.16 with the alarm NOSPACE raised. */
const recorded = {
  header: { cluster_id: '1', member_id: '9372538179322589801', revision: '5', raft_term: '4' },
  version: '3.5.16',
  dbSize: '20480',
  leader: '10501334649042878790',
  raftIndex: '29',
  raftTerm: '4',
  raftAppliedIndex: '29',
  errors: ['memberID:9372538179322589801 alarm:NOSPACE ', 'etcdserver: no leader', 'something new'],
  dbSizeInUse: '16384',
  isLearner: false,
};

describe('parseMemberStatus', () => {
  const parsed = parseMemberStatus({ name: 'h1', url: 'https://10.0.0.1:2379', serverName: 'h1' }, recorded, 1.5);

  it('keeps ids as text: they do not fit a number', () => {
    expect([parsed.memberId, parsed.leaderId]).toEqual(['9372538179322589801', '10501334649042878790']);
  });

  it('tells alarms from other errors', () => {
    expect(parsed.alarms).toEqual([{ memberId: '9372538179322589801', kind: 'NOSPACE' }]);
    expect(parsed.errors).toEqual(['something new']);
  });

  it('takes 0 for no leader', () => {
    expect(parseMemberStatus({ name: 'h1', url: '', serverName: null }, { ...recorded, leader: '0' }, 1).leaderId).toBe(
      null,
    );
  });
});

describe('judgeDcs', () => {
  const now = new Date('2026-11-20T00:00:00Z');
  const inDays = (days: number) => new Date(now.getTime() + days * 24 * 3600 * 1000);

  it('warns 30 days before a certificate ends, and when it has', () => {
    const ends = { h1: inDays(31), h2: inDays(29.5), h3: inDays(-1) };
    const status = judgeDcs('fleet', [up(1), up(2), up(3)], ends, now);
    expect(status.warnings).toEqual(['the certificate of h2 ends in 29 days', 'the certificate of h3 has ended']);
    expect(status.members.map((m) => m.certificateDaysLeft)).toEqual([31, 29, -1]);
  });

  it('shows an alarm at the member that raised it, once', () => {
    const alarms = [{ memberId: '101', kind: 'NOSPACE' }];
    const members = [1, 2, 3].map((n) => ({ ...answering(`h${n}`, 'x', n - 1), alarms }));
    const status = judgeDcs('fleet', members, {}, now);
    expect(status.members.map((m) => m.alarms)).toEqual([[], ['NOSPACE'], []]);
    expect(status.warnings).toHaveLength(1);
  });

  it('keeps every field for a member that is silent', () => {
    const { members } = judgeDcs('external', [up(1), down(2)], {}, now);
    expect(Object.keys(members[1]!).sort()).toEqual(Object.keys(members[0]!).sort());
    expect(members[1]).toMatchObject({ state: 'silent', why: 'connect ECONNREFUSED', version: null });
  });
});
