import { describe, expect, test } from 'vitest';
import { planCluster, refuseMissingHosts, type PlanInput } from '../../../src/reconcile/plan-cluster.js';
import { planDestroy } from '../../../src/reconcile/plan-destroy.js';
import type { Plan } from '../../../src/reconcile/step.js';
import { allSecretTexts } from '../../../src/secrets/shape.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';
import { leader, replica, wantedInput } from '../../fixtures/cluster-facts.js';
import { emptyHost } from '../../fixtures/hosts.js';

const unit = 'pgs-patroni@acme.service';
const unitFile = `/etc/systemd/system/${unit}`;

/** As if the unit's file were another one when the members' processes were started. */
function olderUnit(input: PlanInput, hosts = ['h1', 'h2', 'h3']): PlanInput {
  for (const host of hosts) hostOf(input, host).units[unit]!.loaded[unitFile] = 'of an older pgs';
  return input;
}

function hostOf({ facts }: PlanInput, name: string) {
  const host = facts.hosts[name];
  if (!host?.reachable) throw new Error(`${name} is not reachable`);
  return host;
}

function losing(input: PlanInput, host: string): PlanInput {
  input.facts.hosts[host] = { reachable: false, why: 'no route to host' };
  return input;
}

const restartOf = (host: string) => `${host}/acme/${unit}`;

/** Ids of all steps that are done before a step. */
function waitsFor({ steps }: Plan): (id: string) => Set<string> {
  const needs = new Map(steps.map((s) => [s.id, s.needs]));
  const reach = (id: string): Set<string> => new Set((needs.get(id) ?? []).flatMap((need) => [need, ...reach(need)]));
  return reach;
}

/** Ids in an order in which each step waits for all before it; fails when two could run side by side. */
function chain(plan: Plan, ids: string[]): string[] {
  const reach = waitsFor(plan);
  const ordered = [...ids].sort((a, b) => reach(a).size - reach(b).size);
  for (const [i, id] of ordered.entries()) {
    for (const earlier of ordered.slice(0, i)) expect(reach(id), `${id} waits for ${earlier}`).toContain(earlier);
  }
  return ordered;
}

test('a cluster that is as it should be needs nothing', () => {
  expect(planCluster(wantedInput())).toMatchObject({ subject: 'cluster acme', steps: [], warnings: [] });
});

test('a plan says NOT FENCED, and what that can mean, unless the watchdog is required', () => {
  const notesOf = (watchdog: 'required' | 'automatic' | 'off') =>
    planCluster(wantedInput(clusterOf(recordOf('acme', { watchdog })))).notes;
  expect(notesOf('off')).toEqual([expect.stringMatching(/^NOT FENCED \(watchdog: off\).*from 25-30 s after/)]);
  expect(notesOf('automatic')).toEqual([expect.stringMatching(/^NOT FENCED on a host without a watchdog/)]);
  expect(notesOf('required')).toEqual([]);
});

test('a key of somebody else in its place in etcd is said, and left', () => {
  const input = wantedInput();
  const plan = planCluster({ ...input, facts: { ...input.facts, foreignKeys: ['/pgs/dcs/acme/notes'] } });
  expect(plan.steps).toEqual([]);
  expect(plan.notes?.join()).toContain('/pgs/dcs/acme/notes in etcd is neither');
});

describe('limits', () => {
  const limited = () => wantedInput(clusterOf(recordOf('acme', { limits: { memory: '2GB' } })));
  const kernel = ['h1/acme/limits', 'h2/acme/limits', 'h3/acme/limits'];

  test('are asked of the kernel of every member’s host with each apply, which changes nothing', () => {
    const { steps } = planCluster(limited());
    expect(steps.map(({ id }) => id)).toEqual(kernel);
    for (const { action, done } of steps) {
      expect(action.kind).toBe('none');
      expect(done).toMatchObject({ kind: 'limits', slice: 'pgs-acme.slice', limits: { memory: '2GB' } });
    }
  });

  const files = ['h1/acme-limits/files', 'h2/acme-limits/files', 'h3/acme-limits/files'];

  test('that are new are written, and start or restart nothing', () => {
    const { steps } = planCluster({ ...limited(), facts: wantedInput().facts });
    expect(steps.map(({ id }) => id)).toEqual([...files, ...kernel, 'acme/prove']);
    for (const id of kernel) {
      expect(steps.find((s) => s.id === id)!.needs).toEqual(files);
      expect(steps.find((s) => s.id === 'acme/prove')!.needs).toContain(id);
    }
  });

  test('that are taken away go from the hosts, and nobody is asked', () => {
    const { steps } = planCluster({ ...wantedInput(), facts: limited().facts });
    expect(steps.map(({ id }) => id)).toEqual([...files, 'acme/prove']);
  });

  const memory = (size: string) => wantedInput(clusterOf(recordOf('acme', { limits: { memory: size } })));
  const restartIds = (plan: Plan) =>
    plan.steps.filter(({ action }) => action.kind === 'restart-postgres').map(({ id }) => id);

  test('of less memory come after PostgreSQL takes less: otherwise the kernel would kill it', () => {
    for (const before of [wantedInput(), memory('4GB')]) {
      const plan = planCluster({ ...memory('1GB'), facts: before.facts });
      expect(restartIds(plan)).toHaveLength(3);
      for (const id of files)
        expect(plan.steps.find((s) => s.id === id)!.needs).toEqual(expect.arrayContaining(restartIds(plan)));
    }
  });

  test('of more memory come before PostgreSQL takes more', () => {
    const plan = planCluster({ ...memory('4GB'), facts: memory('1GB').facts });
    expect(restartIds(plan)).toHaveLength(3);
    for (const restart of restartIds(plan)) expect([...waitsFor(plan)(restart)]).toEqual(expect.arrayContaining(files));
  });

  test('on a host that cannot be looked at are not asked for', () => {
    expect(planCluster(losing(limited(), 'h2')).steps.map(({ id }) => id)).toEqual([
      'h1/acme/limits',
      'h3/acme/limits',
    ]);
  });
});

describe('a new tenant', () => {
  const bare = () => {
    const input = wantedInput();
    const unreachable = { reachable: false as const, why: 'connection refused' };
    return {
      ...input,
      phase: 'creating' as const,
      facts: {
        ...input.facts,
        hosts: Object.fromEntries(Object.keys(input.facts.hosts).map((name) => [name, newHost()])),
        dcsAccess: 'absent' as const,
        dcsKeys: false,
        patroni: { members: { 'acme-1': unreachable, 'acme-2': unreachable, 'acme-3': unreachable } },
        settings: null,
        sql: null,
      },
    };
    // Everything was looked at and nothing was there.
    function newHost() {
      const wanted = hostOf(input, 'h1');
      const absent = { load: 'not-found', active: 'inactive', enabled: false, needsDaemonReload: false };
      return {
        ...emptyHost(),
        users: Object.fromEntries(Object.keys(wanted.users).map((name) => [name, { present: false as const }])),
        paths: Object.fromEntries(Object.keys(wanted.paths).map((path) => [path, { kind: 'absent' as const }])),
        units: Object.fromEntries(
          Object.keys(wanted.units).map((name) => [name, { ...absent, startedAtS: 0, loaded: {} }]),
        ),
      };
    }
  };

  test('starts all members side by side, once etcd lets them in', () => {
    const { steps } = planCluster(bare());
    for (const host of ['h1', 'h2', 'h3']) {
      expect(steps.find((s) => s.id === restartOf(host))).toMatchObject({
        action: { verb: 'start' },
        needs: ['dcs/acme/user', `${host}/acme/files`],
      });
    }
  });

  test('is routed on every host of the fleet once a leader is there, and waits for nothing else', () => {
    const routing = planCluster(bare()).steps.filter((s) => s.id.includes('acme-routing'));
    expect(new Set(routing.map((s) => s.host))).toEqual(new Set(['h1', 'h2', 'h3', 'h4']));
    for (const step of routing) {
      const others = step.needs.filter((need) => !need.startsWith(`${step.host}/acme-routing/`));
      expect(others.every((need) => need === 'acme/leader')).toBe(true);
    }
    expect(routing.some((step) => step.needs.includes('acme/leader'))).toBe(true);
  });

  test('that was made before is routed without waiting for a leader', () => {
    const routing = planCluster({ ...bare(), phase: 'ready' }).steps.filter((s) => s.id.includes('acme-routing'));
    expect(routing.flatMap((s) => s.needs)).not.toContain('acme/leader');
  });

  test('gets its steady timing after the bootstrap, is proven at the end, and only then is ready', () => {
    const plan = planCluster(bare());
    chain(plan, ['acme/leader', 'acme/sql', 'acme/settings', 'acme/prove', 'acme/ready']);
    expect(plan.steps.at(-1)!.id).toBe('acme/ready');
    expect(plan.steps.at(-2)!.needs).toEqual(plan.steps.slice(0, -2).map((s) => s.id));
  });

  test('shows no secret in what a person sees of its plan', () => {
    const input = bare();
    const secrets = allSecretTexts(input.secrets);
    expect(secrets.length).toBeGreaterThan(15);
    const shown = JSON.stringify(planCluster(input).steps.map(({ title, reason, diff }) => ({ title, reason, diff })));
    expect(secrets.filter((secret) => shown.includes(JSON.stringify(secret).slice(1, -1)))).toEqual([]);
    expect(shown).toContain('patroni.yml');
  });

  test('is refused while a host of one of its members cannot be looked at, and that host is named', () => {
    const input = losing(bare(), 'h2');
    expect(() => refuseMissingHosts(input.cluster, input.facts)).toThrowError(/h2 could not be looked at: no route/);
    const other = losing(bare(), 'h4');
    expect(() => refuseMissingHosts(other.cluster, other.facts)).not.toThrow();
  });
});

test('a new unit file of HAProxy restarts one entry after the other', () => {
  const input = wantedInput();
  const unit = '/etc/systemd/system/pgs-haproxy.service';
  for (const { name } of input.cluster.entries)
    hostOf(input, name).units['pgs-haproxy.service']!.loaded[unit] = 'older';
  const restarts = planCluster(input).steps.filter((s) => s.title === 'restart pgs-haproxy.service');
  expect(restarts.map((s) => s.needs)).toEqual([[], ...restarts.slice(0, -1).map((s) => [s.id])]);
  expect(restarts).toHaveLength(input.cluster.entries.length);
});

test('what was proven but not recorded is proven again and recorded', () => {
  const { steps } = planCluster({ ...wantedInput(), phase: 'creating' });
  expect(steps.map((s) => s.id)).toEqual(['acme/prove', 'acme/ready']);
});

test('a secret file that differs is told as changed, and neither side of it is shown', () => {
  const input = wantedInput();
  const file = hostOf(input, 'h2').paths['/etc/pgs/tenants/acme/patroni.yml']!;
  if (file.kind === 'file') file.sha256 = 'another';
  const [step] = planCluster(input).steps;
  expect(step!.diff).toEqual([
    { what: '/etc/pgs/tenants/acme/patroni.yml', before: '(hidden)', after: '(secret, changed)' },
  ]);
});

test('a setting that differs in the DCS is shown with both values', () => {
  const input = wantedInput();
  input.facts.settings = { ...input.facts.settings, loop_wait: 7, extra: true };
  const step = planCluster(input).steps.find((s) => s.id === 'acme/settings');
  expect(step!.diff).toEqual([
    { what: 'extra', before: 'true', after: '(not set)' },
    { what: 'loop_wait', before: '7', after: '5' },
  ]);
});

test.each([
  [
    'a role that is not there',
    (sql: NonNullable<PlanInput['facts']['sql']>) => delete sql.roles.app,
    /role app is not/,
  ],
  ['another password', (sql: NonNullable<PlanInput['facts']['sql']>) => (sql.roles.app = 'x'), /another password/],
  [
    'a database open to all',
    (sql: NonNullable<PlanInput['facts']['sql']>) => (sql.databases.app!.publicMayConnect = true),
    /everybody may connect/,
  ],
  [
    'a proof table of somebody else',
    (sql: NonNullable<PlanInput['facts']['sql']>) => (sql.proofOwner = 'app'),
    /proves services/,
  ],
])('%s is mended by SQL', (_what, change, reason) => {
  const input = wantedInput();
  change(input.facts.sql!);
  expect(planCluster(input).steps[0]).toMatchObject({
    id: 'acme/sql',
    reason: expect.stringMatching(reason) as string,
  });
});

describe('members that have to restart', () => {
  test('do so one at a time with all streaming in between, the leader last and after a switchover', () => {
    const plan = planCluster(olderUnit(wantedInput()));
    const disturbing = plan.steps.filter((s) => /patroni@|streaming\/|switchover/.test(s.id)).map((s) => s.id);
    expect(chain(plan, disturbing)).toEqual([
      restartOf('h2'),
      'acme/streaming/after-acme-2',
      restartOf('h3'),
      'acme/streaming/after-acme-3',
      'acme/switchover',
      'acme/streaming/after-switchover',
      restartOf('h1'),
      'acme/streaming/after-acme-1',
    ]);
    expect(plan.steps.find((s) => s.id === 'acme/switchover')).toMatchObject({
      action: { kind: 'switchover', tenant: 'acme', from: 'acme-1' },
      done: { kind: 'leader', tenant: 'acme', otherThan: 'acme-1' },
    });
    expect(plan.steps.find((s) => s.id === 'acme/streaming/after-acme-2')!.done).toMatchObject({ replicas: 2 });
  });

  test('are told from the one that leads now, whatever its number', () => {
    const input = olderUnit(wantedInput());
    input.facts.patroni.members = { 'acme-1': replica(), 'acme-2': replica(), 'acme-3': leader() };
    const plan = planCluster(input);
    const restarts = plan.steps.map((s) => s.id).filter((id) => id.includes('patroni@'));
    expect(chain(plan, restarts)).toEqual([restartOf('h1'), restartOf('h2'), restartOf('h3')]);
  });

  test('need no switchover when the leader is not among them', () => {
    const { steps } = planCluster(olderUnit(wantedInput(), ['h2', 'h3']));
    expect(steps.filter((s) => s.action.kind === 'switchover')).toEqual([]);
  });

  test('do so at once when they do not serve; those that do wait until all stream', () => {
    const input = olderUnit(wantedInput());
    input.facts.patroni.members['acme-3'] = replica({ streaming: false, state: 'start failed', role: 'other' });
    const plan = planCluster(input);
    expect(plan.steps.find((s) => s.id === restartOf('h3'))!.needs).toEqual([]);
    expect(chain(plan, [restartOf('h3'), 'acme/streaming/before-restarts', restartOf('h2'), restartOf('h1')])).toEqual([
      restartOf('h3'),
      'acme/streaming/before-restarts',
      restartOf('h2'),
      restartOf('h1'),
    ]);
  });

  test('all restart at once when nobody leads: there is nothing to keep up', () => {
    const input = olderUnit(wantedInput());
    const down = { reachable: false as const, why: 'connection refused' };
    input.facts.patroni.members = { 'acme-1': down, 'acme-2': down, 'acme-3': down };
    const { steps } = planCluster(input);
    for (const host of ['h1', 'h2', 'h3']) expect(steps.find((s) => s.id === restartOf(host))!.needs).toEqual([]);
  });

  test('restart in place when nobody is left to take over', () => {
    const record = recordOf('acme', { replicas: 1 });
    const members = record.allocation.members.slice(0, 2);
    const input = losing(
      olderUnit(wantedInput(clusterOf({ ...record, allocation: { ...record.allocation, members } })), ['h1', 'h2']),
      'h2',
    );
    input.facts.patroni.members['acme-2'] = { reachable: false, why: 'no route to host' };
    const { steps } = planCluster(input);
    expect(steps.filter((s) => s.action.kind === 'switchover')).toEqual([]);
    expect(steps.find((s) => s.id === restartOf('h1'))!.needs).toEqual([]);
  });
});

describe('a host that cannot be looked at', () => {
  test('is named in a warning and left as it is, and the others are mended and proven without it', () => {
    const input = losing(wantedInput(), 'h3');
    input.facts.patroni.members['acme-3'] = { reachable: false, why: 'no route to host' };
    hostOf(input, 'h2').units[unit]!.active = 'inactive';
    input.facts.patroni.members['acme-2'] = { reachable: false, why: 'connection refused' };
    const plan = planCluster(input);
    expect(plan.warnings).toEqual(['h3 could not be looked at and is left as it is: no route to host']);
    expect(plan.steps.filter((s) => s.host === 'h3')).toEqual([]);
    expect(plan.steps.find((s) => s.id === 'acme/streaming/all')!.done).toMatchObject({ replicas: 1 });
    expect(plan.steps.find((s) => s.id === 'acme/prove')!.done).toMatchObject({ leaveOut: ['h3'] });
  });

  test('alone is nothing to wait for', () => {
    const input = losing(wantedInput(), 'h3');
    input.facts.patroni.members['acme-3'] = { reachable: false, why: 'no route to host' };
    expect(planCluster(input).steps).toEqual([]);
  });

  test('counts when its member streams all the same', () => {
    const input = olderUnit(losing(wantedInput(), 'h3'), ['h2']);
    const wait = planCluster(input).steps.find((s) => s.id === 'acme/streaming/after-acme-2');
    expect(wait!.done).toMatchObject({ replicas: 2 });
  });
});

describe('a destroy', () => {
  const plan = (purgeData: boolean, change: (input: PlanInput) => void = () => undefined) => {
    const input = wantedInput();
    change(input);
    return planDestroy({ cluster: input.cluster, facts: input.facts, purgeData });
  };
  const resources = (steps: Plan['steps']) =>
    steps.flatMap((s) => (s.action.kind === 'resources' ? s.action.resources : []));

  test('turns clients away, then stops members, then forgets: each after the other', () => {
    const order = chain(plan(true), [
      'h4/acme-routing/reload',
      restartOf('h1'),
      'h1/acme/files',
      'dcs/acme/gone',
      'acme/forgotten',
    ]);
    expect(order).toEqual([
      'h4/acme-routing/reload',
      restartOf('h1'),
      'h1/acme/files',
      'dcs/acme/gone',
      'acme/forgotten',
    ]);
  });

  test('touches neither data nor its owner unless it purges', () => {
    expect(resources(plan(false).steps).filter((r) => r.kind === 'absent' && r.destructive)).toEqual([]);
    expect(JSON.stringify(resources(plan(false).steps))).not.toContain('/var/lib/pgs/acme');
    expect(plan(false).steps.filter((s) => s.destructive)).toEqual([]);
    expect(plan(false).steps.at(-1)!.action).toMatchObject({ kind: 'record-retire', keepsData: true });
    expect(JSON.stringify(resources(plan(true).steps))).toContain('"/var/lib/pgs/acme"');
    expect(
      plan(true)
        .steps.filter((s) => s.destructive)
        .map((s) => s.host),
    ).toEqual(['h1', 'h2', 'h3']);
  });

  test.each(['h1', 'h4'])('is refused while %s cannot be looked at', (host) => {
    expect(() => plan(false, (input) => void losing(input, host))).toThrowError(
      expect.objectContaining({ code: 'endangers' }) as Error,
    );
  });

  test.each(['wrong', 'right'] as const)('removes a login of etcd that is %s, even if no key is left', (dcsAccess) => {
    const { steps } = plan(false, ({ facts }) => Object.assign(facts, { dcsAccess, dcsKeys: false }));
    expect(steps.map((s) => s.id)).toContain('dcs/acme/gone');
  });
});
