// Generated passwords of a tenant's own roles, among its sealed secrets. PostgreSQL gets the verifier only. Pure but for the randomness.

import { generatePassword, scramVerifier } from './password.js';
import type { TenantSecrets } from './tenant-secrets.js';

export type RoleSecret = NonNullable<TenantSecrets['roles']>[string];

function newRoleSecret(): RoleSecret {
  const password = generatePassword();
  return { password, scram: scramVerifier(password) };
}

/** The secrets with a password for each of these roles; the same object when none was missing. What others have is kept. */
export function ensureRoleSecrets(secrets: TenantSecrets, roles: string[]): TenantSecrets {
  const missing = roles.filter((name) => !secrets.roles?.[name]);
  if (missing.length === 0) return secrets;
  const made = Object.fromEntries(missing.map((name) => [name, newRoleSecret()]));
  return { ...secrets, roles: { ...secrets.roles, ...made } };
}

/** The secrets with another password for the role. */
export function renewRoleSecret(secrets: TenantSecrets, role: string): TenantSecrets {
  return { ...secrets, roles: { ...secrets.roles, [role]: newRoleSecret() } };
}
