// What is wrong with the roles, databases and access rules of a tenant's file, where a shape alone does not show it. Pure: path and message of
// each fault, so that whoever read the file can name the line.

import { didYouMean } from '../did-you-mean.js';
import type { Fault } from '../fault.js';
import { locksAppOut, shadowedBy, unreachable } from './hba.js';
import { lintOverrides } from './lint.js';
import {
  appName,
  defaultRoleNames,
  extensionsOf,
  isPresent,
  logsIn,
  passwordOf,
  schemasOf,
  type DatabaseSpec,
  type HbaRule,
  type RoleSpec,
} from './objects.js';
import { changesAtStart, holdsControls, isParameterName, misfitOf } from './parameters.js';
import { maxConnectionsOf, poolersShare } from './settings.js';
import { sqlNameFault, type SqlNoun } from './sql-names.js';
import type { TenantSpec } from './tenant.js';

/** What of a file is judged; as it is written. */
export interface ObjectFile {
  default_roles?: boolean | undefined;
  roles?: Record<string, RoleSpec> | undefined;
  databases?: Record<string, DatabaseSpec> | undefined;
  hba?: HbaRule[] | undefined;
  labels?: Record<string, string> | undefined;
  settings?: TenantSpec['settings'] | undefined;
  pool?: TenantSpec['pool'] | undefined;
}

/** PostgreSQL's own roles by which files and programs of the host are reached: with them the tenant's keys and its login to etcd. */
const tooMuch = ['pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'];

/** Extensions that cannot be made unless the server has loaded a library of this name at its start. */
const preloaded = ['pg_cron', 'timescaledb', 'citus', 'pgaudit'];

export function objectFaults(file: ObjectFile): Fault[] {
  return [...roleFaults(file), ...databaseFaults(file), ...poolFaults(file), ...hbaFaults(file), ...labelFaults(file)];
}

function nameFault(noun: SqlNoun, name: string, path: Fault['path'], others: string[], at?: 'key'): Fault[] {
  const fault = sqlNameFault(noun, name, others);
  if (fault === null) return [];
  const shown = JSON.stringify(name.slice(0, 80));
  return [
    {
      path,
      message: `${shown} cannot be the name of ${noun === 'extension' ? 'an' : 'a'} ${noun}: ${fault}`,
      ...(at ? { at } : {}),
    },
  ];
}

/** Roles that are there once the file is applied. */
function knownRoles({ roles = {}, default_roles: defaults = false }: ObjectFile): string[] {
  const named = Object.entries(roles).filter(([, role]) => isPresent(role));
  return [...new Set([appName, ...named.map(([name]) => name), ...(defaults ? defaultRoleNames : [])])];
}

function notThere(name: string, file: ObjectFile): string | null {
  const known = knownRoles(file);
  if (known.includes(name)) return null;
  const hint = (defaultRoleNames as readonly string[]).includes(name)
    ? ': it comes with `default_roles: true`'
    : `${didYouMean(name, known)} (roles are ${known.join(', ')})`;
  return `${JSON.stringify(name.slice(0, 80))} is not among the roles of this file${hint}`;
}

function roleFaults(file: ObjectFile): Fault[] {
  const { roles = {}, default_roles: defaults = false } = file;
  const names = Object.keys(roles);
  return Object.entries(roles).flatMap(([name, role]) => {
    const path = ['roles', name];
    const fault = (key: string, message: string): Fault => ({ path: [...path, key], message });
    const ours = defaults && (defaultRoleNames as readonly string[]).includes(name);
    return [
      ...nameFault('role', name, path, names, 'key'),
      ...(ours ? [{ path, at: 'key' as const, message: 'comes with `default_roles: true` and is kept by pgs' }] : []),
      ...(role.superuser
        ? [fault('superuser', 'there is no superuser but postgres, who logs in on the host only')]
        : []),
      ...(name === appName ? appFaults(role, fault) : []),
      ...passwordFaults(role, fault),
      ...membershipFaults(name, role, file),
      ...settingFaults(role, path),
    ];
  });
}

function appFaults(role: RoleSpec, fault: (key: string, message: string) => Fault): Fault[] {
  return [
    ...(role.password === undefined || role.password === 'kept'
      ? []
      : [fault('password', 'of app is kept by pgs: `pgs rotate <tenant> app` makes another one')]),
    ...(isPresent(role) ? [] : [fault('state', 'app cannot be absent: pgs and its drills log in as app')]),
    ...(logsIn(role) ? [] : [fault('login', 'app has to log in: pgs and its drills do')]),
  ];
}

function passwordFaults(role: RoleSpec, fault: (key: string, message: string) => Fault): Fault[] {
  if (logsIn(role) || ['none', 'kept'].includes(passwordOf(role))) return [];
  return [fault('password', 'is of no use to a role that does not log in')];
}

function membershipFaults(name: string, { in: groups = [] }: RoleSpec, file: ObjectFile): Fault[] {
  return groups.flatMap((group, index): Fault[] => {
    const path = ['roles', name, 'in', index];
    if (tooMuch.includes(group))
      return [{ path, message: `${group} reaches the files of the host: the tenant's keys, and its login to etcd` }];
    if (/^pg_[a-z_]+$/.test(group)) return [];
    if (group === name || leadsTo(group, name, file.roles ?? {}))
      return [{ path, message: `${group} is a member of ${name} itself` }];
    const why = notThere(group, file);
    return why === null ? [] : [{ path, message: why }];
  });
}

/** Whether a role is a member of another one, by others too. */
function leadsTo(from: string, to: string, roles: Record<string, RoleSpec>, seen: string[] = []): boolean {
  if (seen.includes(from)) return false;
  const groups = roles[from]?.in ?? [];
  return groups.includes(to) || groups.some((group) => leadsTo(group, to, roles, [...seen, from]));
}

function settingFaults({ settings = {} }: RoleSpec, path: string[]): Fault[] {
  return Object.entries(settings).flatMap(([name, value]) => {
    const why = settingFault(name, value);
    return why === null ? [] : [{ path: [...path, 'settings', name], message: why }];
  });
}

/** What a role may have of its own is judged as what all have; at RPO 0, since who is asynchronous by a role would be so unseen. */
function settingFault(name: string, value: string | number | boolean): string | null {
  if (!isParameterName(name)) return 'is not the name of a PostgreSQL parameter';
  if (holdsControls(value)) return 'holds a control character';
  if (changesAtStart(name) === true) return 'is of the whole server, and changes at its start only';
  const misfit = misfitOf(name, value);
  if (misfit !== null) return misfit;
  const broken = lintOverrides({ rto: 'norm', rpoBytes: 0, replicas: 2, settings: { [name]: value } });
  return broken.find(({ verdict }) => verdict === 'broken')?.why ?? null;
}

function databaseFaults(file: ObjectFile): Fault[] {
  const { databases = {} } = file;
  return Object.entries(databases).flatMap(([name, database]) => {
    const path = ['databases', name];
    const owner = database.owner === undefined || !isPresent(database) ? null : notThere(database.owner, file);
    const appsOwner = name === appName && (database.owner ?? appName) !== appName;
    return [
      ...nameFault('database', name, path, Object.keys(databases), 'key'),
      ...(owner === null ? [] : [{ path: [...path, 'owner'], message: owner }]),
      ...(appsOwner ? [{ path: [...path, 'owner'], message: 'of the database app is the role app' }] : []),
      ...(name === appName && !isPresent(database)
        ? [{ path: [...path, 'state'], message: 'app cannot be absent: drills of pgs write there' }]
        : []),
      ...schemaFaults(database, path, file),
      ...extensionFaults(database, path, file),
    ];
  });
}

/** What the poolers may open together must leave the rest of PostgreSQL's connections to the direct services. */
function poolFaults({ databases = {}, settings = {} }: ObjectFile): Fault[] {
  const sizes = Object.entries(databases).flatMap(([name, { pool }]) => (pool === undefined ? [] : [{ name, pool }]));
  const all = sizes.reduce((sum, { pool }) => sum + pool, 0);
  const connections = maxConnectionsOf({ settings });
  const most = Math.floor(connections * poolersShare.primary);
  if (all <= most) return [];
  return [
    {
      path: ['databases', sizes.at(-1)!.name, 'pool'],
      message: `all pools together are ${all}, and poolers may open ${most} of max_connections (${connections})`,
    },
  ];
}

function schemaFaults(database: DatabaseSpec, path: string[], file: ObjectFile): Fault[] {
  const schemas = schemasOf(database);
  const names = schemas.map((schema) => schema.name);
  return schemas.flatMap(({ name, owner }, index) => {
    const at = [...path, 'schemas', index];
    const why = owner === undefined ? null : notThere(owner, file);
    return [
      ...nameFault('schema', name, at, names),
      ...twice(names, index, at),
      ...(why === null ? [] : [{ path: [...at, 'owner'], message: why }]),
    ];
  });
}

function extensionFaults(database: DatabaseSpec, path: string[], { settings = {} }: ObjectFile): Fault[] {
  const extensions = extensionsOf(database);
  const names = extensions.map((extension) => extension.name);
  const loaded = String(settings['shared_preload_libraries'] ?? '').split(/[\s,]+/);
  return extensions.flatMap((extension, index) => {
    const { name, schema } = extension;
    const at = [...path, 'extensions', index];
    const needsLoading = isPresent(extension) && preloaded.includes(name) && !loaded.includes(name);
    return [
      ...nameFault('extension', name, at, names),
      ...twice(names, index, at),
      ...(schema === undefined ? [] : nameFault('schema', schema, [...at, 'schema'], [])),
      ...(needsLoading
        ? [
            {
              path: at,
              message: `${name} must be loaded at the start: settings: { shared_preload_libraries: ${name} }`,
            },
          ]
        : []),
    ];
  });
}

function twice(names: string[], index: number, path: Fault['path']): Fault[] {
  return names.indexOf(names[index]!) === index ? [] : [{ path, message: `${names[index]} is named twice` }];
}

function hbaFaults(file: ObjectFile): Fault[] {
  const { hba = [], databases = {}, pool = 'transaction' } = file;
  const present = Object.entries(databases).filter(([, database]) => isPresent(database));
  const known = [...new Set([appName, 'postgres', ...present.map(([name]) => name)])];
  const names = hba.map((rule) => rule.name);
  return hba.flatMap((rule, index) => {
    const path = ['hba', index];
    const reach = unreachable(rule, pool, null);
    const shadow = shadowedBy(rule, hba.slice(0, index));
    const unknown = (rule.databases ?? []).flatMap((name, i): Fault[] =>
      known.includes(name)
        ? []
        : [
            {
              path: [...path, 'databases', i],
              message: `${JSON.stringify(name)} is not among the databases of this file${didYouMean(name, known)}`,
            },
          ],
    );
    const strangers = (rule.roles ?? []).flatMap((name, i): Fault[] => {
      const why = notThere(name, file);
      return why === null ? [] : [{ path: [...path, 'roles', i], message: why }];
    });
    return [
      ...(/^[a-z][a-z0-9-]{0,62}$/.test(rule.name)
        ? []
        : [{ path: [...path, 'name'], message: 'must be a word of a-z, 0-9 and hyphens that begins with a letter' }]),
      ...twice(names, index, [...path, 'name']),
      ...(reach === null ? [] : [{ path: [...path, reach.key], message: reach.why }]),
      ...(locksAppOut(rule)
        ? [
            {
              path: [...path, 'auth'],
              message: 'would keep app out, by which pgs and its drills log in: name roles, or databases',
            },
          ]
        : []),
      ...(shadow === null
        ? []
        : [
            {
              path,
              message: `meets sessions that ${shadow.name} takes already, by ${shadow.auth}: the first rule that fits decides`,
            },
          ]),
      ...unknown,
      ...strangers,
    ];
  });
}

function labelFaults({ labels = {} }: ObjectFile): Fault[] {
  return Object.entries(labels).flatMap(([name, value]): Fault[] => {
    const path = ['labels', name];
    if (!/^[a-z]([a-z0-9._/_-]{0,61}[a-z0-9])?$/.test(name))
      return [{ path, at: 'key', message: 'a label is a word of a-z, 0-9, dots, slashes, underscores and hyphens' }];
    return value.length <= 200 && !/\p{Cc}/u.test(value)
      ? []
      : [{ path, message: 'has at most 200 characters, and no control characters' }];
  });
}
