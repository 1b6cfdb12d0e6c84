// Which keys under /pgs/ in etcd are nobody's: not of a tenant that there is, and not of a kind that pgs writes. Pure.

import { dcsNamespace } from '../etcd/tenants.js';

const root = '/pgs/';
const stateRoot = `${root}state/`;
/** Below these comes a tenant's name. */
const ofTenants = ['secrets/', 'locks/', 'drills/secrets/', 'drills/schedules/', 'drills/runs/'].map(
  (p) => stateRoot + p,
);

/**
 * @param keys - all keys under /pgs/
 * @param tenants - names of all tenants, retired ones too
 * @param inTenants - foreign keys in the places of tenants, as each tenant's own look says
 */
export function foreignKeys(keys: string[], tenants: string[], inTenants: string[]): string[] {
  return keys.filter((key) => inTenants.includes(key) || isForeign(key, tenants));
}

/** What another version of pgs may keep under /pgs/state/ is not for this one to judge. */
function isForeign(key: string, tenants: string[]): boolean {
  const prefix = [dcsNamespace, ...ofTenants].find((p) => key.startsWith(p));
  if (prefix !== undefined) return !tenants.includes(key.slice(prefix.length).split('/')[0]!);
  return !key.startsWith(stateRoot);
}
