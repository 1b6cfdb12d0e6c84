// Each thing that can be wrong, planted in the facts of a fleet in which nothing is: its finding is there, says where, shows what it was
// seen by, and names a command. And of the fleet in which nothing is wrong: nothing.

import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { commands } from '../../../src/cli/commands/index.js';
import { checks, describeChecks, examine } from '../../../src/doctor/checks.js';
import type { DoctorFacts, Finding, TenantFacts } from '../../../src/doctor/finding.js';
import { foreignKeys } from '../../../src/doctor/foreign-keys.js';
import type { HostLook, MemberLook, MemberSql } from '../../../src/doctor/host-facts.js';
import { describeReport, exitCodeOf, reportOf } from '../../../src/doctor/report.js';
import { blankStep } from '../../../src/reconcile/step.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';
import { leader, replica } from '../../fixtures/cluster-facts.js';
import { healthyFleet, healthyMember, runningUnit, tenantWith } from './healthy.js';

type Plant = (facts: DoctorFacts) => void;

const hostOf = (facts: DoctorFacts, name: string) => facts.hosts[name] as { reachable: true } & HostLook;
const onHost =
  (name: string, change: (host: HostLook) => void): Plant =>
  (facts) =>
    change(hostOf(facts, name));
const inMember =
  (host: string, change: (member: MemberLook) => void): Plant =>
  (facts) =>
    change(hostOf(facts, host).tenants.acme!);
const inSql = (host: string, change: (sql: MemberSql) => void): Plant => inMember(host, (m) => change(m.sql!));
const asTenant =
  (...args: Parameters<typeof tenantWith>): Plant =>
  (facts) => {
    facts.tenants = [tenantWith(...args)];
  };
const unit = (host: string, name: string, active: string): Plant =>
  onHost(host, (h) => {
    h.units[name] = runningUnit({ active, sub: 'dead', result: 'exit-code' });
  });
const all =
  (...plants: Plant[]): Plant =>
  (facts) =>
    plants.forEach((plant) => plant(facts));
const silent = { reachable: false as const, why: 'no answer within 2500 ms' };
const fenced = (change: Partial<TenantFacts['status']['members'][number]['fencing']>): Plant => {
  return (facts) => {
    const [t] = facts.tenants;
    for (const member of t!.status.members)
      Object.assign(member.fencing, {
        mode: 'required',
        verdict: 'fenced',
        mechanism: 'pipe',
        fix: null,
        device: '/dev/watchdog0',
      });
    Object.assign(t!.status.members[0]!.fencing, change);
  };
};
const lost = { answers: false as const, name: 'h3', endpoint: 'https://10.0.0.3:2379', why: 'connect ECONNREFUSED' };
const silence =
  (...names: string[]): Plant =>
  (facts) => {
    facts.etcd.members = facts.etcd.members.map((m) => (names.includes(m.name) ? { ...lost, name: m.name } : m));
  };
const alarm =
  (kind: string): Plant =>
  (facts) => {
    for (const m of facts.etcd.members) if (m.answers) m.alarms = [{ memberId: 'h1', kind }];
  };

/** The id, what is planted, and what has to be in the finding: its host, words of its evidence, its command. */
const planted: [id: string, what: string, plant: Plant, expected: Partial<Finding>][] = [
  [
    'host-unreachable',
    'no ssh',
    (f) => (f.hosts.h2 = { reachable: false, why: 'connect ETIMEDOUT' }),
    { severity: 'unknown', host: 'h2' },
  ],
  ['clock-offset', '0.9 s behind', onHost('h3', (h) => (h.clock.offsetMs = -900)), { severity: 'warning', host: 'h3' }],
  ['clock-offset', '5 s ahead', onHost('h3', (h) => (h.clock.offsetMs = 5000)), { severity: 'critical' }],
  ['clock-offset', 'nobody keeps it', onHost('h3', (h) => (h.timeServices = [])), { severity: 'warning' }],
  [
    'disk-fills',
    '5 % free',
    onHost('h1', (h) => Object.assign(h.disks[0]!, { sizeMiB: 40_000, freeMiB: 2000 })),
    { severity: 'warning', host: 'h1' },
  ],
  ['disk-fills', 'no inodes', onHost('h1', (h) => (h.disks[0]!.inodesFree = 10)), { severity: 'critical' }],
  [
    'distribution-unit-runs',
    'main cluster',
    onHost('h1', (h) => h.strangers.push('postgresql@17-main.service')),
    { host: 'h1' },
  ],
  ['upgrades-unguarded', 'guard is gone', onHost('h2', (h) => h.unguarded.push('unattended-upgrades')), { host: 'h2' }],
  ['package-not-held', 'patroni', (f) => (f.programs.h1!.packages.patroni!.held = false), { host: 'h1' }],
  ['dpkg-interrupted', 'patroni', (f) => (f.programs.h1!.packages.patroni!.broken = true), { host: 'h1' }],
  [
    'packages-differ',
    'another patroni',
    (f) => (f.programs.h1!.packages.patroni!.installed = '4.0.8-1'),
    { host: null },
  ],
  ['unit-failed', 'defragmentation', unit('h1', 'pgs-etcd-defrag.service', 'failed'), { host: 'h1' }],
  [
    'fault-left',
    'an undo',
    onHost('h2', (h) => h.faults.undos.push({ id: 'x1', tenant: 'acme' })),
    { tenant: 'acme', mend: { command: 'pgs chaos heal acme', on: null } },
  ],
  ['fault-left', 'a table', onHost('h2', (h) => h.faults.tables.push('pgs_chaos_x')), { host: 'h2' }],
  ['etcd-quorum-lost', 'two of three', silence('h2', 'h3'), { severity: 'critical' }],
  ['etcd-member-down', 'one of three', silence('h3'), { host: 'h3' }],
  [
    'etcd-members-differ',
    'four after an add',
    (f) => (f.etcd.memberNames = ['h1', 'h2', 'h3', '9372538179322589801']),
    { severity: 'critical' },
  ],
  ['etcd-members-differ', 'one is gone', (f) => (f.etcd.memberNames = ['h1', 'h2']), { severity: 'critical' }],
  ['etcd-alarm', 'NOSPACE', alarm('NOSPACE'), { severity: 'critical' }],
  ['etcd-alarm', 'CORRUPT', alarm('CORRUPT'), { severity: 'critical' }],
  ['etcd-grows', 'large', (f) => Object.assign(f.etcd.members[0]!, { dbSizeBytes: 1.9 * 2 ** 30 }), { host: 'h1' }],
  ['etcd-authentication-off', 'off', (f) => (f.etcd.authentication = 'off'), { severity: 'critical' }],
  [
    'etcd-certificate-ends',
    'in ten days',
    (f) => (f.etcd.certificates.h2 = new Date('2026-12-01')),
    { host: 'h2', severity: 'warning' },
  ],
  [
    'etcd-breaks-patroni',
    'etcd 3.5.28',
    (f) => (f.programs.h1!.packages['etcd-server']!.installed = '3.5.28-1'),
    { host: 'h1' },
  ],
  ['foreign-key', 'a key', (f) => (f.etcd.foreignKeys = ['/pgs/notes']), { severity: 'warning' }],
  [
    'no-leader',
    'all replicas',
    asTenant({ 'acme-1': replica() }),
    { severity: 'critical', mend: { command: 'pgs failover acme', on: null } },
  ],
  ['two-writable', 'two lead', asTenant({ 'acme-2': leader({ timeline: 2 }) }), { severity: 'critical' }],
  [
    'two-writable',
    'two out of recovery',
    inSql('h3', (sql) => (sql.inRecovery = false)),
    { severity: 'critical', host: 'h3' },
  ],
  [
    'second-postmaster',
    'two',
    inMember('h2', (m) => m.postmasters.push({ pid: 999, state: 'S', data: '/tmp/copy' })),
    { host: 'h2' },
  ],
  [
    'process-stopped',
    'the postmaster',
    inMember('h1', (m) => m.stopped.push({ pid: 200, command: 'postgres' })),
    { mend: { command: 'kill -CONT 200', on: 'h1' } },
  ],
  [
    'member-down',
    'Patroni stopped',
    all(unit('h2', 'pgs-patroni@acme.service', 'inactive'), asTenant({ 'acme-2': silent })),
    { host: 'h2', severity: 'warning' },
  ],
  [
    'member-does-not-start',
    'a parameter',
    all(
      asTenant({ 'acme-2': replica({ role: 'other', state: 'start failed', streaming: false }) }),
      inMember('h2', (m) => m.log.push('FATAL:  unrecognized configuration parameter "wrok_mem"')),
    ),
    { host: 'h2', mend: { command: 'pgs cluster set acme wrok_mem=', on: null } },
  ],
  [
    'replica-does-not-follow',
    'pg_rewind is stuck',
    all(
      asTenant({ 'acme-3': replica({ streaming: false, state: 'running' }) }),
      inMember('h3', (m) => m.log.push('ERROR: Failed to rewind from healthy primary: acme-1')),
    ),
    { host: 'h3', mend: { command: 'pgs cluster reinit acme --member acme-3', on: null } },
  ],
  [
    'replica-lags',
    '100 MiB',
    asTenant({
      'acme-1': leader({ positionBytes: 200 * 2 ** 20 }),
      'acme-2': replica({ positionBytes: 200 * 2 ** 20 }),
    }),
    { host: 'h3' },
  ],
  ['rest-unreachable', 'a port is blocked', asTenant({ 'acme-1': silent }), { host: 'h1', severity: 'critical' }],
  ['foreign-data', 'another identifier', inMember('h2', (m) => (m.systemId = '1')), { host: 'h2' }],
  ['foreign-data', 'the key is gone', asTenant({}, { initialize: null }), { severity: 'critical' }],
  ['rpo-suspended', 'no standby', asTenant({ 'acme-2': silent, 'acme-3': silent }), { severity: 'critical' }],
  [
    'fencing-service-down',
    'stopped',
    all(fenced({}), unit('h1', 'pgs-fence.service', 'inactive')),
    { host: 'h1', severity: 'critical' },
  ],
  [
    'watchdog-unarmed',
    'a lost device',
    fenced({ verdict: 'not fenced', reason: 'softdog is not loaded', fix: 'pgs host prepare h1', device: null }),
    { mend: { command: 'pgs host prepare h1', on: null } },
  ],
  ['pooler-down', 'stopped', unit('h2', 'pgs-pgbouncer@acme.service', 'inactive'), { host: 'h2' }],
  [
    'pooler-paused',
    'nobody lets go',
    inMember('h2', (m) => (m.poolerPaused = true)),
    { host: 'h2', severity: 'critical' },
  ],
  [
    'pooler-paused',
    'a timer lets go',
    all(
      inMember('h2', (m) => (m.poolerPaused = true)),
      onHost('h2', (h) => h.faults.resumeTimers.push('pgs-resume-00ff@acme.timer')),
    ),
    { severity: 'warning' },
  ],
  ['haproxy-down', 'stopped', unit('h4', 'pgs-haproxy.service', 'failed'), { host: 'h4', severity: 'critical' }],
  [
    'haproxy-stale',
    'an old stamp',
    (f) => stepOf(f, { kind: 'unit', unit: 'pgs-haproxy.service', verb: 'reload' }),
    { host: 'h2' },
  ],
  [
    'slot-holds-wal',
    'a member that left',
    inSql('h1', (s) => Object.assign(s.slots[0]!, { active: false, heldBytes: 2 ** 30 })),
    { host: 'h1', mend: { command: 'pgs apply acme', on: null } },
  ],
  [
    'slot-holds-wal',
    "somebody's",
    inSql('h1', (s) => Object.assign(s.slots[0]!, { name: 'cdc', active: true, heldBytes: 9 * 2 ** 30 })),
    { severity: 'critical' },
  ],
  [
    'archive-fails',
    'failing',
    inSql('h1', (s) => Object.assign(s.archiver, { mode: 'on', failing: true, failedCount: 3 })),
    { severity: 'critical' },
  ],
  ['wraparound', '700 million', inSql('h1', (s) => (s.databases[0]!.xidAge = 700_000_000)), { severity: 'warning' }],
  [
    'long-transaction',
    'idle',
    inSql('h1', (s) => s.transactions.push(transaction('idle in transaction', 700))),
    { host: 'h1' },
  ],
  [
    'long-transaction',
    'two hours',
    inSql('h2', (s) => s.transactions.push(transaction('active', 7200))),
    { host: 'h2' },
  ],
  [
    'prepared-transaction',
    'two hours',
    inSql('h1', (s) => s.prepared.push({ gid: "it's", database: 'app', ageS: 7200 })),
    {},
  ],
  [
    'checksum-failure',
    'on a replica',
    inSql('h2', (s) => (s.checksumFailures = 2)),
    { mend: { command: 'pgs cluster reinit acme --member acme-2', on: null } },
  ],
  ['connections-exhausted', '95 of 100', inSql('h1', (s) => (s.connections = 95)), {}],
  [
    'tenant-unknown',
    'a record of a newer pgs',
    (f) => f.unopened.push({ tenant: 'bolt', why: 'version 2' }),
    { severity: 'unknown' },
  ],
  [
    'patroni-paused',
    'forgotten',
    (f) => (f.tenants[0]!.status.paused = true),
    { mend: { command: 'pgs cluster resume acme', on: null } },
  ],
  ['failsafe-off', 'off', asTenant({}, { settings: { failsafe_mode: false } }), {}],
  [
    'restart-pending',
    'one',
    asTenant({ 'acme-2': replica({ pendingRestart: true }) }),
    { mend: { command: 'pgs cluster restart acme --pending-only', on: null } },
  ],
  ['unfinished', 'a restart', asTenant({}, { job: { kind: 'restart', since: '2026-11-21', members: {} } }), {}],
  [
    'unfinished',
    'a removal',
    asTenant({}, { phase: 'destroying' }),
    { mend: { command: 'pgs cluster destroy acme', on: null } },
  ],
  ['certificate-ends', 'soon', asTenant({}, { certificates: ['the SQL certificate on h1 ends in 3 days'] }), {}],
  [
    'program-replaced',
    'postgres',
    (f) => (f.programs.h2!.programs[0]!.replaced = true),
    { host: 'h2', mend: { command: 'pgs update acme', on: null } },
  ],
  [
    'undo-armed',
    'a timer',
    onHost('h2', (h) => h.faults.resumeTimers.push('pgs-resume-00ff@acme.timer')),
    { host: 'h2', tenant: 'acme' },
  ],
  [
    'drill-failed',
    'fail',
    (f) =>
      (f.tenants[0]!.status.drills = [
        { outcome: 'fail', kind: 'suite', what: 'weekly', started: '2026-11-21', why: 'lost 3' },
      ]),
    {},
  ],
  [
    'drift',
    'an edited file',
    (f) => stepOf(f, { kind: 'resources', resources: [] }),
    { host: 'h2', mend: { command: 'pgs apply acme', on: null } },
  ],
];

function transaction(state: string, ageS: number): MemberSql['transactions'][number] {
  return { pid: 7, user: 'app', database: 'app', application: '', state, ageS };
}

function stepOf({ tenants }: DoctorFacts, action: Parameters<typeof Object.assign>[1]): void {
  const [t] = tenants;
  const step = { ...blankStep('h2/x'), host: 'h2', title: 'write the files', reason: '1 thing differs' };
  t!.plan = { ...t!.plan, steps: [{ ...step, action: action as never }] };
}

const findingsWith = (plant: Plant) => {
  const facts = healthyFleet();
  plant(facts);
  return examine(facts);
};

test('of a fleet in which nothing is wrong, nothing is found', () => {
  expect(examine(healthyFleet())).toEqual([]);
  expect(exitCodeOf(reportOf(healthyFleet(), []))).toBe(0);
});

describe('what is wrong is found', () => {
  test.each(planted)('%s: %s', (id, _what, plant, expected) => {
    const found = findingsWith(plant).find(
      (f) => f.id === id && (expected.severity === undefined || f.severity === expected.severity),
    );
    expect(found).toMatchObject(expected);
    expect(found!.evidence).not.toBe('');
    expect(found!.mend.command).not.toBe('');
    expect(found!.what).not.toMatch(/undefined|null|NaN/);
    expect(`${found!.evidence}${found!.mend.command}`).not.toMatch(/undefined|NaN|\[object/);
  });

  test('by every check that there is', () => {
    expect(checks.map(({ id }) => id).filter((id) => !planted.some(([planted]) => planted === id))).toEqual([]);
    expect(new Set(checks.map(({ id }) => id)).size).toBe(checks.length);
  });

  test('a SIGSTOPped Patroni is said to be stopped, not to be unreachable', () => {
    const ids = findingsWith(
      all(
        asTenant({ 'acme-1': silent }),
        inMember('h1', (m) => m.stopped.push({ pid: 100, command: 'patroni' })),
      ),
    ).map(({ id }) => id);
    expect(ids).toContain('process-stopped');
    expect(ids).not.toContain('rest-unreachable');
  });

  test('nothing is said of members of a tenant that is stopped, nor of what is being changed', () => {
    const stopped = all(
      asTenant(
        { 'acme-1': silent, 'acme-2': silent, 'acme-3': silent },
        { phase: 'stopped', plan: { subject: '', steps: [], warnings: [] } },
      ),
      unit('h1', 'pgs-patroni@acme.service', 'inactive'),
    );
    expect(findingsWith(stopped)).toEqual([]);
    const changing = all(asTenant({}, { changing: 'me', job: { kind: 'restart', since: '', members: {} } }), (f) =>
      stepOf(f, { kind: 'resources', resources: [] }),
    );
    expect(findingsWith(changing)).toEqual([]);
  });

  test('a machine without any watchdog is what `automatic` accepts', () => {
    const bare = fenced({
      mode: 'automatic',
      verdict: 'not fenced',
      reason: 'a container',
      fix: null,
      device: null,
      armed: true,
    });
    expect(findingsWith(bare)).toEqual([]);
  });
});

describe('the report', () => {
  test('says that something is wrong by exit code 1, and that nothing but the unknown is by 4', () => {
    const codeWith = (plant: Plant) => exitCodeOf(reportOf(healthyFleet(), findingsWith(plant)));
    expect(codeWith((f) => (f.hosts.h4 = { reachable: false, why: 'no' }))).toBe(4);
    expect(codeWith(silence('h3'))).toBe(1);
  });

  test('has for each finding what shows it and on which host the command is typed', () => {
    const facts = healthyFleet();
    const text = describeReport(
      reportOf(facts, findingsWith(inMember('h1', (m) => m.stopped.push({ pid: 7, command: 'postgres' })))),
    );
    expect(text).toContain('evidence  postgres (process 7) in state T');
    expect(text).toContain('mend      on h1: kill -CONT 7');
    expect(text).toContain('patroni#1371');
  });
});

test('a key is foreign that is of no tenant, of no kind that pgs has, or in a tenant’s place', () => {
  const keys = [
    '/pgs/dcs/acme/config',
    '/pgs/dcs/gone/config',
    '/pgs/state/tenants/acme',
    '/pgs/state/secrets/gone',
    '/pgs/state/anything-newer',
    '/pgs/notes',
    '/pgs/dcs/acme/mine',
  ];
  expect(foreignKeys(keys, ['acme'], ['/pgs/dcs/acme/mine'])).toEqual([
    '/pgs/dcs/gone/config',
    '/pgs/state/secrets/gone',
    '/pgs/notes',
    '/pgs/dcs/acme/mine',
  ]);
});

test('what is printed to be typed here is a command of pgs', () => {
  const tree = commands.map((make) => make());
  const typed = planted
    .flatMap(([, , plant]) => findingsWith(plant))
    .flatMap(({ mend }) => (mend.on === null ? [mend.command] : []));
  for (const command of new Set(typed)) {
    const [program, ...words] = command.split(' ');
    expect(program).toBe('pgs');
    let [found, children] = [null as Command | null, tree];
    for (let next; (next = children.find((c) => c.name() === words[0])); words.shift())
      [found, children] = [next, [...next.commands]];
    expect(found, command).not.toBeNull();
    expect(found!.commands.length, command).toBe(0);
    for (const word of words.filter((w) => w.startsWith('--'))) {
      expect(
        found!.options.map(({ long }) => long),
        command,
      ).toContain(word);
    }
  }
});

test('the list of findings in the README is that of the checks', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const listed = /<!-- findings -->\n([^]*?)\n<!-- end of findings -->/.exec(readme)?.[1];
  expect(listed).toBe(describeChecks());
});

test('a tenant without poolers has none that are down', () => {
  const facts = healthyFleet();
  facts.tenants = [tenantWith({}, { cluster: clusterOf(recordOf('acme', { pool: 'off' })) })];
  for (const host of ['h1', 'h2', 'h3']) {
    delete hostOf(facts, host).units['pgs-pgbouncer@acme.service'];
    delete hostOf(facts, host).units['pgs-pgbouncer-replica@acme.service'];
    hostOf(facts, host).tenants.acme = healthyMember(host === 'h1', { poolerPaused: null });
  }
  expect(examine(facts).filter(({ id }) => id.startsWith('pooler'))).toEqual([]);
});
