import { describe, expect, test } from 'vitest';
import type { MemberFact } from '../../../src/patroni/facts.js';
import { chooseReinit, judgeReinitAnswer } from '../../../src/patroni/reinit.js';
import { judgeRestartAnswer } from '../../../src/patroni/restart.js';
import { clusterOf } from '../../fixtures/fleet.js';
import { leader, replica } from '../../fixtures/cluster-facts.js';

const cluster = clusterOf();
const member = cluster.members[1]!;
const down: MemberFact = { reachable: false, why: 'no route to host' };
const broken = replica({ streaming: false, state: 'start failed', role: 'other', postmasterStartedAt: null });

describe("Patroni's answer to a restart", () => {
  test.each([
    [200, 'restarted successfully', 'done'],
    [503, 'restart already in progress', 'under way'],
    [503, 'postgres is still starting', 'under way'],
  ])('%i %s is %s', (status, body, outcome) => {
    expect(judgeRestartAnswer({ status, body }, cluster, member)).toBe(outcome);
  });

  test.each([
    [503, 'restart conditions are not satisfied', 'endangers', /it leads by now/],
    [503, 'restart failed', 'command-failed', /answered 503: restart failed/],
    [401, 'no auth', 'command-failed', /401/],
  ])('%i %s is an error', (status, body, code, found) => {
    const judge = () => judgeRestartAnswer({ status, body }, cluster, member);
    expect(judge).toThrow(found);
    expect(judge).toThrow(expect.objectContaining({ code }) as Error);
  });
});

describe("Patroni's answer to a reinit", () => {
  test('that it has begun, or is at it, is fine', () => {
    judgeReinitAnswer({ status: 200, body: 'reinitialize started' }, cluster, member);
    judgeReinitAnswer({ status: 503, body: 'reinitialize already in progress' }, cluster, member);
  });

  test('that it will not is an error', () => {
    const answer = { status: 503, body: 'I am the leader, can not reinitialize' };
    expect(() => judgeReinitAnswer(answer, cluster, member)).toThrow(/I am the leader/);
  });
});

describe('who may be made anew', () => {
  const choose = (name: string, members: Record<string, MemberFact>) =>
    chooseReinit(
      cluster,
      { members: { 'acme-1': leader(), 'acme-2': replica(), 'acme-3': replica(), ...members } },
      name,
    );

  test('a replica beside another one that streams, or one that is no copy to count on', () => {
    expect(choose('acme-2', {})).toMatchObject({ streaming: true });
    expect(choose('acme-2', { 'acme-2': broken, 'acme-3': down })).toMatchObject({ state: 'start failed' });
  });

  test.each<[string, string, Record<string, MemberFact>, RegExp]>([
    ['the leader', 'acme-1', {}, /it leads/],
    ['the last good copy beside the leader', 'acme-2', { 'acme-3': broken }, /last good copy beside the leader acme-1/],
    ['one that nobody can be copied from', 'acme-2', { 'acme-1': down }, /no member leads/],
    ['one whose Patroni does not answer', 'acme-2', { 'acme-2': down }, /does not answer: no route/],
  ])('not %s', (_what, name, members, found) => {
    expect(() => choose(name, members)).toThrow(found);
    expect(() => choose(name, members)).toThrow(expect.objectContaining({ code: 'endangers' }) as Error);
  });

  test('not somebody else', () => {
    expect(() => choose('acme-9', {})).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
  });
});
