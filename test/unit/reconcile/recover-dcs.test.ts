import { describe, expect, test } from 'vitest';
import type { MemberStatus } from '../../../src/etcd/facts.js';
import { judgeLoss } from '../../../src/reconcile/recover-dcs.js';

function member(name: string, answers: boolean): MemberStatus {
  const endpoint = `https://${name}:2379`;
  if (!answers) return { answers, name, endpoint, why: 'connection refused' };
  const blank = { version: '3.5.16', raftTerm: 2, raftIndex: 9, dbSizeBytes: 1, dbInUseBytes: 1, latencyMs: 1 };
  return { answers, name, endpoint, memberId: name, leaderId: 'h1', alarms: [], errors: [], ...blank };
}

const all = (answers: boolean) => ['h1', 'h2', 'h3'].map((name) => member(name, answers));
const data = (...names: string[]) =>
  Object.fromEntries(['h1', 'h2', 'h3'].map((name) => [name, { data: names.includes(name), active: false }]));
const recovery = { ca: {}, client: {}, lets: 'alone' } as never;

describe('whether the data of etcd is lost', () => {
  test('with a quorum that has what pgs keeps it is not', () => {
    expect(judgeLoss({}, all(true), data('h1', 'h2', 'h3'), 12).state).toBe('whole');
  });

  test('without a quorum it is not as long as a majority has data: they should come back', () => {
    const { state, seen } = judgeLoss({}, all(false), data('h2', 'h3'), null);
    expect(state).toBe('no quorum');
    expect(seen).toMatch(/there is data on h2, h3/);
  });

  test('a host that was not looked at may have data', () => {
    expect(judgeLoss({}, all(false), { ...data('h2'), h3: null }, null).state).toBe('no quorum');
  });

  test('with a minority that has data it is, and with nobody', () => {
    expect(judgeLoss({}, all(false), data('h3'), null).state).toBe('lost');
    expect(judgeLoss({}, all(false), data(), null).state).toBe('lost');
  });

  test('members that came up empty by themselves have lost it', () => {
    expect(judgeLoss({}, all(true), data('h1', 'h2', 'h3'), 0).state).toBe('lost');
  });

  test('what was begun is gone on with, whatever is seen', () => {
    expect(judgeLoss({ recovery }, all(false), data(), null).state).toBe('begun');
  });
});
