// Each guardrail refuses when it has to, and a cluster that is well is let through.

import { describe, expect, it } from 'vitest';
import { severityRefusals } from '../../../chaos/preflight.js';
import { guarded } from '../../../src/daemon/perform.js';
import { guardrails, lagMaxBytes, type GuardFacts } from '../../../src/daemon/guardrails.js';
import { parseBackupTime } from '../../../src/daemon/live-world.js';
import { hostsHere, refuseOwnHost } from '../../../src/daemon/own-host.js';
import { judgeCluster, type ClusterStatus } from '../../../src/reconcile/status.js';
import { clusterOf, inventory, recordOf } from '../../fixtures/fleet.js';
import { leader, replica } from '../../fixtures/cluster-facts.js';
import { scenarioOf } from '../chaos/history-builder.js';

const well = judgeCluster({
  cluster: clusterOf(),
  phase: 'ready',
  patroni: { members: { 'acme-1': leader(), 'acme-2': replica(), 'acme-3': replica() } },
  routes: {},
  plan: { subject: 'cluster acme', steps: [], warnings: [] },
  warnings: [],
});
const { spec } = recordOf('acme', { watchdog: 'off' });

function facts(change: Partial<GuardFacts> = {}, status: Partial<ClusterStatus> = {}): GuardFacts {
  return {
    status: { ...well, ...status },
    spec,
    quorum: { state: 'healthy', seen: '3 of 3 answer' },
    incident: null,
    changing: null,
    backup: null,
    ...change,
  };
}

const fenced = (verdict: 'fenced' | 'not fenced' | 'unknown') => ({ fencing: { ...well.fencing, verdict } });
const members = (change: Partial<ClusterStatus['members'][number]>) => ({
  members: well.members.map((m, i) => (i === 1 ? { ...m, ...change } : m)),
});

describe('before a drill', () => {
  it('a cluster that is well is let through', () => {
    expect(guardrails(facts(), 'drill')).toEqual([]);
  });

  it.each<[string, RegExp, GuardFacts]>([
    ['is paused', /paused/, facts({}, { paused: true })],
    ['is not made yet', /creating/, facts({}, { phase: 'creating' })],
    ['has no leader', /no member leads/, facts({}, { leader: null, healthy: false })],
    ['lacks a replica', /1 of 2 replicas stream/, facts({}, members({ state: 'starting' }))],
    ['has two timelines', /not healthy/, facts({}, { healthy: false })],
    ['has one copy only', /suspended/, facts({}, { rpo: { ...well.rpo, verdict: 'suspended' } })],
    ['lags', /acme-2 is 16777217 bytes behind/, facts({}, members({ lagBytes: lagMaxBytes + 1 }))],
    ['has a degraded etcd', /etcd is degraded/, facts({ quorum: { state: 'degraded', seen: '2 of 3' } as never })],
    [
      'has no watchdog that its spec requires',
      /requires a watchdog/,
      facts({ spec: { ...spec, watchdog: 'required' } }, fenced('not fenced')),
    ],
    [
      'has a watchdog nobody can see',
      /requires a watchdog/,
      facts({ spec: { ...spec, watchdog: 'required' } }, fenced('unknown')),
    ],
    ['is in an incident', /rack 2/, facts({ incident: { why: 'rack 2', by: 'ada', since: 'today' } })],
    ['has an old backup', /older than 26 h/, facts({ backup: { maxAgeMs: 26 * 3_600_000, ageMs: 27 * 3_600_000 } })],
    ['has a backup nobody knows of', /could not be learned/, facts({ backup: { maxAgeMs: 1, ageMs: null } })],
  ])('one that %s is not broken further', (_what, why, found) => {
    const refusals = guardrails(found, 'drill');
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toMatchObject({ passing: false, why: expect.stringMatching(why) as string });
  });

  it('a tenant that somebody changes is waited for', () => {
    expect(guardrails(facts({ changing: 'ada on desk with pgs apply' }), 'drill')).toEqual([
      { why: 'somebody changes acme: ada on desk with pgs apply', passing: true },
    ]);
  });

  it('a watchdog is asked for only where the spec requires it, a backup only where it is configured', () => {
    expect(guardrails(facts({ spec: { ...spec, watchdog: 'automatic' } }, fenced('not fenced')), 'drill')).toEqual([]);
    expect(guardrails(facts({ spec: { ...spec, watchdog: 'required' } }, fenced('fenced')), 'drill')).toEqual([]);
    expect(guardrails(facts({ backup: { maxAgeMs: 10, ageMs: 10 } }), 'drill')).toEqual([]);
  });

  it('a timed switchover is no drill: its own preflight looks at the members, and no backup is needed', () => {
    const worn = facts({ backup: { maxAgeMs: 1, ageMs: null } }, members({ state: 'starting' }));
    expect(guardrails(worn, 'switchover')).toEqual([]);
    expect(guardrails(facts({}, { paused: true }), 'switchover')).toHaveLength(1);
  });
});

describe('what a tenant takes', () => {
  const production = { production: true, sandbox: true };
  const sandbox = { production: false, sandbox: true };
  const fleet = { production: false, sandbox: false };
  it.each([
    ['safe', production, [], true],
    ['disruptive', production, [], false],
    ['disruptive', production, ['disruptive'], true],
    ['destructive', production, ['disruptive', 'destructive'], false],
    ['disruptive', sandbox, [], true],
    ['destructive', sandbox, [], true],
    ['safe', fleet, [], true],
    ['disruptive', fleet, [], false],
    ['disruptive', fleet, ['disruptive'], true],
    ['destructive', fleet, ['destructive'], false],
  ] as const)('%s scenarios where %j and %j was agreed to: %s', (severity, where, accepted, allowed) => {
    expect(severityRefusals({ severity }, { ...where, accepted: [...accepted] }).length === 0).toBe(allowed);
  });
});

describe('during a drill', () => {
  it('a scenario is aborted at the limit of the schedule, and when a second member fails, never later than it says itself', () => {
    const withAbort = (outageMs: number, lost: number) => ({
      ...scenarioOf(),
      abort: { 'write-outage': outageMs, 'members-lost': lost },
    });
    expect(guarded(withAbort(120_000, 16), 60_000).abort).toEqual({ 'write-outage': 60_000, 'members-lost': 1 });
    expect(guarded(withAbort(10_000, 1), 60_000).abort).toEqual({ 'write-outage': 10_000, 'members-lost': 1 });
  });
});

describe('when the last backup was', () => {
  it.each([
    ['2026-11-21T10:00:00Z\n', Date.UTC(2026, 10, 21, 10)],
    ['1795255200', 1_795_255_200_000],
    ['', null],
    ['yesterday', null],
    ['42', null],
  ])('%j', (text, wanted) => expect(parseBackupTime(text)).toBe(wanted));
});

describe('the machine of the daemon', () => {
  it('is none that its drills break, however its address is written', () => {
    expect(hostsHere(inventory, ['127.0.0.1', '192.168.1.5'])).toEqual([]);
    expect(hostsHere(inventory, ['127.0.0.1', '10.0.0.2'])).toEqual(['h2']);
    const six = { hosts: [{ name: 'h9', address: '2001:db8:0:0::9', zone: 'z' }] };
    expect(hostsHere(six, ['2001:db8::9'])).toEqual(['h9']);
    expect(() => refuseOwnHost(inventory, ['10.0.0.3'])).toThrow(expect.objectContaining({ code: 'endangers' }));
  });
});
