import { describe, expect, it } from 'vitest';
import { desiredEtcd } from '../../../src/etcd/desired.js';
import type { MemberStatus } from '../../../src/etcd/facts.js';
import { planDcs, type DcsFacts } from '../../../src/etcd/plan.js';
import type { HostFacts, ReachableHost } from '../../../src/host/facts.js';
import type { Step } from '../../../src/reconcile/step.js';
import { externalEtcd, fakeFleetSecrets } from '../../fixtures/fleet-secrets.js';
import { inventory } from '../../fixtures/fleet.js';
import { hostWith, hostWithout } from '../../fixtures/hosts.js';
import { answering } from '../../fixtures/memory-dcs.js';

const secrets = fakeFleetSecrets();
const names = ['h1', 'h2', 'h3'];
const config = '/etc/pgs/etcd/etcd.conf.yml';
const host = (name: string) => inventory.hosts.find((h) => h.name === name)!;
const up = (n: number, leader = 1): MemberStatus => ({
  ...answering(`h${n}`, 'x', n - 1),
  leaderId: String(99 + leader),
});
const down = (n: number): MemberStatus => ({ answers: false, name: `h${n}`, endpoint: 'x', why: 'refused' });

const bare = () => hostWithout(desiredEtcd(inventory, secrets, host('h1')));
const made = (name: string) => hostWith(desiredEtcd(inventory, secrets, host(name)));

const facts = (hosts: HostFacts[], change: Partial<DcsFacts> = {}): DcsFacts => ({
  hosts: Object.fromEntries(names.map((name, i) => [name, hosts[i]!])),
  members: [up(1), up(2), up(3)],
  authentication: 'on',
  memberNames: names,
  ...change,
});
const nothing: Partial<DcsFacts> = {
  members: [down(1), down(2), down(3)],
  authentication: 'unknown',
  memberNames: null,
};
const all = () => names.map(made);
const plan = (f: DcsFacts) => planDcs(inventory, secrets, f).steps;
const ids = (steps: Step[]) => steps.map((s) => s.id);
const etcdSteps = (steps: Step[]) =>
  steps.filter((s) => s.action.kind === 'unit' && s.action.unit === 'pgs-etcd.service');

/** Everything that must be done before a step. */
function before(steps: Step[], step: Step): Set<string> {
  const found = new Set<string>();
  const visit = (id: string) => {
    if (found.has(id)) return;
    found.add(id);
    steps.find((s) => s.id === id)!.needs.forEach(visit);
  };
  step.needs.forEach(visit);
  return found;
}

/** The running process has an older configuration. */
function outdated(name: string): ReachableHost {
  const found = made(name);
  found.units['pgs-etcd.service']!.loaded[config] = 'older';
  return found;
}

describe('planDcs', () => {
  it('is empty when everything is as it should be', () => {
    expect(plan(facts(all()))).toEqual([]);
  });

  it('starts all members of a new cluster at once: one alone would wait for ever', () => {
    const steps = plan(facts([bare(), bare(), bare()], nothing));
    const starts = etcdSteps(steps);
    expect(starts.map((s) => s.action)).toEqual(
      names.map(() => ({ kind: 'unit', unit: 'pgs-etcd.service', verb: 'start' })),
    );
    for (const start of starts) {
      const earlier = before(steps, start);
      expect(starts.filter((other) => earlier.has(other.id))).toEqual([]);
      expect([...earlier].every((id) => id.startsWith(`${start.host}/`))).toBe(true);
    }
  });

  it('turns authentication on last, when all members are well', () => {
    const steps = plan(facts([bare(), bare(), bare()], nothing));
    const last = steps.at(-1)!;
    expect(last.action).toEqual({ kind: 'dcs-auth-enable' });
    const healthy = steps.find((s) => s.done.kind === 'dcs-healthy')!;
    expect(before(steps, last)).toContain(healthy.id);
    for (const start of etcdSteps(steps)) expect(before(steps, healthy)).toContain(start.id);
  });

  it('turns authentication on where only that is left', () => {
    expect(ids(plan(facts(all(), { authentication: 'off' })))).toEqual(['dcs/authentication']);
  });

  it('restarts one member at a time, each when all are well again, the leader last', () => {
    for (const leader of [1, 2, 3]) {
      const steps = plan(facts(names.map(outdated), { members: [up(1, leader), up(2, leader), up(3, leader)] }));
      const restarts = etcdSteps(steps);
      expect(restarts).toHaveLength(3);
      expect(restarts.at(-1)!.host).toBe(`h${leader}`);
      restarts.forEach((restart, i) => {
        const earlier = before(steps, restart);
        const previous = restarts[i - 1];
        if (!previous) return;
        expect(earlier).toContain(previous.id);
        expect(earlier).toContain(`dcs/healthy-after-${previous.host}`);
      });
    }
  });

  it('starts what is down and waits for it before it restarts another member', () => {
    const stopped = made('h3');
    stopped.units['pgs-etcd.service'] = { ...stopped.units['pgs-etcd.service']!, active: 'failed' };
    const steps = plan(facts([outdated('h1'), made('h2'), stopped], { members: [up(1), up(2), down(3)] }));
    const restart = etcdSteps(steps).find((s) => s.host === 'h1')!;
    expect(before(steps, restart)).toContain('h3/etcd/pgs-etcd.service');
    expect(before(steps, restart)).toContain('dcs/healthy');
  });

  it('does not restart a member while another one is silent', () => {
    const steps = plan(facts([outdated('h1'), made('h2'), made('h3')], { members: [up(1), up(2), down(3)] }));
    expect(before(steps, etcdSteps(steps)[0]!)).toContain('dcs/healthy');
  });

  it('says of a host that could not be looked at only that', () => {
    const steps = plan(facts([made('h1'), made('h2'), { reachable: false, why: 'no route' }]));
    expect(steps.map((s) => [s.host, s.action.kind])).toEqual([['h3', 'none']]);
  });

  it('refuses to change the members of a running etcd by files alone', () => {
    for (const memberNames of [
      ['h1', 'h2'],
      ['h1', 'h2', 'h9'],
      ['h1', 'h2', 'h3', 'h4'],
    ]) {
      expect(() => plan(facts(all(), { memberNames }))).toThrow(expect.objectContaining({ code: 'endangers' }));
    }
  });

  it('refuses to make an external etcd', () => {
    expect(() => planDcs({ ...inventory, etcd: externalEtcd }, secrets, facts(all()))).toThrow(
      expect.objectContaining({ code: 'usage' }),
    );
  });

  it('shows no secret', () => {
    const shown = plan(facts([bare(), bare(), bare()], nothing)).map((step) => ({ ...step, action: null }));
    const text = JSON.stringify(shown);
    expect(text).not.toMatch(/fake key|fakepassword/);
  });

  it('warns of alarms', () => {
    const members = [1, 2, 3].map((n) => ({
      ...answering(`h${n}`, 'x', n - 1),
      alarms: [{ memberId: '100', kind: 'NOSPACE' }],
    }));
    expect(planDcs(inventory, secrets, facts(all(), { members })).warnings).toEqual([
      'etcd is full (alarm NOSPACE) and takes no writes: see `pgs dcs status`',
    ]);
  });
});
