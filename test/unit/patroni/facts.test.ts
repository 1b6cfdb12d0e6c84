import { describe, expect, test } from 'vitest';
import {
  believeLeader,
  findLeader,
  judgeRpo,
  lagBytes,
  parseMember,
  streamingReplicas,
  type MemberFact,
  type PatroniFacts,
  type ReachableMember,
} from '../../../src/patroni/facts.js';

const leader: ReachableMember = {
  reachable: true,
  role: 'leader',
  state: 'running',
  streaming: false,
  timeline: 3,
  positionBytes: 1000,
  receivedBytes: null,
  synchronous: false,
  pendingRestart: false,
  paused: false,
  watchdogFailed: false,
  serverVersion: 170011,
  patroniVersion: '4.0.7',
  postmasterStartedAt: null,
};
const replica: ReachableMember = {
  ...leader,
  role: 'replica',
  streaming: true,
  positionBytes: 900,
  receivedBytes: 1000,
  synchronous: true,
};
const gone: MemberFact = { reachable: false, why: 'no answer' };
const factsOf = (members: MemberFact[]): PatroniFacts => ({
  members: Object.fromEntries(members.map((m, i) => [`acme-${i + 1}`, m])),
});

describe('an answer of Patroni', () => {
  test('of a leader', () => {
    const answer = {
      state: 'running',
      role: 'primary',
      server_version: 170011,
      xlog: { location: 67108960 },
      timeline: 1,
      patroni: { version: '4.0.7', scope: 'acme', name: 'acme-1' },
    };
    expect(parseMember(answer)).toMatchObject({
      role: 'leader',
      positionBytes: 67108960,
      receivedBytes: null,
      timeline: 1,
      patroniVersion: '4.0.7',
    });
  });

  test('of a quorum standby', () => {
    const answer = {
      state: 'running',
      role: 'replica',
      xlog: { received_location: 5, replayed_location: 4 },
      timeline: 1,
      quorum_standby: true,
      replication_state: 'streaming',
    };
    expect(parseMember(answer)).toMatchObject({
      role: 'replica',
      streaming: true,
      synchronous: true,
      positionBytes: 4,
      receivedBytes: 5,
    });
  });

  test('of Patroni 3, which says master', () => {
    expect(parseMember({ state: 'running', role: 'master' }).role).toBe('leader');
  });

  test.each(['stopped', 'starting', 'crashed', 'stopping'])('of a primary that is %s leads nothing', (state) => {
    expect(parseMember({ state, role: 'primary' }).role).toBe('other');
  });

  test('that is no object is refused', () => {
    expect(() => parseMember('<html>')).toThrowError(TypeError);
  });
});

test('two that call themselves leader are nobody to trust', () => {
  expect(findLeader(factsOf([leader, leader]))).toBeNull();
  expect(findLeader(factsOf([leader, replica]))?.name).toBe('acme-1');
});

test('a replica on another timeline does not count as streaming', () => {
  expect(streamingReplicas(factsOf([leader, replica, { ...replica, timeline: 2 }]))).toEqual(['acme-2']);
});

test('lag is unknown when a position is, and never negative', () => {
  expect(lagBytes(replica, leader)).toBe(100);
  expect(lagBytes({ ...replica, positionBytes: 2000 }, leader)).toBe(0);
  expect(lagBytes({ ...replica, positionBytes: null }, leader)).toBeNull();
});

describe('RPO 0', () => {
  test.each([
    ['holds with one synchronous standby that streams', [leader, replica, gone], 'available', 'holds'],
    ['is suspended when every standby is gone', [leader, gone, gone], 'available', 'suspended'],
    [
      'is suspended when the only standby left is not synchronous',
      [leader, { ...replica, synchronous: false }],
      'available',
      'suspended',
    ],
    ['makes writes wait with strict durability', [leader, gone, gone], 'strict', 'waiting'],
    ['is unknown without a leader', [gone, replica], 'available', 'unknown'],
  ] as const)('%s', (_what, members, durability, verdict) => {
    expect(judgeRpo(factsOf([...members]), 0, durability)).toBe(verdict);
  });

  test('is not what an asynchronous cluster promises', () => {
    expect(judgeRpo(factsOf([leader, replica]), 1, 'available')).toBe('asynchronous');
  });
});

describe('the word of the leader', () => {
  const waiting = parseMember({
    state: 'running',
    role: 'primary',
    replication: [
      { application_name: 'acme-2', state: 'streaming', sync_state: 'quorum' },
      { application_name: 'acme-3', state: 'streaming', sync_state: 'async' },
    ],
  });

  test('makes a replica synchronous that has not heard of it yet, and no other', () => {
    const { members } = factsOf([waiting, { ...replica, synchronous: false }, { ...replica, synchronous: false }]);
    expect(Object.values(believeLeader(members)).map((m) => m.reachable && m.synchronous)).toEqual([
      false,
      true,
      false,
    ]);
  });

  test('takes nothing back from a replica, and says nothing of one that does not answer', () => {
    const { members } = factsOf([waiting, gone, replica]);
    expect(believeLeader(members)).toEqual(members);
  });
});
