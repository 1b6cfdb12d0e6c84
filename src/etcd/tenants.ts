// A tenant's own login to etcd: user and role `pgs-<tenant>` with its key range and nothing else. What differs is computed
// from facts and only that is changed, since every change moves etcd's auth revision for everybody.

import { etcdLoginNames } from '../secrets/rotation.js';
import type { Secret } from '../secrets/secret.js';
import type { Credential } from '../secrets/shape.js';
import type { Dcs } from './client.js';
import type { Permission } from './logins.js';

/** How a tenant's login stands, as plans compare it. `wrong`: there, but with another range, role or password. */
export type TenantAccess = 'right' | 'wrong' | 'absent';

export interface LoginFacts {
  /** Roles of the tenant's user; null: there is no such user. */
  roles: string[] | null;
  /** Permissions of the tenant's role; null: there is no such role. */
  permissions: Permission[] | null;
  /** Whether the user can log in with the password of the tenant's secrets; true where it was not tried. */
  passwordWorks: boolean;
}

export type AccessChange =
  | { kind: 'add-role' }
  | { kind: 'grant-range' }
  | { kind: 'revoke-range'; start: string; end: string }
  | { kind: 'add-user' }
  | { kind: 'change-password' }
  | { kind: 'grant-role' }
  | { kind: 'revoke-role'; role: string };

/** Patroni's keys of all tenants; Patroni's `namespace` setting. */
export const dcsNamespace = '/pgs/dcs/';

export function tenantKeyPrefix(tenant: string): string {
  return `${dcsNamespace}${tenant}/`;
}

export function tenantLogin(tenant: string): string {
  return `pgs-${tenant}`;
}

/** [/pgs/dcs/acme/, /pgs/dcs/acme0): `0` follows `/`, so acme2 and acme-co lie outside. It is what Patroni itself asks for. */
export function tenantRange(tenant: string): Permission {
  return { access: 'readwrite', start: tenantKeyPrefix(tenant), end: `${dcsNamespace}${tenant}0` };
}

/** What must change, in an order in which every stop on the way leaves the tenant with too little rather than too much. */
export function planTenantAccess(tenant: string, facts: LoginFacts): AccessChange[] {
  const role = tenantLogin(tenant);
  const range = tenantRange(tenant);
  const changes: AccessChange[] = [];
  const permissions = facts.permissions ?? [];
  const foreign = (facts.roles ?? []).filter((name) => name !== role);
  changes.push(...foreign.map((name): AccessChange => ({ kind: 'revoke-role', role: name })));
  if (!facts.permissions) changes.push({ kind: 'add-role' });
  // A grant on the same range replaces the permission, so only other ranges are revoked.
  const others = permissions.filter((p) => p.start !== range.start || p.end !== range.end);
  changes.push(...others.map(({ start, end }): AccessChange => ({ kind: 'revoke-range', start, end })));
  if (!permissions.some((p) => samePermission(p, range))) changes.push({ kind: 'grant-range' });
  if (!facts.roles) changes.push({ kind: 'add-user' });
  else if (!facts.passwordWorks) changes.push({ kind: 'change-password' });
  if (!facts.roles?.includes(role)) changes.push({ kind: 'grant-role' });
  return changes;
}

function samePermission(a: Permission, b: Permission): boolean {
  return a.access === b.access && a.start === b.start && a.end === b.end;
}

/**
 * Without a password only users, role and range are judged, which spares etcd a slow hash.
 * @param users that the tenant is to have; the others of `etcdLoginNames` are to be gone
 */
export async function tenantAccessFacts(
  dcs: Dcs,
  tenant: string,
  password?: Secret,
  users = [tenantLogin(tenant)],
): Promise<TenantAccess> {
  const gone = etcdLoginNames(tenant).filter((name) => !users.includes(name));
  const [logins, others] = await Promise.all([
    Promise.all(users.map((user) => readLogin(dcs, tenant, user, password))),
    Promise.all(gone.map((name) => dcs.logins.rolesOf(name))),
  ]);
  const leftover = others.some((roles) => roles !== null);
  if (!leftover && logins.every(({ roles, permissions }) => !roles && !permissions)) return 'absent';
  return !leftover && logins.every((facts) => planTenantAccess(tenant, facts).length === 0) ? 'right' : 'wrong';
}

async function readLogin(dcs: Dcs, tenant: string, user: string, password?: Secret): Promise<LoginFacts> {
  const [roles, permissions] = await Promise.all([
    dcs.logins.rolesOf(user),
    dcs.logins.permissionsOf(tenantLogin(tenant)),
  ]);
  const tried = roles !== null && password !== undefined;
  return { roles, permissions, passwordWorks: tried ? await dcs.logins.passwordWorks(user, password) : true };
}

/** Makes one login of the tenant what it should be and returns what it changed; nothing to do changes nothing. */
export async function ensureTenantAccess(
  dcs: Dcs,
  tenant: string,
  password: Secret,
  user = tenantLogin(tenant),
): Promise<AccessChange[]> {
  const changes = planTenantAccess(tenant, await readLogin(dcs, tenant, user, password));
  for (const change of changes) await performAccessChange(dcs, tenant, { user, password }, change);
  return changes;
}

/** Makes the tenant's logins these and no others. */
export async function ensureTenantLogins(dcs: Dcs, tenant: string, wanted: Credential[]): Promise<void> {
  for (const { user, password } of wanted) await ensureTenantAccess(dcs, tenant, password, user);
  await removeLogins(
    dcs,
    etcdLoginNames(tenant).filter((name) => !wanted.some(({ user }) => user === name)),
  );
}

async function removeLogins({ logins }: Dcs, users: string[]): Promise<void> {
  const roles = await Promise.all(users.map((user) => logins.rolesOf(user)));
  for (const [i, user] of users.entries()) if (roles[i]) await logins.removeUser(user);
}

async function performAccessChange(
  dcs: Dcs,
  tenant: string,
  { user: login, password }: Credential,
  change: AccessChange,
): Promise<void> {
  const role = tenantLogin(tenant);
  const { logins } = dcs;
  switch (change.kind) {
    case 'add-role':
      return logins.addRole(role);
    case 'grant-range':
      return logins.grantPermission(role, tenantRange(tenant));
    case 'revoke-range':
      return logins.revokePermission(role, change);
    case 'add-user':
      return logins.addUser(login, password);
    case 'change-password':
      return logins.changePassword(login, password);
    case 'grant-role':
      return logins.grantRole(login, role);
    case 'revoke-role':
      return logins.revokeRole(login, change.role);
  }
}

/** Removes the tenant's users and role; no error if they are gone. */
export async function removeTenantAccess(dcs: Dcs, tenant: string): Promise<void> {
  const role = tenantLogin(tenant);
  const permissions = await dcs.logins.permissionsOf(role);
  await removeLogins(dcs, etcdLoginNames(tenant));
  if (permissions) await dcs.logins.removeRole(role);
}

export interface TenantKeys {
  /** Something lies under the tenant's prefix. */
  present: boolean;
  /**
   * What Patroni's members are to follow; null when there is nothing that can be read. Taken from etcd, since a member's REST
   * answers GET /config from what it knew at its last loop.
   */
  settings: Record<string, unknown> | null;
  /** Members that Patroni would let take over at RPO 0, the leader's word in the DCS; null: there is no such list. */
  synchronous: string[] | null;
  /** How many others of that list must be no further than a member for it to have every acknowledged commit (quorum commit). */
  quorum: number;
  /** A switchover or failover that Patroni was asked for and has not done; null when there is none. */
  failover: Record<string, unknown> | null;
  /** Name of the member that holds the leader's key. */
  leader: string | null;
  /** Position that the leader said it had reached, bytes; up to loop_wait old. */
  leaderBytes: number | null;
  /** System identifier that the cluster was made with; null: there is none. */
  initialize: string | null;
  /** Keys that are not Patroni's, whole. */
  foreign: string[];
}

/** All that Patroni keeps below a scope (patroni/dcs/__init__.py, AbstractDCS). */
const patroniKeys = /^(config|initialize|leader|history|status|sync|failover|failsafe|optime\/leader|members\/[^/]+)$/;

export async function readTenantKeys(dcs: Dcs, tenant: string): Promise<TenantKeys> {
  const prefix = tenantKeyPrefix(tenant);
  const found = await dcs.getPrefix(prefix);
  const value = (name: string) => found.find(({ key }) => key === `${prefix}${name}`)?.value;
  const object = (name: string) => parseObject(value(name) ?? '');
  const [sync, failover] = [object('sync'), object('failover')];
  const position = Number(object('status')?.optime);
  return {
    present: found.length > 0,
    settings: object('config'),
    synchronous: typeof sync?.sync_standby === 'string' ? sync.sync_standby.split(',').filter((m) => m !== '') : null,
    quorum: typeof sync?.quorum === 'number' ? sync.quorum : 0,
    failover: failover && Object.keys(failover).length > 0 ? failover : null,
    leader: value('leader') ?? null,
    leaderBytes: Number.isFinite(position) && position > 0 ? position : null,
    initialize: value('initialize') ?? null,
    foreign: found.map(({ key }) => key).filter((key) => !patroniKeys.test(key.slice(prefix.length))),
  };
}

/**
 * Names who takes over from a leader that is being stopped, in Patroni's own key: nobody else leads then as long as the candidate
 * answers, and the candidate asks nobody. It does not look at what the candidate has: that is the caller's to know.
 * Leaves a request that is there already as it is.
 */
export async function nameCandidate(dcs: Dcs, tenant: string, leader: string, candidate: string): Promise<void> {
  const key = `${tenantKeyPrefix(tenant)}failover`;
  const value = JSON.stringify({ leader, member: candidate });
  await dcs.transact({ if: [{ key, is: 'absent' }], then: [{ put: key, value }] });
}

/** Null for what is no JSON object. */
function parseObject(json: string): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** Removes what a member that left has said of itself; otherwise it stays until its lease ends. No error if it is gone. */
export async function forgetMember(dcs: Dcs, tenant: string, member: string): Promise<void> {
  await dcs.delete(`${tenantKeyPrefix(tenant)}members/${member}`);
}

/** Removes what the tenant's Patroni keeps in etcd; returns how many keys there were. */
export async function removeTenantKeys(dcs: Dcs, tenant: string): Promise<number> {
  return dcs.deletePrefix(tenantKeyPrefix(tenant));
}
