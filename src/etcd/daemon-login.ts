// The login of pgs's daemon to etcd: schedules, results and locks to write, tenants' records and Patroni's keys to read, and no more.

import type { Secret } from '../secrets/secret.js';
import { prefixEnd, type Dcs } from './client.js';
import type { Permission } from './logins.js';
import { dcsNamespace } from './tenants.js';

/** No tenant's login can be called this: a tenant's name has no dot. User and role have the same name. */
export const daemonLogin = 'pgs.daemon';

export const daemonPermissions: Permission[] = [
  // With this key pgs sees on connecting whether it may read at all.
  { access: 'read', start: '/pgs/', end: '' },
  { access: 'read', ...range('/pgs/state/tenants/') },
  { access: 'read', ...range(dcsNamespace) },
  { access: 'readwrite', ...range('/pgs/state/drills/') },
  { access: 'readwrite', ...range('/pgs/state/locks/') },
];

function range(prefix: string): Pick<Permission, 'start' | 'end'> {
  return { start: prefix, end: prefixEnd(prefix).toString() };
}

/** Makes the login what it should be, with too little rather than too much on the way; nothing to do changes nothing. */
export async function ensureDaemonLogin({ logins }: Dcs, password: Secret): Promise<void> {
  const [roles, permissions] = await Promise.all([logins.rolesOf(daemonLogin), logins.permissionsOf(daemonLogin)]);
  const isSame = (a: Permission) => (b: Permission) => a.access === b.access && a.start === b.start && a.end === b.end;
  for (const role of roles ?? []) if (role !== daemonLogin) await logins.revokeRole(daemonLogin, role);
  if (!permissions) await logins.addRole(daemonLogin);
  for (const found of permissions ?? [])
    if (!daemonPermissions.some(isSame(found))) await logins.revokePermission(daemonLogin, found);
  for (const wanted of daemonPermissions)
    if (!permissions?.some(isSame(wanted))) await logins.grantPermission(daemonLogin, wanted);
  if (!roles) await logins.addUser(daemonLogin, password);
  else if (!(await logins.passwordWorks(daemonLogin, password))) await logins.changePassword(daemonLogin, password);
  if (!roles?.includes(daemonLogin)) await logins.grantRole(daemonLogin, daemonLogin);
}

/** Ends its sessions too. No error if it is gone. */
export async function removeDaemonLogin({ logins }: Dcs): Promise<void> {
  if (await logins.rolesOf(daemonLogin)) await logins.removeUser(daemonLogin);
  if (await logins.permissionsOf(daemonLogin)) await logins.removeRole(daemonLogin);
}
