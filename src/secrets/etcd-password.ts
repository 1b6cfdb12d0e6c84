// Another password for a tenant's login to etcd, for when the present one is known where it should not be.

import { generatePassword } from './password.js';
import type { TenantSecrets } from './tenant-secrets.js';

/** The same secrets with another one. Members take it by a reload; etcd has to learn of it after them, or they would be locked out. */
export function withNewEtcdPassword(secrets: TenantSecrets): TenantSecrets {
  const { etcd } = secrets.passwords;
  return { ...secrets, passwords: { ...secrets.passwords, etcd: { ...etcd, password: generatePassword() } } };
}
