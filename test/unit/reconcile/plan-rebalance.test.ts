// Whom a rebalance may touch: only healthy tenants, and only members that have everything.

import { describe, expect, test } from 'vitest';
import type { ReachableMember } from '../../../src/patroni/facts.js';
import { planRebalance, type LeadershipFacts } from '../../../src/reconcile/plan-rebalance.js';
import type { TenantRecord } from '../../../src/topology/tenant.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';

const hosts = [1, 2, 3].map((n) => ({ name: `h${n}`, zone: `z${n}`, isDraining: false }));

function member(change: Partial<ReachableMember> = {}): ReachableMember {
  return {
    reachable: true,
    role: 'replica',
    state: 'running',
    streaming: true,
    timeline: 1,
    positionBytes: 1000,
    receivedBytes: 1000,
    synchronous: true,
    pendingRestart: false,
    paused: false,
    watchdogFailed: false,
    serverVersion: 170000,
    patroniVersion: '4.0.7',
    postmasterStartedAt: null,
    ...change,
  };
}

const leading = member({ role: 'leader', streaming: false, synchronous: false });

interface Change {
  record?: Partial<TenantRecord>;
  spec?: Partial<TenantRecord['spec']>;
  members?: Record<
    number,
    LeadershipFacts['seen'] extends null ? never : ReachableMember | { reachable: false; why: string }
  >;
  keys?: Partial<NonNullable<LeadershipFacts['seen']>['keys']>;
  lockedBy?: string;
}

/** A healthy tenant that is led on h1. */
function facts(tenant: string, { record: change, spec, members, keys, lockedBy }: Change = {}): LeadershipFacts {
  const record = { ...recordOf(tenant, spec), ...change };
  const named = { 1: leading, 2: member(), 3: member(), ...members };
  return {
    record,
    seen: {
      cluster: clusterOf(record),
      patroni: { members: Object.fromEntries(Object.entries(named).map(([n, fact]) => [`${tenant}-${n}`, fact])) },
      keys: {
        leader: `${tenant}-1`,
        synchronous: [`${tenant}-2`, `${tenant}-3`],
        failover: null,
        paused: false,
        ...keys,
      },
    },
    why: null,
    lockedBy: lockedBy ?? null,
  };
}

const plan = (tenants: LeadershipFacts[], on = hosts) => planRebalance({ hosts: on, tenants });

test('leaders that all sit on one host are shared, each to a synchronous standby', () => {
  const { moves, hosts: after, isEven, skipped } = plan([facts('a'), facts('b'), facts('c')]);
  expect(moves).toHaveLength(2);
  expect(after.map(({ host, leaders, leadersAfter, members }) => [host, leaders, leadersAfter, members])).toEqual([
    ['h1', 3, 1, 3],
    ['h2', 0, 1, 3],
    ['h3', 0, 1, 3],
  ]);
  expect({ isEven, skipped }).toEqual({ isEven: true, skipped: [] });
});

describe('a tenant is left as it is, and named, when', () => {
  test.each<[string, Change, RegExp]>([
    ['it is stopped', { record: { phase: 'stopped' } }, /it is stopped/],
    ['it is not finished', { record: { phase: 'creating' } }, /it is creating/],
    ['somebody changes it', { lockedBy: 'apply b' }, /being changed: apply b/],
    [
      'a job is not done',
      { record: { job: { kind: 'restart', since: '', members: {} } } },
      /a restart of it is not finished/,
    ],
    [
      'a member leaves',
      { record: { allocation: { ...recordOf('b').allocation, leaving: [{ name: 'b-4', host: 'h4', data: 'keep' }] } } },
      /comes or goes/,
    ],
    ['Patroni is paused', { keys: { paused: true } }, /Patroni is paused/],
    ['Patroni has something to do', { keys: { failover: { leader: 'b-1' } } }, /asked for another leader/],
    ['nobody leads', { members: { 1: member() } }, /no member leads/],
    ['its members and etcd disagree', { keys: { leader: 'b-2' } }, /etcd says b-2/],
    ['a replica does not answer', { members: { 3: { reachable: false, why: 'gone' } } }, /b-3 does not answer/],
    [
      'a replica does not stream',
      { members: { 3: member({ streaming: false, state: 'starting' }) } },
      /b-3 does not stream \(starting\)/,
    ],
    ['it is asynchronous', { spec: { rpoBytes: 1048576 } }, /asynchronous/],
  ])('%s', (_, change, why) => {
    const { moves, skipped } = plan([facts('a'), facts('b', change), facts('c')]);
    expect(skipped).toEqual([{ tenant: 'b', why: expect.stringMatching(why) as string }]);
    expect(moves.map((m) => m.tenant)).not.toContain('b');
  });

  test('it could not be looked at', () => {
    const { moves, skipped } = plan([facts('a'), { ...facts('b'), seen: null, why: 'its secrets cannot be opened' }]);
    expect(skipped).toEqual([{ tenant: 'b', why: 'its secrets cannot be opened' }]);
    expect(moves).toEqual([]);
  });
});

describe('nobody takes over who', () => {
  test.each<[string, Change]>([
    ['is not synchronous by its own word', { members: { 2: member({ synchronous: false }) } }],
    ['is not on the list in etcd', { keys: { synchronous: ['b-3'] } }],
    ['lags', { members: { 1: { ...leading, positionBytes: 1e9 }, 2: member(), 3: member({ positionBytes: 1e9 }) } }],
  ])('%s', (_, change) => {
    // Without h3, so that h2 is where b would go.
    const drained = hosts.map((h) => ({ ...h, isDraining: h.name === 'h3' }));
    const only = (f: LeadershipFacts) => plan([facts('a', { keys: { synchronous: [] } }), f], drained).moves;
    expect(only(facts('b')).map(({ to }) => to.name)).toEqual(['b-2']);
    expect(only(facts('b', change))).toEqual([]);
  });

  test('is on a list that is not there', () => {
    expect(
      plan(
        [facts('a'), facts('b')].map((f) => ({
          ...f,
          seen: { ...f.seen!, keys: { ...f.seen!.keys, synchronous: null } },
        })),
      ).moves,
    ).toEqual([]);
  });
});

test('members that could move to a host that is new are named; none of a tenant that is left as it is', () => {
  const four = [...hosts, { name: 'h4', zone: 'z4', isDraining: false }];
  const { members } = plan([facts('a'), facts('b'), facts('c', { keys: { paused: true } })], four);
  expect(members).toHaveLength(2);
  expect(members.every(({ to, tenant, member: name }) => to === 'h4' && tenant !== 'c' && !name.endsWith('-1'))).toBe(
    true,
  );
  const drained = four.map((h) => ({ ...h, isDraining: h.name === 'h4' }));
  expect(plan([facts('a'), facts('b')], drained).members).toEqual([]);
});
