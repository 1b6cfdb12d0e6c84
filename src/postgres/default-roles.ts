// The groups that come with `default_roles: true`, and what each may do in every database of the file. Pure.
//
//   readonly   reads what is there and what is to come
//   readwrite  and writes it
//   admin      and makes schemas, tables and what else there is in a database
//   monitor    sees how the server does, and no data

import { appName, isPresent, type DatabaseSpec, type ObjectSpecs, type RoleSpec } from '../topology/objects.js';

const group = (...groups: string[]): RoleSpec => ({
  login: false,
  password: 'none',
  ...(groups.length > 0 ? { in: groups } : {}),
});

/** In the order in which they are made. */
export const defaultGroups: Record<string, RoleSpec> = {
  readonly: group(),
  readwrite: group('readonly'),
  admin: group('readwrite'),
  monitor: group('pg_monitor'),
};

export interface Privilege {
  to: string;
  privileges: string[];
}

/** `letter` as in pg_default_acl. */
export const defaultPrivileges: {
  database: Privilege[];
  schema: Privilege[];
  objects: { type: string; letter: string; grants: Privilege[] }[];
} = {
  database: [
    { to: 'readonly', privileges: ['CONNECT'] },
    { to: 'readwrite', privileges: ['TEMPORARY'] },
    { to: 'admin', privileges: ['CREATE'] },
    { to: 'monitor', privileges: ['CONNECT'] },
  ],
  schema: [
    { to: 'readonly', privileges: ['USAGE'] },
    { to: 'admin', privileges: ['CREATE'] },
  ],
  objects: [
    {
      type: 'TABLES',
      letter: 'r',
      grants: [
        { to: 'readonly', privileges: ['SELECT'] },
        { to: 'readwrite', privileges: ['INSERT', 'UPDATE', 'DELETE'] },
        { to: 'admin', privileges: ['TRUNCATE', 'REFERENCES', 'TRIGGER'] },
      ],
    },
    {
      type: 'SEQUENCES',
      letter: 'S',
      grants: [
        { to: 'readonly', privileges: ['SELECT'] },
        { to: 'readwrite', privileges: ['USAGE', 'UPDATE'] },
      ],
    },
    {
      type: 'SCHEMAS',
      letter: 'n',
      grants: [
        { to: 'readonly', privileges: ['USAGE'] },
        { to: 'admin', privileges: ['CREATE'] },
      ],
    },
  ],
};

/** Roles whose tables the groups are to see: the owner of the database, and all that may make some by `admin`. */
export function creatorsOf({ owner = appName }: DatabaseSpec, { roles = {} }: ObjectSpecs): string[] {
  const present = Object.entries(roles).filter(([, role]) => isPresent(role));
  const isAdmin = (name: string, seen: string[] = []): boolean =>
    !seen.includes(name) && (roles[name]?.in ?? []).some((of) => of === 'admin' || isAdmin(of, [...seen, name]));
  return [...new Set([owner, 'admin', ...present.map(([name]) => name).filter((name) => isAdmin(name))])];
}
