// etcd's users and roles as pgs uses them: thin, idempotent calls. Who needs which is decided elsewhere.

import {
  EtcdAuthenticationFailedError,
  EtcdRoleExistsError,
  EtcdRoleNotFoundError,
  EtcdRoleNotGrantedError,
  EtcdUserExistsError,
  EtcdUserNotFoundError,
} from './library.js';
import type { Secret } from '../secrets/secret.js';
import { answeredWith, type Call, type EtcdConnection } from './connection.js';

export interface Permission {
  access: 'read' | 'write' | 'readwrite';
  /** First key of the range, and the first one after it; `end` is empty for a single key. */
  start: string;
  end: string;
}

/** Each call that changes something moves etcd's auth revision, so callers look first and change only what differs. */
export interface Logins {
  enabled(): Promise<boolean>;
  enable(): Promise<void>;
  users(): Promise<string[]>;
  /** Roles of a user, null if there is no such user. */
  rolesOf(user: string): Promise<string[] | null>;
  addUser(user: string, password: Secret): Promise<void>;
  /** Whether the user can log in with it. Leaves the auth revision alone. */
  passwordWorks(user: string, password: Secret): Promise<boolean>;
  /** Ends the user's logins. */
  changePassword(user: string, password: Secret): Promise<void>;
  removeUser(user: string): Promise<void>;
  grantRole(user: string, role: string): Promise<void>;
  revokeRole(user: string, role: string): Promise<void>;
  /** Null if there is no such role. */
  permissionsOf(role: string): Promise<Permission[] | null>;
  addRole(role: string): Promise<void>;
  removeRole(role: string): Promise<void>;
  grantPermission(role: string, permission: Permission): Promise<void>;
  revokePermission(role: string, permission: Pick<Permission, 'start' | 'end'>): Promise<void>;
}

export function createLogins(connection: EtcdConnection): Logins {
  const ask = <T>(doing: string, perform: Call<T>['perform']) =>
    connection.call({ doing: `${doing} in etcd`, repeat: 'repeatable', perform });
  /** A change that is repeated after a lost answer may find itself done. */
  const change = async (doing: string, done: ErrorClass[], perform: Call<unknown>['perform']) => {
    await ask(doing, perform).catch(unless(done));
  };
  return {
    enabled: () =>
      ask(
        'looking whether authentication is on',
        async ({ auth }, options) => (await auth.authStatus(options)).enabled,
      ),
    enable: () => change('turning authentication on', [], ({ auth }, options) => auth.authEnable(options)),
    users: () => ask('listing users', async ({ auth }, options) => (await auth.userList(options)).users),
    rolesOf: (user) =>
      ask(
        `looking at user ${user}`,
        async ({ auth }, options) => (await auth.userGet({ name: user }, options)).roles,
      ).catch(nullIf(EtcdUserNotFoundError)),
    addUser: (user, password) =>
      change(`adding user ${user}`, [EtcdUserExistsError], ({ auth }, options) =>
        auth.userAdd({ name: user, password: password.reveal() }, options),
      ),
    passwordWorks: (user, password) => passwordWorks(connection, user, password),
    changePassword: (user, password) =>
      change(`changing the password of user ${user}`, [], ({ auth }, options) =>
        auth.userChangePassword({ name: user, password: password.reveal() }, options),
      ),
    removeUser: (user) =>
      change(`removing user ${user}`, [EtcdUserNotFoundError], ({ auth }, options) =>
        auth.userDelete({ name: user }, options),
      ),
    grantRole: (user, role) =>
      change(`giving role ${role} to user ${user}`, [], ({ auth }, options) =>
        auth.userGrantRole({ user, role }, options),
      ),
    revokeRole: (user, role) =>
      change(`taking role ${role} from user ${user}`, [EtcdRoleNotGrantedError], ({ auth }, options) =>
        auth.userRevokeRole({ name: user, role }, options),
      ),
    ...rolesOf(ask, change),
  };
}

type Ask = <T>(doing: string, perform: Call<T>['perform']) => Promise<T>;
type Change = (doing: string, done: ErrorClass[], perform: Call<unknown>['perform']) => Promise<void>;
type RoleCalls = Pick<Logins, 'permissionsOf' | 'addRole' | 'removeRole' | 'grantPermission' | 'revokePermission'>;

function rolesOf(ask: Ask, change: Change): RoleCalls {
  return {
    permissionsOf: (role) =>
      ask(`looking at role ${role}`, async ({ auth }, options) => {
        const { perm } = await auth.roleGet({ role }, options);
        return perm.map(({ permType, key, range_end: end }) => ({
          access: String(permType).toLowerCase() as Permission['access'],
          start: key.toString(),
          end: end.toString(),
        }));
      }).catch(nullIf(EtcdRoleNotFoundError)),
    addRole: (role) =>
      change(`adding role ${role}`, [EtcdRoleExistsError], ({ auth }, options) =>
        auth.roleAdd({ name: role }, options),
      ),
    removeRole: (role) =>
      change(`removing role ${role}`, [EtcdRoleNotFoundError], ({ auth }, options) =>
        auth.roleDelete({ role }, options),
      ),
    grantPermission: (role, { access, start, end }) => {
      const permType = ({ read: 'Read', write: 'Write', readwrite: 'Readwrite' } as const)[access];
      return change(`granting a range to role ${role}`, [], ({ auth }, options) =>
        auth.roleGrantPermission(
          { name: role, perm: { permType, key: Buffer.from(start), range_end: Buffer.from(end) } },
          options,
        ),
      );
    },
    revokePermission: (role, { start, end }) =>
      change(`revoking a range of role ${role}`, [], ({ auth }, options) =>
        auth.roleRevokePermission({ role, key: Buffer.from(start), range_end: Buffer.from(end) }, options),
      ),
  };
}

async function passwordWorks(connection: EtcdConnection, user: string, password: Secret): Promise<boolean> {
  return connection.call({
    doing: `trying the login of user ${user} in etcd`,
    repeat: 'repeatable',
    // Caught inside: outside, a refused login would be taken for one of pgs's own.
    perform: async ({ auth }, options) => {
      try {
        await auth.authenticate({ name: user, password: password.reveal() }, options);
        return true;
      } catch (thrown) {
        if (thrown instanceof EtcdAuthenticationFailedError) return false;
        throw thrown;
      }
    },
  });
}

type ErrorClass = abstract new (...args: never[]) => Error;

function unless(classes: ErrorClass[]): (thrown: unknown) => void {
  return (thrown) => {
    if (!classes.some((type) => answeredWith(thrown, type))) throw thrown;
  };
}

function nullIf(type: ErrorClass): (thrown: unknown) => null {
  return (thrown) => {
    if (answeredWith(thrown, type)) return null;
    throw thrown;
  };
}
