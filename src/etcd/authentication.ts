// Turning etcd's authentication on: user and role `root` first, since etcd refuses it otherwise.

import type { Secret } from '../secrets/secret.js';
import { etcdRootUser } from './access.js';
import type { Dcs } from './client.js';

const rootRole = 'root';

/**
 * Turns authentication on with root's password; interrupted anywhere, it goes on from there. With authentication on it only
 * looks: that `dcs` could ask already proves the password.
 * @param dcs opened as `being-set-up`
 */
export async function enableAuthentication(dcs: Dcs, rootPassword: Secret): Promise<'enabled' | 'was-enabled'> {
  const { logins } = dcs;
  if (await logins.enabled()) return 'was-enabled';
  const roles = await logins.rolesOf(etcdRootUser);
  // While authentication is off a password cannot be tried, so it is set.
  if (roles) await logins.changePassword(etcdRootUser, rootPassword);
  else await logins.addUser(etcdRootUser, rootPassword);
  if ((await logins.permissionsOf(rootRole)) === null) await logins.addRole(rootRole);
  if (!roles?.includes(rootRole)) await logins.grantRole(etcdRootUser, rootRole);
  await logins.enable();
  return 'enabled';
}
