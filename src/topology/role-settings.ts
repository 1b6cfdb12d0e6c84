// Parameters that a role has of its own: what differs between the file and pg_db_role_setting. Pure.

import { sameValue } from './parameters.js';
import type { Settings } from './settings.js';

/** Parameters that are a list of names: one text would be one name (PostgreSQL's GUC_LIST_QUOTE). */
const nameLists = ['search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries'];

export interface RoleSettingDifference {
  parameter: string;
  /** What it is set to; null: it is taken back. */
  values: string[] | null;
  /** As a phrase that follows the role's name. */
  why: string;
}

/** @param found lines of `name=value` */
export function roleSettingDifferences(wanted: Settings, found: string[]): RoleSettingDifference[] {
  const has = new Map(
    found.map((line) => [line.slice(0, line.indexOf('=')).toLowerCase(), line.slice(line.indexOf('=') + 1)]),
  );
  const changed = Object.entries(wanted).flatMap(([parameter, value]): RoleSettingDifference[] => {
    const now = has.get(parameter);
    if (now !== undefined && isSame(parameter, now, value)) return [];
    const values = nameLists.includes(parameter) ? namesIn(String(value)) : [String(value)];
    return [{ parameter, values, why: `has ${parameter} ${now ?? 'of the server'}, not ${String(value)}` }];
  });
  const extra = [...has.keys()].filter((parameter) => !(parameter in wanted));
  return [...changed, ...extra.map((parameter) => ({ parameter, values: null, why: `has ${parameter} of its own` }))];
}

function isSame(parameter: string, now: string, wanted: string | number | boolean): boolean {
  if (!nameLists.includes(parameter)) return sameValue(parameter, now, wanted);
  return namesIn(now).join(',') === namesIn(String(wanted)).join(',');
}

/** `"$user", public` as its names. */
function namesIn(list: string): string[] {
  const parts = list.match(/"(?:[^"]|"")*"|[^,]+/g) ?? [];
  return parts
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part));
}
