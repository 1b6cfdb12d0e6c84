// The daemon's login to etcd: its ranges and no more, made and mended step by step, and taken away.

import { expect, test } from 'vitest';
import {
  daemonLogin,
  daemonPermissions,
  ensureDaemonLogin,
  removeDaemonLogin,
} from '../../../src/etcd/daemon-login.js';
import { tenantLogin } from '../../../src/etcd/tenants.js';
import { Secret } from '../../../src/secrets/secret.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

const password = new Secret('a password');

/** Whether the login may do it to the key. */
function may(access: 'read' | 'write', key: string): boolean {
  return daemonPermissions.some(
    (p) => p.access.includes(access) && (p.end === '' ? key === p.start : key >= p.start && key < p.end),
  );
}

test('it writes what drills are about, reads where members are, and reaches nobody else’s secrets', () => {
  for (const key of ['/pgs/state/drills/runs/acme/x', '/pgs/state/drills/daemon', '/pgs/state/locks/acme'])
    expect([may('read', key), may('write', key)]).toEqual([true, true]);
  for (const key of ['/pgs/state/tenants/acme', '/pgs/dcs/acme/leader', '/pgs/'])
    expect([may('read', key), may('write', key)]).toEqual([true, false]);
  for (const key of ['/pgs/state/secrets/acme', '/pgs/state/allocation', '/pgs/state/drillsx', '/other'])
    expect([may('read', key), may('write', key)]).toEqual([false, false]);
});

test('it is made, and a second time nothing is changed', async () => {
  const dcs = new MemoryDcs();
  await ensureDaemonLogin(dcs, password);
  expect(await dcs.logins.rolesOf(daemonLogin)).toEqual([daemonLogin]);
  expect(await dcs.logins.passwordWorks(daemonLogin, password)).toBe(true);
  const { authRevision } = dcs;
  await ensureDaemonLogin(dcs, password);
  expect(dcs.authRevision).toBe(authRevision);
});

test('what it has too much is taken, and what it lacks is given', async () => {
  const dcs = new MemoryDcs();
  await ensureDaemonLogin(dcs, password);
  await dcs.logins.addRole('root');
  await dcs.logins.grantRole(daemonLogin, 'root');
  await dcs.logins.grantPermission(daemonLogin, { access: 'readwrite', start: '/', end: '0' });
  await dcs.logins.revokePermission(daemonLogin, daemonPermissions[1]!);
  const other = new Secret('another password');
  await ensureDaemonLogin(dcs, other);
  expect(await dcs.logins.rolesOf(daemonLogin)).toEqual([daemonLogin]);
  const ranges = (await dcs.logins.permissionsOf(daemonLogin))!.map((p) => p.start).sort();
  expect(ranges).toEqual(daemonPermissions.map((p) => p.start).sort());
  expect(await dcs.logins.passwordWorks(daemonLogin, other)).toBe(true);
});

test('it is removed, and is no tenant’s', async () => {
  const dcs = new MemoryDcs();
  await ensureDaemonLogin(dcs, password);
  await removeDaemonLogin(dcs);
  await removeDaemonLogin(dcs);
  expect(await dcs.logins.rolesOf(daemonLogin)).toBeNull();
  expect(await dcs.logins.permissionsOf(daemonLogin)).toBeNull();
  expect(daemonLogin).not.toBe(tenantLogin('daemon'));
});
