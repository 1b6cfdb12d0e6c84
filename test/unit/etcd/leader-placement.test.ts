import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planEtcdLeader } from '../../../src/etcd/leader-placement.js';

const fit = ['h1', 'h2', 'h3'];

test.each([
  ['the only cluster leads elsewhere', 'h1', { h2: 1 }, null],
  ['the only cluster leads here', 'h1', { h1: 1 }, 'h2'],
  ['all hosts lead as many', 'h1', { h1: 2, h2: 2, h3: 2 }, null],
  ['another leads one fewer, but some', 'h1', { h1: 3, h2: 2, h3: 3 }, null],
  ['another leads two fewer', 'h1', { h1: 4, h2: 3, h3: 2 }, 'h3'],
  ['nobody leads etcd', null, { h1: 5 }, null],
])('when %s', (_what, leader, postgresLeaders, to) => {
  expect(planEtcdLeader({ leader, fit, postgresLeaders })?.to ?? null).toBe(to);
});

test('a member that does not follow is not chosen', () => {
  expect(planEtcdLeader({ leader: 'h1', fit: ['h1', 'h3'], postgresLeaders: { h1: 1 } })?.to).toBe('h3');
  expect(planEtcdLeader({ leader: 'h1', fit: ['h1'], postgresLeaders: { h1: 9 } })).toBeNull();
});

test('one move is enough: the next decision from the same facts moves nothing', () => {
  const counts = fc.record({ h1: fc.nat(20), h2: fc.nat(20), h3: fc.nat(20) });
  fc.assert(
    fc.property(fc.constantFrom(...fit), counts, (leader, postgresLeaders) => {
      const move = planEtcdLeader({ leader, fit, postgresLeaders });
      return move === null || planEtcdLeader({ leader: move.to, fit, postgresLeaders }) === null;
    }),
  );
});
