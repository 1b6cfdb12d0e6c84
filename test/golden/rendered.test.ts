// Every file that pgs writes onto a host for a tenant has a golden copy. `UPDATE_GOLDEN=1 npx vitest run test/golden` renews them;
// read the difference before you commit it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, expect, test } from 'vitest';
import { patroniWatchdog } from '../../watchdog/desired.js';
import { desiredDoor, renderTenantDoor } from '../../haproxy/desired-door.js';
import { desiredHaproxy, desiredRouting, renderRouting } from '../../haproxy/desired.js';
import type { Resource } from '../../src/host/resource.js';
import { desiredDcsSettings, desiredPatroni } from '../../src/patroni/desired.js';
import { desiredPgbouncer, renderPgbouncerConfig } from '../../src/pgbouncer/desired.js';
import { desiredMember } from '../../src/reconcile/member.js';
import { desiredSql } from '../../src/postgres/desired.js';
import { reveal } from '../../src/secrets/secret.js';
import { clusterOf, door, fakeSecrets, inventory, recordOf } from '../fixtures/fleet.js';

const directory = new URL('expected/', import.meta.url).pathname;

function expectGolden(name: string, text: string): void {
  if (process.env.UPDATE_GOLDEN) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(directory + name, text);
  }
  expect(text).toBe(readFileSync(directory + name, 'utf8'));
}

function listing(resources: Resource[]): string {
  const lines = resources.map((r) => {
    if (r.kind === 'user') return `user ${r.name} ${r.home}`;
    if (r.kind === 'directory') return `directory ${r.path} ${r.owner}:${r.group} ${r.mode}`;
    if (r.kind === 'file')
      return `file ${r.path} ${r.owner}:${r.group} ${r.mode} ${typeof r.content === 'string' ? 'plain' : 'secret'}`;
    if (r.kind === 'device') return `device ${r.path} ${r.owner}:${r.group} ${r.mode}`;
    if (r.kind === 'unit') return `unit ${r.name} ${r.state} on change ${r.onChange}`;
    return `absent ${r.what} ${r.name}`;
  });
  return `${lines.join('\n')}\n`;
}

function contentOf(resources: Resource[], ending: string): string {
  const file = resources.find((r) => r.kind === 'file' && r.path.endsWith(ending));
  if (file?.kind !== 'file') throw new Error(`no file ends with ${ending}`);
  return reveal(file.content);
}

const cluster = clusterOf();
const dcs = {
  hosts: ['10.0.0.1:2379', '10.0.0.2:2379', '10.0.0.3:2379'],
  caPem: 'certificate etcd-ca\n',
  clientCertificate: true,
};
const patroni = desiredPatroni(
  cluster,
  cluster.members[0]!,
  fakeSecrets(),
  dcs,
  patroniWatchdog(cluster, cluster.members[0]!),
);
const poolers = desiredPgbouncer(cluster, cluster.members[0]!, fakeSecrets());
const routing = [
  ...desiredHaproxy(cluster.entries[0]!),
  ...desiredDoor(cluster, cluster.entries[0]!, door),
  ...desiredRouting(cluster, cluster.entries[0]!, fakeSecrets(), door),
];

const fencedOn = (fencing: 'shared' | 'device') => {
  const fenced = clusterOf(recordOf('acme', { watchdog: 'required', pool: 'off' }));
  const [member] = fenced.members;
  return desiredMember(fenced, { ...member!, host: { ...member!.host, fencing } }, fakeSecrets(), dcs);
};

describe('what is rendered for a tenant is what the golden copies say', () => {
  test('resources of a member', () => expectGolden('member-resources.txt', listing(patroni)));
  test('resources of an entry', () => expectGolden('entry-resources.txt', listing(routing)));
  test('resources of the poolers', () => expectGolden('pooler-resources.txt', listing(poolers)));
  test('a tenant without poolers has none of them', () =>
    expect(desiredPgbouncer(clusterOf(recordOf('acme', { pool: 'off' })), cluster.members[0]!, fakeSecrets())).toEqual(
      [],
    ));
  test('pgbouncer.ini', () => expectGolden('pgbouncer-primary.ini', contentOf(poolers, 'pgbouncer-primary.ini')));
  test('pgbouncer.ini of the replicas, where PgBouncer is 1.18', () => {
    const old = clusterOf(recordOf('acme', { postgres: 15, pool: 'session' }));
    expectGolden('pgbouncer-replica-15.ini', renderPgbouncerConfig(old, old.members[0]!, 'replica'));
  });
  test('the unit of PgBouncer', () =>
    expectGolden('pgs-pgbouncer@acme.service', contentOf(poolers, 'pgs-pgbouncer@acme.service')));
  test('patroni.yml', () => expectGolden('patroni.yml', contentOf(patroni, 'patroni.yml')));
  test('the unit of Patroni', () => expectGolden('pgs-patroni@acme.service', contentOf(patroni, '.service')));
  test('the unit of HAProxy', () => expectGolden('pgs-haproxy.service', contentOf(routing, '.service')));
  test("HAProxy's global file", () => expectGolden('00-pgs.cfg', contentOf(routing, '00-pgs.cfg')));
  test("HAProxy's file of the tenant", () => expectGolden('tenant-acme.cfg', contentOf(routing, 'tenant-acme.cfg')));
  test('the first SQL where PgBouncer is 1.18', () =>
    expectGolden('first-15.sql', desiredSql(fakeSecrets(), 15).reveal()));
  test("HAProxy's file of a tenant without poolers", () => {
    const unpooled = clusterOf(recordOf('acme', { pool: 'off', rto: 'fast' }));
    const tls = { client: '/tls/client.pem', ca: '/tls/ca.crt' };
    expectGolden('tenant-unpooled.cfg', renderRouting(unpooled, unpooled.entries[3]!, tls));
  });
  test('the front door', () => expectGolden('01-door.cfg', contentOf(routing, '01-door.cfg')));
  test('the tenant at the front door', () => expectGolden('door-acme.cfg', contentOf(routing, 'door-acme.cfg')));
  test('a tenant without poolers at the front door', () =>
    expectGolden('door-unpooled.cfg', renderTenantDoor(clusterOf(recordOf('acme', { pool: 'off' })), 'running')));
  test('a tenant whose PostgreSQL has no direct TLS at the front door', () =>
    expectGolden('door-15.cfg', renderTenantDoor(clusterOf(recordOf('acme', { postgres: 15 })), 'running')));
  test('a stopped tenant at the front door', () =>
    expectGolden('door-stopped.cfg', renderTenantDoor(cluster, 'stopped')));
  test('the first SQL', () => expectGolden('first.sql', desiredSql(fakeSecrets(), 17).reveal()));
  test.each(['shared', 'device'] as const)('a fenced member (%s)', (fencing) => {
    const resources = fencedOn(fencing);
    expectGolden(`fenced-${fencing}-resources.txt`, listing(resources));
    const watchdog = contentOf(resources, 'patroni.yml').replace(/^[^]*(?=^watchdog:)/m, '');
    const unit = contentOf(resources, 'pgs-patroni@acme.service').split('\n');
    const lines = unit.filter((line) => /^(After|Wants|ExecStartPre|BindReadOnlyPaths|PrivateDevices)=/.test(line));
    expectGolden(`fenced-${fencing}-patroni.txt`, `${watchdog}${lines.join('\n')}\n`);
  });
  test('the unit of the fencing service', () =>
    expectGolden('pgs-fence.service', contentOf(fencedOn('shared'), 'pgs-fence.service')));
  test("the tenant's place in the fencing service", () =>
    expectGolden('fence-acme.json', contentOf(fencedOn('shared'), 'acme.json')));
  test.each(['fast', 'norm', 'safe', 'wide'] as const)('settings in the DCS with preset %s', (rto) =>
    expectGolden(
      `settings-${rto}.json`,
      `${JSON.stringify(desiredDcsSettings(clusterOf(recordOf('acme', { rto }))), null, 2)}\n`,
    ),
  );
  test('settings in the DCS of an asynchronous cluster', () =>
    expectGolden(
      'settings-asynchronous.json',
      `${JSON.stringify(desiredDcsSettings(clusterOf(recordOf('acme', { rpoBytes: 1048576 }))), null, 2)}\n`,
    ));
});

test('no file that is shown in a plan holds a secret', () => {
  const plain = [...patroni, ...poolers, ...routing].flatMap((r) =>
    r.kind === 'file' && typeof r.content === 'string' ? [r] : [],
  );
  expect(plain.length).toBeGreaterThan(5);
  for (const file of plain) {
    expect(file.content, basename(file.path)).not.toMatch(/fake-password|fake key|SCRAM-SHA/);
  }
});

test('the inventory of the fixture has an entry that is no member', () => {
  expect(inventory.hosts.length).toBeGreaterThan(cluster.members.length);
});
