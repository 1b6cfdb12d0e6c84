// An etcd in memory: keys with revisions, transactions, leases, users and roles, as `Dcs` promises them. Two kinds of writers:
// pgs, whose every write is a change that may be the last before it dies, and the simulated Patronis.

import type { Comparison, Dcs, KeyValue, Transaction, TransactionResult, Write } from '../../src/etcd/client.js';
import type { MemberStatus } from '../../src/etcd/facts.js';
import type { Logins, Permission } from '../../src/etcd/logins.js';
import type { Secret } from '../../src/secrets/secret.js';
import type { Maintenance } from '../../src/etcd/maintenance.js';

export interface DcsState {
  keys: [string, KeyValue][];
  leases: [string, number][];
  users: [string, { password: string; roles: string[] }][];
  roles: [string, Permission[]][];
  revision: number;
}

/** Turns what a call does into the call. */
type Look = <A extends unknown[], T>(perform: (...args: A) => T) => (...args: A) => Promise<T>;
type Change = <A extends unknown[], T>(
  what: (...args: A) => string,
  perform: (...args: A) => T,
) => (...args: A) => Promise<T>;

export class SimulatedDcs {
  keys = new Map<string, KeyValue>();
  leases = new Map<string, number>();
  users = new Map<string, { password: string; roles: string[] }>();
  roles = new Map<string, Permission[]>();
  revision = 1;
  /** Called before every change that pgs makes; what it throws keeps the change from happening. */
  onChange: (what: string) => void = () => undefined;
  /** Called after a change, for whoever watches. */
  onChanged: () => void = () => undefined;

  snapshot(): DcsState {
    const { keys, leases, users, roles, revision } = this;
    return structuredClone({
      keys: [...keys],
      leases: [...leases],
      users: [...users],
      roles: [...roles],
      revision,
    });
  }

  restore(state: DcsState): void {
    const { keys, leases, users, roles, revision } = structuredClone(state);
    this.keys = new Map(keys);
    this.leases = new Map(leases);
    this.users = new Map(users);
    this.roles = new Map(roles);
    this.revision = revision;
  }

  /** Whether somebody with this login may write under the prefix. */
  mayWrite(user: string, password: string, prefix: string): boolean {
    const found = this.users.get(user);
    if (found?.password !== password) return false;
    return found.roles
      .flatMap((role) => this.roles.get(role) ?? [])
      .some((p) => p.access === 'readwrite' && p.start <= prefix && prefix < p.end);
  }

  put(key: string, value: string, lease: string | null = null): void {
    this.revision++;
    const createRevision = this.keys.get(key)?.createRevision ?? String(this.revision);
    this.keys.set(key, { key, value, createRevision, modRevision: String(this.revision), lease });
  }

  withPrefix(prefix: string): KeyValue[] {
    return [...this.keys.values()].filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  remove(key: string): boolean {
    this.revision++;
    return this.keys.delete(key);
  }

  /** What becomes of a lease whose holder died and whose time passed. */
  endLease(id: string): void {
    this.leases.delete(id);
    for (const { key, lease } of [...this.keys.values()]) if (lease === id) this.remove(key);
  }

  /** The DCS as one process of pgs sees it; `enter` is awaited by every call: for a dead process it has no end. */
  connect(enter: () => Promise<void>): Dcs {
    const look: Look =
      (perform) =>
      async (...args) => {
        await enter();
        return perform(...args);
      };
    const change: Change = (what, perform) =>
      look((...args) => {
        this.onChange(what(...args));
        const result = perform(...args);
        this.onChanged();
        return result;
      });
    return {
      endpoints: [],
      maintenance: { statuses: look(() => [] as MemberStatus[]) } as Partial<Maintenance> as Maintenance,
      logins: this.#logins(look, change),
      get: look((key: string) => this.keys.get(key) ?? null),
      getPrefix: look((prefix: string) => this.withPrefix(prefix)),
      put: change(
        (key) => `put ${key}`,
        (key: string, value: string, lease?: string) => this.put(key, value, lease),
      ),
      delete: change(
        (key) => `delete ${key}`,
        (key: string) => this.remove(key),
      ),
      deletePrefix: change(
        (prefix) => `delete ${prefix}*`,
        (prefix: string) => this.withPrefix(prefix).filter(({ key }) => this.remove(key)).length,
      ),
      transact: look(({ if: comparisons, then, otherwiseRead = [] }: Transaction): TransactionResult => {
        const succeeded = comparisons.every((c) => this.#holds(c));
        if (succeeded) {
          this.onChange(then.map((write) => Object.values(write)[0]).join(' + '));
          for (const write of then) this.#write(write);
          this.onChanged();
        }
        const found = succeeded ? [] : otherwiseRead.map((key) => this.keys.get(key) ?? null);
        return { succeeded, revision: String(this.revision), found };
      }),
      grantLease: change(
        (ttlS: number) => `grant lease of ${ttlS} s`,
        (ttlS: number) => {
          const id = String(++this.revision);
          this.leases.set(id, ttlS);
          return { id, ttlS };
        },
      ),
      keepLeaseAlive: look((id: string) => this.leases.get(id) ?? 0),
      leaseRemainingS: look((id: string) => this.leases.get(id) ?? 0),
      revokeLease: change(
        (id: string) => `revoke lease ${id}`,
        (id: string) => this.endLease(id),
      ),
      close: () => undefined,
    };
  }

  #holds(comparison: Comparison): boolean {
    const found = this.keys.get(comparison.key);
    if ('is' in comparison) return (found !== undefined) === (comparison.is === 'present');
    if ('modRevision' in comparison) return found?.modRevision === comparison.modRevision;
    return found?.createRevision === comparison.createRevision;
  }

  #write(write: Write): void {
    if ('put' in write) this.put(write.put, write.value, write.lease);
    else if ('deleteKey' in write) this.remove(write.deleteKey);
    else for (const { key } of this.withPrefix(write.deletePrefix)) this.remove(key);
  }

  #logins(look: Look, change: Change): Logins {
    const roles = (user: string) => this.users.get(user)!.roles;
    const permissions = (role: string) => this.roles.get(role)!;
    return {
      enabled: look(() => true),
      enable: look(() => undefined),
      users: look(() => [...this.users.keys()]),
      rolesOf: look((user: string) => this.users.get(user)?.roles ?? null),
      addUser: change(
        (user) => `add user ${user}`,
        (user: string, password: Secret) => {
          if (!this.users.has(user)) this.users.set(user, { password: password.reveal(), roles: [] });
        },
      ),
      passwordWorks: look((user: string, password: Secret) => this.users.get(user)?.password === password.reveal()),
      changePassword: change(
        (user) => `change password of ${user}`,
        (user: string, password: Secret) => {
          this.users.get(user)!.password = password.reveal();
        },
      ),
      removeUser: change(
        (user) => `remove user ${user}`,
        (user: string) => void this.users.delete(user),
      ),
      grantRole: change(
        (user) => `grant role to ${user}`,
        (user: string, role: string) => {
          if (!roles(user).includes(role)) roles(user).push(role);
        },
      ),
      revokeRole: change(
        (user) => `revoke role of ${user}`,
        (user: string, role: string) => {
          this.users.get(user)!.roles = roles(user).filter((r) => r !== role);
        },
      ),
      permissionsOf: look((role: string) => this.roles.get(role) ?? null),
      addRole: change(
        (role) => `add role ${role}`,
        (role: string) => {
          if (!this.roles.has(role)) this.roles.set(role, []);
        },
      ),
      removeRole: change(
        (role) => `remove role ${role}`,
        (role: string) => void this.roles.delete(role),
      ),
      grantPermission: change(
        (role) => `grant range to ${role}`,
        (role: string, permission: Permission) => {
          const others = permissions(role).filter((p) => p.start !== permission.start || p.end !== permission.end);
          this.roles.set(role, [...others, permission]);
        },
      ),
      revokePermission: change(
        (role) => `revoke range of ${role}`,
        (role: string, { start, end }: Pick<Permission, 'start' | 'end'>) => {
          this.roles.set(
            role,
            permissions(role).filter((p) => p.start !== start || p.end !== end),
          );
        },
      ),
    };
  }
}
