// What the leader's roles and databases lack. Pure.

import { createHash } from 'node:crypto';
import { appDatabase, type SqlFacts } from '../postgres/desired.js';
import { goneRoles, madeRoles } from '../secrets/rotation.js';
import { reveal } from '../secrets/secret.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import { lookupFunction, lookupRole, poolerRole } from '../topology/accounts.js';

/** In words; nothing where all is as it should be. */
export function sqlDifferences(found: SqlFacts | null, secrets: TenantSecrets): string[] {
  if (!found) return ['no leader could be asked for its roles'];
  const wanted = [
    [secrets.passwords.app.user, secrets.appScram],
    [secrets.passwords.probe.user, secrets.probeScram],
  ] as const;
  const roles = wanted.flatMap(([name, verifier]) => {
    const stored = found.roles[name];
    if (stored === undefined) return [`role ${name} is not there`];
    return stored === sha256(reveal(verifier)) ? [] : [`role ${name} has another password`];
  });
  const made = madeRoles(secrets).flatMap(({ name, verifier }) =>
    found.roles[name] === sha256(reveal(verifier)) ? [] : [`role ${name} is not there, or has another password`],
  );
  const gone = goneRoles(secrets).filter((name) => found.roles[name] !== undefined);
  const database = found.databases[appDatabase];
  const pooler = found.roles[poolerRole];
  return [
    ...roles,
    ...made,
    ...gone.map((name) => `role ${name} is of before`),
    ...(found.roles.postgres ? ['role postgres has a password'] : []),
    ...(database ? [] : [`database ${appDatabase} is not there`]),
    ...(database?.publicMayConnect ? [`everybody may connect to database ${appDatabase}`] : []),
    ...(found.proofOwner === secrets.passwords.probe.user
      ? []
      : ['the table that pgs proves services with is not there']),
    ...(pooler === undefined ? [`role ${poolerRole} is not there`] : []),
    ...(pooler ? [`role ${poolerRole} has a password`] : []),
    ...(found.lookupOwner === lookupRole ? [] : [`the function ${lookupFunction} that poolers ask is not there`]),
  ];
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
