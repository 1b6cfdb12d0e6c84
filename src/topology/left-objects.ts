// What a tenant's file named once and does not any more. Nothing is dropped because of that: the record remembers the names, so that the plan
// can say what stays. Pure.

import { appName, defaultRoleNames, extensionsOf, isPresent, schemasOf, type ObjectSpecs } from './objects.js';
import type { LeftObjects } from './tenant.js';

/** Of `before` and of what was left already, what `after` does not name. Undefined: nothing. */
export function leftAfter(
  before: ObjectSpecs,
  left: LeftObjects | undefined,
  after: ObjectSpecs,
): LeftObjects | undefined {
  const [had, named] = [namesOf(before, 'present'), namesOf(after, 'any')];
  const remaining = (kind: keyof LeftObjects) =>
    [...new Set([...(left?.[kind] ?? []), ...had[kind]])].filter((name) => !named[kind].includes(name)).sort();
  const databases = remaining('databases');
  // With a database that stays, all that is in it does.
  const inOthers = (name: string) => !databases.includes(name.split('.')[0]!);
  const now: LeftObjects = {
    roles: remaining('roles'),
    databases,
    schemas: remaining('schemas').filter(inOthers),
    extensions: remaining('extensions').filter(inOthers),
  };
  return Object.values(now).some((names: string[]) => names.length > 0) ? now : undefined;
}

/** The record with what is left; without the key when nothing is, so that a record that does not change is the same. */
export function withLeft<T extends { left?: LeftObjects | undefined }>(record: T, left: LeftObjects | undefined): T {
  const changed = { ...record };
  delete changed.left;
  return left ? { ...changed, left } : changed;
}

function namesOf(
  { roles = {}, defaultRoles = false, databases = {} }: ObjectSpecs,
  which: 'present' | 'any',
): LeftObjects {
  const counts = (one: { state?: 'present' | 'absent' | undefined }) => which === 'any' || isPresent(one);
  const wanted = Object.entries(databases).filter(([, database]) => counts(database));
  const named = Object.entries(roles).filter(([name, role]) => name !== appName && counts(role));
  const inside = (of: typeof extensionsOf | typeof schemasOf) =>
    wanted.flatMap(([name, database]) =>
      of(database)
        .filter(counts)
        .map((one) => `${name}.${one.name}`),
    );
  return {
    roles: [...named.map(([name]) => name), ...(defaultRoles ? defaultRoleNames : [])],
    databases: wanted.map(([name]) => name).filter((name) => name !== appName),
    schemas: inside(schemasOf),
    extensions: inside(extensionsOf),
  };
}
