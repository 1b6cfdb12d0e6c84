// Decisions about members that come and go: who leaves, what is refused, and in what order.

import { describe, expect, test } from 'vitest';
import { planCluster, type ClusterFacts } from '../../../src/reconcile/plan-cluster.js';
import { planMove } from '../../../src/reconcile/plan-moves.js';
import { chooseLeaving, decideReplace, decideScale } from '../../../src/reconcile/scale.js';
import { withJoining, withLeaving, withLogin } from '../../../src/topology/membership.js';
import type { Allocation, TenantRecord } from '../../../src/topology/tenant.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';
import { leader, replica, wantedInput } from '../../fixtures/cluster-facts.js';

const record = recordOf();
const withAllocation = (allocation: Allocation): TenantRecord => ({ ...record, allocation });
const factsOf = (of: TenantRecord, change: Partial<ClusterFacts> = {}) => ({
  ...wantedInput(clusterOf(of)).facts,
  ...change,
});
const silent = { reachable: false as const, why: 'no answer' };
const kinds = (of: TenantRecord, facts: ClusterFacts) => planMove(clusterOf(of), facts).map((s) => s.action.kind);
const nowhere = () => Promise.reject(new Error('nobody is to be placed'));

describe('who leaves', () => {
  const choose = (members: ClusterFacts['patroni']['members'], count = 1) =>
    chooseLeaving(clusterOf(), factsOf(record, { patroni: { members } }), count, 'scaling').map((m) => m.name);

  test('is never the leader, and the last one where all else is equal', () => {
    expect(choose({ 'acme-1': leader(), 'acme-2': replica(), 'acme-3': replica() })).toEqual(['acme-3']);
    expect(choose({ 'acme-1': replica(), 'acme-2': replica(), 'acme-3': leader() }, 2)).toEqual(['acme-2', 'acme-1']);
  });

  test('is rather one that does not follow, or that no commit waits for', () => {
    expect(choose({ 'acme-1': leader(), 'acme-2': silent, 'acme-3': replica() })).toEqual(['acme-2']);
    expect(choose({ 'acme-1': leader(), 'acme-2': replica({ synchronous: false }), 'acme-3': replica() })).toEqual([
      'acme-2',
    ]);
  });

  test('is nobody while one that stays does not follow', () => {
    expect(() => choose({ 'acme-1': leader(), 'acme-2': silent, 'acme-3': silent })).toThrow(/acme-2 does not stream/);
  });

  test('is nobody that runs where ssh does not reach', () => {
    const facts = factsOf(record);
    facts.hosts.h3 = silent;
    expect(() => chooseLeaving(clusterOf(), facts, 1, 'scaling')).toThrow(/could not be stopped/);
  });
});

describe('a number of replicas', () => {
  const scale = (change: { replicas: number }, of = record, facts = factsOf(of)) =>
    decideScale(of, clusterOf(of), facts, { kind: 'scale', hosts: null, data: 'keep', ...change }, nowhere);

  test('that is there already changes nothing', async () => {
    expect(await scale({ replicas: 2 })).toEqual(record);
  });

  test('that is being reached is not changed meanwhile', async () => {
    const joining = withAllocation(withJoining('acme', record.allocation, ['h4'], { replaces: null, data: 'keep' }));
    await expect(scale({ replicas: 1 }, joining)).rejects.toMatchObject({ code: 'endangers' });
  });

  test('may be reached while a host that is lost is waited for', async () => {
    const left = withLeaving(record.allocation, [{ name: 'acme-3', host: 'h3', data: 'keep', login: 'changed' }]);
    const after = await scale({ replicas: 0 }, { ...withAllocation(left), spec: { ...record.spec, replicas: 1 } });
    expect(after.allocation.members.map((m) => m.name)).toEqual(['acme-1']);
  });
});

describe('a replacement', () => {
  const request = { kind: 'replace' as const, to: null, data: 'keep' as const };
  const decide = (member: string, of = record, to: string | null = null) =>
    decideReplace(of, clusterOf(of), factsOf(of), { ...request, member, to }, () => Promise.resolve(['h4']));
  const begun = withAllocation(withJoining('acme', record.allocation, ['h4'], { replaces: 'acme-2', data: 'keep' }));

  test('adds the new one, and lets nobody go yet', async () => {
    const { allocation } = await decide('acme-2');
    expect(allocation.members.map((m) => m.name)).toEqual(['acme-1', 'acme-2', 'acme-3', 'acme-4']);
    expect(allocation.leaving).toBeUndefined();
  });

  test('that was begun, or is done, is not decided again; to another host it is refused', async () => {
    expect(await decide('acme-2', begun)).toBe(begun);
    await expect(decide('acme-2', begun, 'h1')).rejects.toMatchObject({ code: 'usage' });
    const done = withAllocation(withLeaving(record.allocation, [{ name: 'acme-2', host: 'h2', data: 'keep' }]));
    expect(await decide('acme-2', done)).toBe(done);
  });

  test('lets the old one go once the new one follows, by a switchover when it leads', () => {
    const follows = (name: string) =>
      factsOf(begun, {
        patroni: {
          members: Object.fromEntries(
            begun.allocation.members.map((m) => [m.name, m.name === name ? leader() : replica()]),
          ),
        },
      });
    expect(kinds(begun, follows('acme-1'))).toEqual(['record-members']);
    expect(kinds(begun, follows('acme-2'))).toEqual(['switchover', 'record-members']);
    const late = follows('acme-1');
    late.patroni.members['acme-4'] = replica({ streaming: false });
    expect(kinds(begun, late)).toEqual([]);
    const short = follows('acme-1');
    short.patroni.members['acme-3'] = silent;
    expect(kinds(begun, short)).toEqual([]);
  });

  test('of one whose host is lost: a new login, given out before etcd knows it', () => {
    const lost = withLeaving(record.allocation, [{ name: 'acme-2', host: 'h2', data: 'keep' }]);
    const hosts = { ...factsOf(record).hosts, h2: silent };
    const at = (login: 'works' | 'changing' | 'changed' | undefined) =>
      withAllocation(withLogin(lost, ['acme-2'], login));
    expect(kinds(at(undefined), factsOf(at(undefined), { hosts }))).toEqual(['record-members']);
    expect(kinds(at('works'), factsOf(at('works'), { hosts }))).toEqual(['new-etcd-password']);
    expect(kinds(at('works'), factsOf(at('works'), { hosts: { ...hosts, h3: silent } }))).toEqual([]);
    expect(kinds(at('changed'), factsOf(at('changed'), { hosts }))).toEqual([]);
    const plan = planCluster({ ...wantedInput(clusterOf(at('changing'))), facts: factsOf(at('changing'), { hosts }) });
    const change = plan.steps.find((s) => s.id === 'dcs/acme/login')!;
    expect(change.needs).toEqual(plan.steps.filter((s) => /^h[13]\/acme\//.test(s.id)).map((s) => s.id));
  });
});

describe('a plan with a member that leaves', () => {
  test('takes it out of every entry before it stops, and forgets it last', () => {
    const leaving = withAllocation(withLeaving(record.allocation, [{ name: 'acme-3', host: 'h3', data: 'keep' }]));
    const input = { ...wantedInput(clusterOf(leaving)), facts: wantedInput(clusterOf(record)).facts };
    const { steps } = planCluster(input);
    const at = (id: string) => steps.findIndex((s) => s.id === id);
    const stop = steps.find((s) => s.id === 'h3/acme/pgs-patroni@acme.service')!;
    for (const entry of ['h1', 'h2', 'h3', 'h4']) {
      expect(stop.needs).toContain(`${entry}/acme-routing/pgs-haproxy.service`);
    }
    expect(at('acme/gone/acme-3')).toBeGreaterThan(at('h3/acme/files'));
    expect(steps.filter((s) => s.destructive)).toEqual([]);
  });

  test('keeps letting it in until it is gone, and not one whose host is lost', () => {
    const hba = (login?: 'works') => {
      const one = { name: 'acme-3', host: 'h3', data: 'keep' as const, ...(login ? { login } : {}) };
      const of = withAllocation(withLeaving(record.allocation, [one]));
      const { steps } = planCluster({ ...wantedInput(clusterOf(of)), facts: wantedInput(clusterOf(record)).facts });
      return steps.some((s) => s.id === 'h1/acme/files' && s.diff.some((d) => d.what.includes('patroni.yml')));
    };
    expect(hba()).toBe(false);
    expect(hba('works')).toBe(true);
  });
});
