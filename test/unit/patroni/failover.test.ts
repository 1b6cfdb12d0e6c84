import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { chooseFailover, type LastWord } from '../../../src/patroni/failover.js';
import { parseMember, type PatroniFacts } from '../../../src/patroni/facts.js';
import { judgeSwitchoverAnswer } from '../../../src/patroni/switchover.js';
import { clusterOf } from '../../fixtures/fleet.js';

const cluster = clusterOf();
const replica = (bytes: number) =>
  parseMember({
    state: 'running',
    role: 'replica',
    timeline: 3,
    xlog: { received_location: bytes, replayed_location: bytes - 10 },
  });
const gone = { reachable: false, why: 'no answer' } as const;
const factsOf = (two: number | null, three: number | null): PatroniFacts => ({
  members: {
    'acme-1': gone,
    'acme-2': two === null ? gone : replica(two),
    'acme-3': three === null ? gone : replica(three),
  },
});
const word = (change: Partial<LastWord> = {}): LastWord => ({
  leader: null,
  leaderBytes: 1000,
  synchronous: ['acme-2', 'acme-3'],
  quorum: 1,
  ...change,
});

describe('what a failover loses', () => {
  test('is nothing when enough synchronous members are no further', () => {
    expect(chooseFailover(cluster, factsOf(1000, 990), word(), null)).toMatchObject({ to: 'acme-2', loses: 'nothing' });
  });

  test('is not known when a commit may have been acknowledged by one that is gone', () => {
    const choice = chooseFailover(cluster, factsOf(null, 1000), word(), null);
    expect(choice).toMatchObject({ to: 'acme-3', loses: 'unknown' });
    expect(choice.consequences.join()).toMatch(/too few of them answer/);
  });

  test('is nothing for the one named synchronous standby', () => {
    expect(chooseFailover(cluster, factsOf(null, 1000), word({ synchronous: ['acme-3'], quorum: 0 }), null).loses).toBe(
      'nothing',
    );
  });

  test('is at least what the leader had said and the candidate has not', () => {
    const choice = chooseFailover(cluster, factsOf(null, 400), word({ synchronous: null, quorum: 0 }), null);
    expect(choice).toMatchObject({ loses: 'some', lostBytesMin: 600 });
    expect(choice.consequences.join()).toMatch(/600 bytes/);
  });

  test('is not known of an asynchronous member that had the last word', () => {
    const choice = chooseFailover(cluster, factsOf(1000, null), word({ synchronous: null, quorum: 0 }), null);
    expect(choice).toMatchObject({ loses: 'unknown', lostBytesMin: 0 });
  });

  test('of a wish that is behind another is said', () => {
    const choice = chooseFailover(cluster, factsOf(1000, 700), word(), 'acme-3');
    expect(choice).toMatchObject({ to: 'acme-3', loses: 'some', lostBytesMin: 300 });
    expect(choice.consequences.join()).toMatch(/acme-2 has 300 bytes more than acme-3/);
  });
});

describe('is refused', () => {
  const leader = parseMember({ state: 'running', role: 'primary', timeline: 3, xlog: { location: 1000 } });
  test.each([
    [
      'while a member leads',
      { members: { ...factsOf(1000, 1000).members, 'acme-1': leader } },
      null,
      'usage',
      /switchover/,
    ],
    ['to a member that is not there', factsOf(1000, 1000), 'acme-9', 'usage', /acme-1, acme-2, acme-3/],
    ['to a member that does not answer', factsOf(1000, null), 'acme-3', 'endangers', /does not answer/],
    ['with nobody left', factsOf(null, null), null, 'endangers', /no replica/],
  ])('%s', (_what, facts, wish, code, message) => {
    let thrown: unknown;
    try {
      chooseFailover(cluster, facts, word(), wish);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(PgsError);
    expect((thrown as PgsError).code).toBe(code);
    expect(JSON.stringify((thrown as PgsError).details)).toMatch(message);
  });
});

describe("Patroni's answer to a switchover", () => {
  const choice = { from: 'acme-1', to: 'acme-2' };
  test.each([
    [200, 'Successfully switched over to "acme-2"', 'done'],
    [202, 'Switchover scheduled', 'under way'],
    [503, 'Switchover status unknown', 'under way'],
    [503, 'failed to write failover key into DCS', 'failed'],
    [503, 'Switchover failed', 'failed'],
  ])('%i %s is %s', (status, body, outcome) => {
    expect(judgeSwitchoverAnswer({ status, body }, cluster, choice).outcome).toBe(outcome);
  });

  test('412 is a refusal that changed nothing', () => {
    const judge = () => judgeSwitchoverAnswer({ status: 412, body: 'candidate name does not match' }, cluster, choice);
    expect(judge).toThrowError(/412: candidate name does not match/);
  });
});
