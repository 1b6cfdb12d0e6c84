// In which order members restart, and what a plan says before.

import { describe, expect, test } from 'vitest';
import { planCluster, type PlanInput } from '../../../src/reconcile/plan-cluster.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';
import { leader, replica, wantedInput } from '../../fixtures/cluster-facts.js';

/** The members run with what they had before the spec changed. */
function withSettings(settings: Record<string, string | number>, change: (input: PlanInput) => void = () => undefined) {
  const input = wantedInput(clusterOf(recordOf('acme', { settings })));
  const before = wantedInput();
  input.facts.parameters = before.facts.parameters;
  input.facts.settings = before.facts.settings;
  change(input);
  return planCluster(input).steps;
}

const restarts = (steps: ReturnType<typeof withSettings>) =>
  steps.flatMap(({ action }) => {
    if (action.kind === 'restart-postgres') return [`${action.member} ${action.how}`];
    return action.kind === 'switchover' ? [`switchover from ${action.from}`] : [];
  });

test('a parameter that a reload is enough for needs no restart, and is seen in force', () => {
  const steps = withSettings({ work_mem: '9MB' });
  expect(restarts(steps)).toEqual([]);
  expect(steps.map((s) => s.id)).toEqual([
    'acme/settings',
    'acme/parameters/taken',
    'acme/parameters/in-force',
    'acme/prove',
  ]);
});

describe('restarts for a parameter', () => {
  test('come after the members have taken it, one at a time, and are said with the reason', () => {
    const steps = withSettings({ shared_buffers: '1GB' });
    expect(restarts(steps)).toEqual([
      'acme-2 as replica',
      'acme-3 as replica',
      'switchover from acme-1',
      'acme-1 as replica',
    ]);
    const first = steps.find((s) => s.id === 'acme/restart/acme-2')!;
    expect(first.needs).toContain('acme/parameters/taken');
    expect(first.reason).toBe('shared_buffers is 512MB and becomes 1GB');
    expect(steps.find((s) => s.id === 'acme/restart/acme-3')!.needs).toEqual(['acme/streaming/after-acme-2']);
    expect(steps.find((s) => s.id === 'acme/streaming/after-acme-2')!.done).toMatchObject({
      replicas: 2,
      covered: true,
      lagBytesMax: 16 * 1024 * 1024,
    });
  });

  test('that goes down begin with the leader, in place', () => {
    expect(restarts(withSettings({ max_connections: 60 }))).toEqual([
      'acme-1 in place',
      'acme-2 as replica',
      'acme-3 as replica',
    ]);
  });

  test('of which one goes up and one goes down: up on the replicas first, down on them last', () => {
    expect(restarts(withSettings({ max_connections: 60, max_worker_processes: 20 }))).toEqual([
      'acme-2 as replica',
      'acme-3 as replica',
      'acme-1 in place',
      'acme-2 as replica',
      'acme-3 as replica',
    ]);
  });

  test('that goes up and one that goes down, beside a changed unit: everybody runs by it in the end, the old leader last', () => {
    const steps = withSettings({ max_connections: 60, max_worker_processes: 20 }, ({ facts }) => {
      for (const host of Object.values(facts.hosts)) {
        const unit = host.reachable ? host.units['pgs-patroni@acme.service'] : undefined;
        if (unit) unit.loaded['/etc/systemd/system/pgs-patroni@acme.service'] = 'of an older pgs';
      }
    });
    const whole = steps.filter(({ action }) => action.kind === 'unit' && action.verb === 'restart').map((s) => s.host);
    expect(whole).toEqual(['h2', 'h3', 'h1']);
    expect(restarts(steps)).toEqual([
      'acme-1 in place',
      'acme-2 as replica',
      'acme-3 as replica',
      'switchover from acme-1',
    ]);
    expect(new Set(steps.map((s) => s.id)).size).toBe(steps.length);
  });

  test('are only of those who have not restarted yet', () => {
    const steps = withSettings({ shared_buffers: '1GB' }, ({ cluster, facts }) => {
      facts.settings = wantedInput(cluster).facts.settings;
      facts.parameters['acme-2'] = wantedInput(cluster).facts.parameters['acme-2']!;
    });
    expect(restarts(steps)).toEqual(['acme-3 as replica', 'switchover from acme-1', 'acme-1 as replica']);
  });

  test('leave out a member that could not be asked', () => {
    const steps = withSettings({ shared_buffers: '1GB' }, ({ facts }) => {
      facts.hosts.h3 = { reachable: false, why: 'no route to host' };
      facts.patroni.members['acme-3'] = { reachable: false, why: 'no route to host' };
      facts.parameters['acme-3'] = null;
    });
    expect(restarts(steps)).toEqual(['acme-2 as replica', 'switchover from acme-1', 'acme-1 as replica']);
    expect(steps.find((s) => s.id === 'acme/parameters/in-force')!.done).toMatchObject({ leaveOut: ['h3'] });
  });
});

test('poolers open more connections only when every member takes them', () => {
  const ini = '/etc/pgs/tenants/acme/pgbouncer-primary.ini';
  const steps = withSettings({ max_connections: 300 }, ({ facts }) => {
    const h1 = facts.hosts.h1!;
    if (h1.reachable) h1.units['pgs-pgbouncer@acme.service']!.loaded[ini] = 'before';
  });
  const reload = steps.find((s) => s.id === 'h1/acme/pgs-pgbouncer@acme.service')!;
  expect(reload.action).toMatchObject({ verb: 'reload' });
  expect(reload.needs).toContain('acme/parameters/in-force');
});

describe('what was asked for once', () => {
  const since = '2026-11-21T10:00:00.000Z';
  const then = leader().postmasterStartedAt!;
  const restart = (members: Record<string, string>) => ({ kind: 'restart', since, members }) as const;

  test('is done by whoever has not restarted since, and then forgotten', () => {
    const job = restart({ 'acme-1': then, 'acme-2': 'before that', 'acme-3': then });
    const { steps } = planCluster({ ...wantedInput(), job });
    expect(restarts(steps)).toEqual(['acme-3 as replica', 'switchover from acme-1', 'acme-1 as replica']);
    expect(steps.find((s) => s.id === 'acme/job-done')!.needs).toContain('acme/streaming/after-acme-1');
  });

  test('is kept, and said, while a member of it does not answer', () => {
    const input = wantedInput();
    input.facts.patroni.members['acme-3'] = { reachable: false, why: 'no answer' };
    const plan = planCluster({ ...input, job: restart({ 'acme-3': then }) });
    expect(plan.warnings).toContain('acme-3 does not answer; the restart of it is left for `pgs apply acme`');
    expect(plan.steps.map((s) => s.id)).not.toContain('acme/job-done');
  });

  test('a reinit throws data away only of the member as it was then', () => {
    const job = { kind: 'reinit', since, member: 'acme-2', startedAt: then } as const;
    const step = planCluster({ ...wantedInput(), job }).steps[0]!;
    expect(step).toMatchObject({ host: 'h2', destructive: true, action: { kind: 'reinit', member: 'acme-2' } });
    const input = wantedInput();
    input.facts.patroni.members['acme-2'] = replica({ postmasterStartedAt: 'later' });
    expect(planCluster({ ...input, job }).steps.map((s) => s.id)).toEqual(['acme/job-done', 'acme/prove']);
  });
});

test('a change to RPO 0 tells the members first, and waits then until commits wait for a standby', () => {
  const input = wantedInput();
  const loose = wantedInput(clusterOf(recordOf('acme', { rpoBytes: 1048576 })));
  input.facts.settings = loose.facts.settings;
  const asynchronous = replica({ synchronous: false });
  input.facts.patroni.members = { 'acme-1': leader(), 'acme-2': asynchronous, 'acme-3': asynchronous };
  const { steps } = planCluster(input);
  expect(steps[0]!.id).toBe('acme/settings');
  expect(steps[1]).toMatchObject({
    id: 'acme/streaming/synchronous',
    needs: ['acme/settings'],
    done: { covered: true },
  });
});

describe('a preset', () => {
  const from = (before: 'fast' | 'wide') => {
    const record = recordOf('acme', { rto: 'norm', watchdog: 'required' });
    const input = wantedInput(clusterOf(record));
    const other = wantedInput(clusterOf(recordOf('acme', { rto: before, watchdog: 'required' })));
    return planCluster({ ...input, facts: other.facts }).steps;
  };
  const files = (steps: ReturnType<typeof from>) => steps.filter((s) => s.id.endsWith('/acme/files'));

  test('with a longer ttl: the members know it before their margin grows, or their watchdogs would fire', () => {
    const steps = from('fast');
    expect(steps.find((s) => s.id === 'acme/ttl-known')!.needs).toEqual(['acme/settings']);
    expect(files(steps)).toHaveLength(3);
    for (const step of files(steps)) expect(step.needs).toContain('acme/ttl-known');
  });

  test('with a shorter one: their files change first', () => {
    const steps = from('wide');
    expect(files(steps)).toHaveLength(3);
    for (const step of files(steps)) expect(step.needs).not.toContain('acme/settings');
    expect(steps.find((s) => s.id === 'acme/settings')!.needs).toContain('acme/leader');
    expect(steps.map((s) => s.id)).not.toContain('acme/ttl-known');
  });
});

test('a pause is left as it is', () => {
  const input = wantedInput();
  input.facts.settings = { ...input.facts.settings, pause: true };
  expect(planCluster(input).steps).toEqual([]);
});

describe('a tenant that is not to run', () => {
  const stopping = () => planCluster({ ...wantedInput(), phase: 'stopped' }).steps;

  test('turns clients away, then stops the poolers, the replicas, and the leader last', () => {
    const steps = stopping();
    const needs = (id: string) => steps.find((s) => s.id === id)!.needs;
    const patroni = (host: string) => `${host}/acme/pgs-patroni@acme.service`;
    expect(needs('acme/end-sessions')).toContain('h4/acme-routing/pgs-haproxy.service');
    expect(needs('h1/acme/pgs-pgbouncer@acme.service')).toContain('acme/end-sessions');
    expect(needs(patroni('h2'))).toContain('h1/acme/pgs-pgbouncer@acme.service');
    expect(needs(patroni('h1'))).toEqual(expect.arrayContaining([patroni('h2'), patroni('h3')]));
    expect(steps.at(-1)!.done).toMatchObject({ kind: 'stopped' });
  });

  test('keeps its files and data, and takes no shared unit along', () => {
    const steps = stopping();
    expect(steps.filter((s) => s.destructive)).toEqual([]);
    const stopped = steps.flatMap(({ action }) =>
      action.kind === 'unit' && action.verb === 'stop' ? [action.unit] : [],
    );
    expect(new Set(stopped)).toEqual(
      new Set(['pgs-patroni@acme.service', 'pgs-pgbouncer@acme.service', 'pgs-pgbouncer-replica@acme.service']),
    );
    expect(JSON.stringify(steps)).not.toContain('/var/lib/pgs/acme/data');
    // The front door says that it is stopped.
    const said = steps
      .find((s) => s.id === 'h4/acme-routing/files')!
      .diff.find((d) => d.what.includes('door-acme.cfg'));
    expect(`${said?.before} ${said?.after}`).toContain('Tenant acme at the front door, stopped.');
  });
});
