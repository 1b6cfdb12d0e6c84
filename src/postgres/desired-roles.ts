// From the roles of a tenant's file and what the catalogues say to the statements between. Pure.

import { createHash } from 'node:crypto';
import { escapeIdentifier as id, escapeLiteral as text } from 'pg';
import type { Secret } from '../secrets/secret.js';
import { appName, isPresent, passwordOf, type RoleSpec } from '../topology/objects.js';
import { roleSettingDifferences } from '../topology/role-settings.js';
import { defaultGroups } from './default-roles.js';
import {
  change,
  described,
  joined,
  whereNone,
  type DesiredObjects,
  type Difference,
  type ObjectChange,
} from './object-change.js';
import type { ObjectFacts, RoleFact } from './object-facts.js';

export function rolesChange(wanted: DesiredObjects, found: ObjectFacts): ObjectChange[] {
  const { roles = {}, defaultRoles = false } = wanted.spec;
  const given = Object.entries(roles).filter(([, role]) => isPresent(role));
  const all: [string, RoleSpec][] = [...(defaultRoles ? Object.entries(defaultGroups) : []), ...given];
  const known = all.map(([name]) => name);
  const made = all.filter(([name]) => !found.roles[name]);
  const parts = all.map(([name, role]) => roleDifference(name, role, found.roles[name], wanted.verifiers[name]));
  const memberships = all.map(([name, role]) => membershipDifference(name, role, found.roles[name], known));
  const difference = joined([...parts, ...memberships]);
  const names = all.flatMap(([name], i) =>
    parts[i]!.statements.length + memberships[i]!.statements.length > 0 ? [name] : [],
  );
  const title = `${made.length > 0 ? 'make' : 'change'} the role${names.length === 1 ? '' : 's'} ${names.join(', ')}`;
  // A message of psql shows the line that it is about otherwise, and with it a verifier.
  return change('roles', title, {
    ...difference,
    statements: difference.statements.length > 0 ? ['\\set VERBOSITY terse', ...difference.statements] : [],
  });
}

const attributes = [
  ['login', 'LOGIN', true],
  ['createdb', 'CREATEDB', false],
  ['createrole', 'CREATEROLE', false],
  ['replication', 'REPLICATION', false],
  ['bypassrls', 'BYPASSRLS', false],
  ['inherit', 'INHERIT', true],
] as const;

function roleDifference(name: string, role: RoleSpec, found: RoleFact | undefined, verifier?: Secret): Difference {
  const reasons: string[] = found ? [] : [`role ${name} is not there`];
  const options: string[] = [];
  const differs = (why: string, option: string) => {
    if (found) reasons.push(`role ${name} ${why}`);
    options.push(option);
  };
  for (const [key, word, usual] of attributes) {
    const want = role[key] ?? usual;
    // Who is made has none of them but INHERIT.
    if (want !== (found?.[key] ?? key === 'inherit'))
      differs(want ? `lacks ${word}` : `has ${word}`, want ? word : `NO${word}`);
  }
  if (found?.superuser) differs('is a superuser', 'NOSUPERUSER');
  const connections = role.connections ?? -1;
  if (connections !== (found?.connections ?? -1))
    differs(
      `may have ${described(found?.connections)} connections, not ${described(connections)}`,
      `CONNECTION LIMIT ${connections}`,
    );
  const expires = role.expires === undefined ? null : Math.floor(Date.parse(role.expires) / 1000);
  if (expires !== (found?.expires ?? null)) {
    const until = expires === null ? 'infinity' : new Date(expires * 1000).toISOString();
    differs(`expires at another time than ${role.expires ?? 'never'}`, `VALID UNTIL ${text(until)}`);
  }
  const password = passwordDifference(name, role, found, verifier);
  if (password) differs(password.why, `PASSWORD ${password.value}`);
  const settings = roleSettingDifferences(role.settings ?? {}, found?.settings ?? []);
  if (found) reasons.push(...settings.map(({ why }) => `role ${name} ${why}`));
  return {
    reasons,
    statements: [
      ...(found ? [] : [whereNone('pg_roles', 'rolname', name, `CREATE ROLE ${id(name)}`)]),
      ...(options.length > 0 ? [`ALTER ROLE ${id(name)} ${options.join(' ')};`] : []),
      ...settings.map(({ parameter, values }) => {
        const quoted = parameter.split('.').map(id).join('.');
        return values === null
          ? `ALTER ROLE ${id(name)} RESET ${quoted};`
          : `ALTER ROLE ${id(name)} SET ${quoted} TO ${values.map(text).join(', ')};`;
      }),
    ],
  };
}

function passwordDifference(
  name: string,
  role: RoleSpec,
  found: RoleFact | undefined,
  generated: Secret | undefined,
): { why: string; value: string } | null {
  const wanted = passwordOf(role);
  if (name === appName || wanted === 'kept') return null;
  if (wanted === 'none') return found && found.verifier !== '' ? { why: 'has a password', value: 'NULL' } : null;
  const verifier = wanted === 'generated' ? generated?.reveal() : wanted;
  if (verifier === undefined) return null;
  const same = found?.verifier === createHash('sha256').update(verifier).digest('hex');
  return same
    ? null
    : { why: found?.verifier === '' ? 'has no password' : 'has another password', value: text(verifier) };
}

/** Memberships in groups that the file knows, and in PostgreSQL's own; what others did among themselves is theirs. */
function membershipDifference(name: string, role: RoleSpec, found: RoleFact | undefined, known: string[]): Difference {
  const [want, has] = [role.in ?? [], found?.groups ?? []];
  const lacks = want.filter((group) => !has.includes(group));
  const extra = has.filter((group) => !want.includes(group) && (known.includes(group) || group.startsWith('pg_')));
  return {
    reasons: found
      ? [
          ...lacks.map((g) => `role ${name} is not a member of ${g}`),
          ...extra.map((g) => `role ${name} is a member of ${g}`),
        ]
      : [],
    statements: [
      ...lacks.map((group) => `GRANT ${id(group)} TO ${id(name)};`),
      ...extra.map((group) => `REVOKE ${id(group)} FROM ${id(name)};`),
    ],
  };
}
