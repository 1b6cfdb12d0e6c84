import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { MemberFact } from '../../../src/patroni/facts.js';
import { judgeCluster, type StatusInput } from '../../../src/reconcile/status.js';
import { describeBytes, describeStatus } from '../../../src/reconcile/status-text.js';
import { blankStep } from '../../../src/reconcile/step.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';
import { leader, replica } from '../../fixtures/cluster-facts.js';

const everyPooler = ['acme-1', 'acme-2', 'acme-3'];
const routes = {
  primary: ['acme-1'],
  replica: ['acme-2'],
  direct: ['acme-1'],
  'direct-ro': ['acme-2'],
  poolers: { primary: everyPooler, replica: everyPooler },
};
const gone: MemberFact = { reachable: false, why: 'connect ECONNREFUSED' };

function inputWith(members: Record<string, MemberFact> = {}, change: Partial<StatusInput> = {}): StatusInput {
  return {
    cluster: clusterOf(),
    phase: 'ready',
    patroni: {
      members: { 'acme-1': leader(), 'acme-2': replica({ positionBytes: 3000 }), 'acme-3': replica(), ...members },
    },
    routes: { h1: routes, h2: routes, h3: routes, h4: routes },
    plan: { subject: 'cluster acme', steps: [], warnings: [] },
    warnings: [],
    ...change,
  };
}

const statusOf = (...args: Parameters<typeof inputWith>) => judgeCluster(inputWith(...args));
const textOf = (...args: Parameters<typeof inputWith>) => stripVTControlCharacters(describeStatus(statusOf(...args)));

describe('a cluster is healthy', () => {
  test('when one member leads, all others stream, and all are on one timeline', () => {
    const status = statusOf();
    expect(status).toMatchObject({ healthy: true, leader: 'acme-1', rpo: { verdict: 'holds' } });
    expect(status.members.map((m) => [m.role, m.state, m.lagBytes])).toEqual([
      ['leader', 'running', null],
      ['sync standby', 'streaming', 2000],
      ['sync standby', 'streaming', 0],
    ]);
  });

  test.each<[string, Record<string, MemberFact>]>([
    ['a replica does not stream', { 'acme-2': replica({ streaming: false, state: 'running' }) }],
    ['a replica is on another timeline', { 'acme-2': replica({ timeline: 2 }) }],
    ['a member does not answer', { 'acme-3': gone }],
    ['nobody leads', { 'acme-1': gone }],
    ['two say that they lead', { 'acme-2': leader() }],
  ])('not when %s', (_what, members) => {
    expect(statusOf(members).healthy).toBe(false);
  });
});

test('a member that does not answer is unknown, with the reason, and not taken for stopped', () => {
  expect(statusOf({ 'acme-3': gone }).members[2]).toMatchObject({
    role: 'unknown',
    state: 'no answer: connect ECONNREFUSED',
    timeline: null,
    lagBytes: null,
  });
});

test('an entry that could not be asked routes nobody knows where, and one without a server nowhere', () => {
  const poolers = { primary: [], replica: [] };
  const nowhere = { primary: [], replica: [], direct: [], 'direct-ro': [], poolers };
  const input = inputWith({}, { routes: { h1: null, h2: nowhere, h3: routes } });
  const [primary] = judgeCluster(input).services;
  expect(primary).toMatchObject({ service: 'primary', port: 20000 });
  expect(primary!.routes).toEqual({ h1: null, h2: [], h3: ['acme-1'], h4: null });
});

test('what differs are the steps that change something, not those that wait', () => {
  const steps = [
    { ...blankStep('acme/leader'), title: 'wait for a leader', reason: 'none' },
    {
      ...blankStep('h1/acme/files'),
      host: 'h1',
      title: 'write the files',
      reason: '1 thing differs',
      action: { kind: 'resources' as const, resources: [] },
    },
  ];
  const status = statusOf(
    {},
    { plan: { subject: '', steps, warnings: ['h4 is down'] }, warnings: ['a certificate ends'] },
  );
  expect(status.drift).toEqual([{ host: 'h1', title: 'write the files', reason: '1 thing differs' }]);
  expect(status.warnings).toEqual(['h4 is down', 'a certificate ends']);
});

describe('fencing of a cluster', () => {
  test('is that of its worst member', () => {
    expect(statusOf().fencing.verdict).toBe('not fenced');
    expect(statusOf({}, { cluster: clusterOf(recordOf('acme', { watchdog: 'required' })) }).fencing.verdict).toBe(
      'unknown',
    );
  });
});

describe('the text', () => {
  test('of a healthy cluster says so, says NOT FENCED, and that RPO 0 holds', () => {
    const text = textOf();
    expect(text).toMatch(/^cluster acme {2}healthy {2}PostgreSQL 17, rto norm\n/);
    expect(text).toContain('NOT FENCED (the spec says watchdog: off)');
    expect(text).toContain('RPO 0 holds');
    expect(text).toContain('nothing differs');
    expect(text).toMatch(/primary +20000 +acme-1 \(from all 4 entries\)/);
  });

  test('of one without standbys says SUSPENDED, or that writes wait', () => {
    const alone = { 'acme-2': gone, 'acme-3': gone };
    expect(textOf(alone)).toMatch(/NOT HEALTHY/);
    expect(textOf(alone)).toMatch(/RPO 0 SUSPENDED/);
    const strict = { cluster: clusterOf(recordOf('acme', { durability: 'strict' })) };
    expect(textOf(alone, strict)).toMatch(/writes wait/);
  });

  test('of an asynchronous one tells what can be lost', () => {
    expect(textOf({}, { cluster: clusterOf(recordOf('acme', { rpoBytes: 1048576 })) })).toMatch(/up to 1\.0 MB plus/);
  });

  test('of a paused one says that nothing fails over, and of an unfinished one its phase', () => {
    expect(textOf({ 'acme-1': leader({ paused: true }) })).toMatch(/PAUSED: Patroni does not fail over/);
    expect(textOf({}, { phase: 'creating' })).toMatch(/rto norm, creating/);
  });

  test('of one that is stopped says so and how to start it, and nothing of services and RPO', () => {
    const members = { 'acme-1': gone, 'acme-2': gone, 'acme-3': gone };
    const text = textOf(members, { phase: 'stopped', stopped: ['acme-1', 'acme-2'] });
    expect(text).toMatch(/^cluster acme {2}STOPPED \(pgs cluster start acme\)/);
    expect(text).toMatch(/acme-2 +h2 +other +stopped/);
    expect(text).toMatch(/acme-3 +h3 +unknown +no answer/);
    expect(text).toContain('connections are refused');
    expect(text).not.toMatch(/RPO|fencing/);
  });

  test('of one with something unfinished says what, and who waits for a restart', () => {
    const since = '2026-11-21T10:00:00.000Z';
    const text = textOf(
      { 'acme-2': replica({ pendingRestart: true }) },
      { job: { kind: 'restart', since, members: { 'acme-2': 'then' } } },
    );
    expect(text).toContain(`the restart that was begun ${since} is not finished (pgs apply acme)`);
    expect(text).toMatch(/acme-2 .*restart pending/);
  });

  test('shows how a service is pooled, and an entry that has lost a pooler', () => {
    expect(textOf()).toMatch(/primary +20000 .*by transaction\n/);
    expect(textOf()).toMatch(/direct +20002 +acme-1 \(from all 4 entries\) *\n/);
    const lacking = { ...routes, poolers: { primary: ['acme-2'], replica: everyPooler } };
    const one = textOf({}, { routes: { h1: routes, h2: lacking, h3: routes, h4: routes } });
    expect(one).toMatch(/primary .*by transaction, not all poolers answer h2/);
    const none = { ...routes, poolers: { primary: [], replica: everyPooler } };
    expect(textOf({}, { routes: { h1: none, h2: none, h3: none, h4: null } })).toMatch(/primary .*NO POOLER ANSWERS/);
  });

  test('shows each entry when they do not agree', () => {
    const elsewhere = { ...routes, primary: ['acme-2'] };
    const text = textOf({}, { routes: { h1: routes, h2: elsewhere, h3: routes, h4: null } });
    expect(text).toMatch(/primary +20000 +h1: acme-1; h2: acme-2; h3: acme-1; h4: not known/);
  });
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 kB'],
  [16777216, '16.0 MB'],
  [5 * 1024 ** 5, '5120.0 TB'],
])('%i bytes are %s', (bytes, text) => {
  expect(describeBytes(bytes)).toBe(text);
});
