// A tenant as code: what a file may say of the inside of its PostgreSQL, and what is refused, with key and line.

import { describe, expect, test } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { hbaLines } from '../../../src/topology/hba.js';
import { leftAfter } from '../../../src/topology/left-objects.js';
import { readSpecDocuments } from '../../../src/topology/spec-documents.js';
import { completeSpec, specToFile } from '../../../src/topology/spec.js';
import { clusterOf, recordOf } from '../../fixtures/fleet.js';

const defaults = { rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'off', postgres: 17 } as const;
const verifier = `SCRAM-SHA-256$4096:${'A'.repeat(22)}==$${'B'.repeat(43)}=:${'C'.repeat(43)}=`;
const example = `
format: 1
tenant: acme
labels: { team: shop, example.com/cost-center: "4711" }
default_roles: true
roles:
  shop: { in: [admin] }
  reporting:
    in: [readonly, pg_monitor]
    connections: 5
    expires: 2027-01-31
    settings: { statement_timeout: 30s, search_path: 'billing, public' }
    password: ${verifier}
  robot: { password: none }
  old: { state: absent }
databases:
  shop:
    owner: shop
    extensions: [pg_trgm, { name: postgis, schema: gis }]
    schemas: [billing, { name: gis, owner: shop }]
    connections: 50
    pool: 20
  plain:
hba:
  - { name: robots, auth: cert, addr: world, roles: [robot], services: [direct, direct-ro] }
  - { name: readers, auth: ssl, addr: fleet, roles: [readonly], databases: [shop] }
`;

function parseSpecFile(text: string, path: string): object {
  const { documents, judge } = readSpecDocuments(text, path);
  judge([], defaults);
  return documents[0]!.given;
}

function refusal(text: string): string {
  try {
    parseSpecFile(text, '/x/acme.yaml');
  } catch (thrown) {
    if (thrown instanceof PgsError) return thrown.details.found;
    throw thrown;
  }
  return 'accepted';
}

test('a spec written as a file and read again is the same', () => {
  const spec = completeSpec(parseSpecFile(example, 'acme.yaml'), defaults, 'a file');
  expect(spec.databases).toMatchObject({ shop: { owner: 'shop', pool: 20 }, plain: {} });
  expect(spec.defaultRoles).toBe(true);
  expect(completeSpec(specToFile(spec), defaults, 'a file')).toEqual(spec);
});

describe('is refused with key and line', () => {
  test.each<[string, string, RegExp]>([
    [
      'a role with an @',
      'roles:\n  a@b: {}',
      /^acme.yaml:3:3: roles.a@b: "a@b" cannot be the name of a role: it has an @/,
    ],
    ['a role of pgs', 'roles:\n  pgs_x: {}', /^acme.yaml:3:3: .*those of pgs itself/],
    [
      'a role that is not there',
      'roles:\n  a: { in: [reporter] }\n  reporters:',
      /^acme.yaml:3:13: roles.a.in.0: "reporter" is not among .*did you mean "reporters"/,
    ],
    [
      'a default role without them',
      'roles:\n  a: { in: [readonly] }',
      /acme.yaml:3:13: .*it comes with `default_roles: true`/,
    ],
    [
      'an owner that is not there',
      'databases:\n  shop:\n    owner: nobody',
      /^acme.yaml:4:12: databases.shop.owner: "nobody" is not among/,
    ],
    ['a superuser', 'roles:\n  a: { superuser: true }', /^acme.yaml:3:19: roles.a.superuser: there is no superuser/],
    ['a group that reaches the host', 'roles:\n  a: { in: [pg_read_server_files] }', /the tenant's keys/],
    ['groups in a circle', 'roles:\n  a: { in: [b] }\n  b: { in: [a] }', /acme.yaml:3:13: .*b is a member of a itself/],
    [
      'an unknown key of a role',
      'roles:\n  a: { conections: 5 }',
      /^acme.yaml:3:8: roles.a.conections: unknown key, did you mean "connections"/,
    ],
    [
      'an unknown key in a list',
      'databases:\n  a:\n    schemas: [{ name: x, ower: y }]',
      /acme.yaml:4:\d+: databases.a.schemas.0.*ower/,
    ],
    ['a date that is none', 'roles:\n  a: { expires: 2027-13-01 }', /^acme.yaml:3:17: roles.a.expires: must be a date/],
    [
      'a setting of the whole server',
      'roles:\n  a: { settings: { shared_buffers: 1GB } }',
      /roles.a.settings.shared_buffers: is of the whole server/,
    ],
    ['a role that is asynchronous at RPO 0', 'roles:\n  a: { settings: { synchronous_commit: local } }', /RPO 0/],
    [
      'an extension that must be loaded',
      'databases:\n  a: { extensions: [pg_cron] }',
      /acme.yaml:3:21: .*shared_preload_libraries: pg_cron/,
    ],
    ['app without its database', 'databases:\n  app: { state: absent }', /app cannot be absent/],
    [
      'a parameter of pgs',
      'settings:\n  port: 1',
      /^acme.yaml:3:9: settings.port: port cannot be set: pgs allocates ports/,
    ],
    [
      'overlapping networks of access',
      'access:\n  enabled: true\n  from: [10.0.0.0/8, 10.1.0.0/16]',
      /^acme.yaml:4:22: access.from.1: 10.1.0.0\/16 overlaps 10.0.0.0\/8/,
    ],
    [
      'overlapping networks of a rule',
      'hba:\n  - { name: x, auth: ssl, addr: [10.0.0.0/8, 10.1.0.0/16], services: [member] }',
      /^acme.yaml:3:46: hba.0.addr.1: .*overlaps/,
    ],
    [
      'a rule for a role that is not there',
      'hba:\n  - { name: x, auth: ssl, addr: world, roles: [nobody] }',
      /^acme.yaml:3:48: hba.0.roles.0: "nobody" is not among/,
    ],
    ['a label with a space', 'labels:\n  a b: c', /^acme.yaml:3:3: labels.a b: a label is/],
  ])('%s', (_what, text, message) => expect(refusal(`tenant: acme\n${text}\n`)).toMatch(message));

  test('a file of a newer pgs, and nothing else of it', () => {
    expect(refusal('format: 2\ntenant: acme\nshards: 4\n')).toMatch(
      /^acme.yaml:1:9: format: this file has format 2, .*newer pgs.*$/,
    );
  });

  test('a password that is none of the words, without showing it', () => {
    const found = refusal('tenant: acme\nroles:\n  a: { password: hunter22 }\n');
    expect(found).toMatch(/^acme.yaml:3:18: roles.a.password: must be generated, kept, none or a SCRAM verifier/);
    expect(found).not.toMatch(/hunter22/);
  });

  test('names that PostgreSQL would cut to the same', () => {
    const long = 'a'.repeat(63);
    const found = refusal(`tenant: acme\nroles:\n  ${long}: {}\n  ${long}-eu: {}\n`);
    expect(found).toMatch(
      new RegExp(
        `^acme.yaml:4:3: .*it has 66 characters, and PostgreSQL cuts it after 63 to ${long}, which is ${long}$`,
      ),
    );
  });
});

describe('a rule that cannot reach PostgreSQL', () => {
  const rule = (text: string) =>
    refusal(`tenant: acme\nroles: { r: {} }\nhba:\n  - { name: x, roles: [r], ${text} }\n`);

  test('by certificate where TLS ends in the pooler', () => {
    expect(rule('auth: cert, addr: world')).toMatch(
      /acme.yaml:4:\d+: hba.0.auth: cert cannot reach PostgreSQL on primary: .*ends in PgBouncer/,
    );
    expect(rule('auth: cert, addr: world, services: [direct, direct-ro]')).toBe('accepted');
    expect(
      refusal('tenant: acme\npool: off\nroles: { r: {} }\nhba:\n  - { name: x, roles: [r], auth: cert, addr: world }'),
    ).toBe('accepted');
  });

  test("by the client's address behind HAProxy", () => {
    expect(rule('auth: ssl, addr: 10.0.0.0/8')).toMatch(
      /acme.yaml:4:\d+: hba.0.addr: 10.0.0.0\/8 cannot reach PostgreSQL on primary: .*HAProxy and PgBouncer.*access:/,
    );
    expect(rule('auth: ssl, addr: 10.0.0.0/8, services: [direct]')).toMatch(
      /on direct: clients come through HAProxy, so/,
    );
    expect(rule('auth: ssl, addr: 10.20.0.0/16, services: [member]')).toBe('accepted');
  });

  test('by which app could not log in any more', () => {
    expect(rule('auth: cert, addr: world, databases: [app], services: [direct]')).toBe('accepted');
    const all = 'tenant: acme\nhba:\n  - { name: x, auth: cert, addr: world, services: [direct] }\n';
    expect(refusal(all)).toMatch(/acme.yaml:3:\d+: hba.0.auth: would keep app out/);
  });

  test('behind another one that takes its sessions', () => {
    const two =
      'tenant: acme\nroles: { r: {} }\nhba:\n  - { name: a, auth: ssl, addr: world }\n  - { name: b, auth: scram, addr: fleet, roles: [r] }\n';
    expect(refusal(two)).toMatch(/acme.yaml:5:\d+: hba.1: meets sessions that a takes already, by ssl/);
  });
});

test('rules become lines, and who is named comes in by them only', () => {
  const spec = completeSpec(parseSpecFile(example, 'acme.yaml'), defaults, 'a file');
  const { roles, databases, hba, defaultRoles } = spec;
  expect(hbaLines(clusterOf(recordOf('acme', { roles, databases, hba, defaultRoles })))).toEqual([
    'hostssl all robot all cert # robots',
    'hostssl shop +readonly 10.0.0.1/32 scram-sha-256 # readers',
    'hostssl shop +readonly 10.0.0.2/32 scram-sha-256 # readers',
    'hostssl shop +readonly 10.0.0.3/32 scram-sha-256 # readers',
    'hostssl shop +readonly 10.0.0.4/32 scram-sha-256 # readers',
    'host all robot,+readonly all reject',
  ]);
});

test('what a file names no more is remembered until one names it again', () => {
  const before = completeSpec(parseSpecFile(example, 'acme.yaml'), defaults, 'a file');
  const none = { roles: [], databases: [], schemas: [], extensions: [] };
  const left = leftAfter(before, undefined, { databases: { shop: { schemas: ['billing'] } } });
  expect(left).toEqual({
    roles: ['admin', 'monitor', 'readonly', 'readwrite', 'reporting', 'robot', 'shop'],
    databases: ['plain'],
    schemas: ['shop.gis'],
    extensions: ['shop.pg_trgm', 'shop.postgis'],
  });
  expect(leftAfter({}, left, { databases: { plain: { state: 'absent' } } })).toEqual({ ...left, databases: [] });
  expect(leftAfter({}, { ...none, databases: ['plain'] }, { databases: { plain: {} } })).toBeUndefined();
});

test('a rule that cannot do what it says any more lets nobody in, whom it names', () => {
  const rule = { name: 'x', auth: 'ssl', addr: 'cluster', roles: ['robot'], services: ['direct'] } as const;
  const hba = [{ ...rule, roles: [...rule.roles], services: [...rule.services] }];
  // h4 is an entry and no member.
  expect(hbaLines(clusterOf(recordOf('acme', { roles: { robot: {} }, hba })))).toEqual(['host all robot all reject']);
});
