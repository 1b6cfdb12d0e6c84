import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Permission } from '../../../src/etcd/logins.js';
import {
  ensureTenantAccess,
  planTenantAccess,
  readTenantKeys,
  removeTenantAccess,
  removeTenantKeys,
  tenantAccessFacts,
  tenantKeyPrefix,
  tenantRange,
} from '../../../src/etcd/tenants.js';
import { Secret } from '../../../src/secrets/secret.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

const password = new Secret('password-of-acme');
const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$/);
const within = (key: string, { start, end }: Permission) =>
  Buffer.compare(Buffer.from(key), Buffer.from(start)) >= 0 && Buffer.compare(Buffer.from(key), Buffer.from(end)) < 0;

describe('the range of a tenant', () => {
  it('is its own prefix, trailing slash included', () => {
    expect(tenantRange('acme')).toEqual({ access: 'readwrite', start: '/pgs/dcs/acme/', end: '/pgs/dcs/acme0' });
  });

  it('holds every key of the tenant', () => {
    fc.assert(fc.property(label, fc.string(), (t, rest) => within(tenantKeyPrefix(t) + rest, tenantRange(t))));
  });

  it('holds no key of another tenant, above all not of one whose name goes on', () => {
    fc.assert(
      fc.property(label, fc.oneof(label, fc.constant('')), fc.string(), (t, more, rest) => {
        for (const other of [t + more, `${t}-${more}x`, `${t}0`, `${t}2`, more].filter((o) => o && o !== t)) {
          if (within(tenantKeyPrefix(other) + rest, tenantRange(t))) return false;
        }
        return true;
      }),
    );
  });

  it("leaves out pgs's own state", () => {
    fc.assert(fc.property(label, (t) => !within(`/pgs/state/tenants/${t}`, tenantRange(t))));
  });
});

describe('a tenant’s login', () => {
  let dcs: MemoryDcs;
  beforeEach(() => {
    dcs = new MemoryDcs();
  });

  const stateOf = () => JSON.stringify([[...dcs.users], [...dcs.roles]]);
  const right = JSON.stringify([
    [['pgs-acme', { password: password.reveal(), roles: ['pgs-acme'] }]],
    [['pgs-acme', [tenantRange('acme')]]],
  ]);

  it('is made whole, and judged right then', async () => {
    expect(await tenantAccessFacts(dcs, 'acme', password)).toBe('absent');
    await ensureTenantAccess(dcs, 'acme', password);
    expect(stateOf()).toBe(right);
    expect(await tenantAccessFacts(dcs, 'acme', password)).toBe('right');
  });

  it('leaves the auth revision alone when nothing is to do', async () => {
    await ensureTenantAccess(dcs, 'acme', password);
    const revision = dcs.authRevision;
    expect(await ensureTenantAccess(dcs, 'acme', password)).toEqual([]);
    await tenantAccessFacts(dcs, 'acme', password);
    expect(dcs.authRevision).toBe(revision);
  });

  const damages: [string, () => Promise<void>][] = [
    [
      'a range without the slash',
      () => dcs.logins.grantPermission('pgs-acme', { ...tenantRange('acme'), start: '/pgs/dcs/acme' }),
    ],
    ['a second range', () => dcs.logins.grantPermission('pgs-acme', { access: 'read', start: '/', end: '0' })],
    ['read access only', () => dcs.logins.grantPermission('pgs-acme', { ...tenantRange('acme'), access: 'read' })],
    ['the role root', () => dcs.logins.grantRole('pgs-acme', 'root')],
    ['no role', () => dcs.logins.revokeRole('pgs-acme', 'pgs-acme')],
    ['another password', () => dcs.logins.changePassword('pgs-acme', new Secret('other'))],
    ['no range', () => dcs.logins.revokePermission('pgs-acme', tenantRange('acme'))],
    ['no user', () => dcs.logins.removeUser('pgs-acme')],
  ];
  it.each(damages)('with %s is judged wrong and repaired', async (_, damage) => {
    await ensureTenantAccess(dcs, 'acme', password);
    await damage();
    expect(await tenantAccessFacts(dcs, 'acme', password)).toBe('wrong');
    await ensureTenantAccess(dcs, 'acme', password);
    expect(stateOf()).toBe(right);
  });

  it('is finished by a rerun after an interruption at any change, and never holds too much on the way', async () => {
    for (let stop = 0; stop <= 4; stop++) {
      dcs = new MemoryDcs();
      let changes = 0;
      dcs.beforeWrite = () => {
        if (changes++ === stop) throw new Error('killed');
      };
      await ensureTenantAccess(dcs, 'acme', password).catch(() => undefined);
      for (const permissions of dcs.roles.values()) {
        expect(permissions.filter((p) => p.start !== '/pgs/dcs/acme/' || p.end !== '/pgs/dcs/acme0')).toEqual([]);
      }
      dcs.beforeWrite = () => undefined;
      await ensureTenantAccess(dcs, 'acme', password);
      expect(stateOf()).toBe(right);
    }
  });

  it('takes foreign rights away before it gives any', () => {
    const changes = planTenantAccess('acme', {
      roles: ['root'],
      permissions: [{ access: 'readwrite', start: '/', end: '0' }],
      passwordWorks: false,
    }).map((c) => c.kind);
    expect(changes).toEqual(['revoke-role', 'revoke-range', 'grant-range', 'change-password', 'grant-role']);
  });

  it('goes with its keys, twice without an error, and a neighbour stays', async () => {
    await ensureTenantAccess(dcs, 'acme', password);
    await ensureTenantAccess(dcs, 'acme2', password);
    await dcs.put('/pgs/dcs/acme/leader', 'x');
    await dcs.put('/pgs/dcs/acme2/leader', 'y');
    for (const removed of [1, 0]) {
      expect(await removeTenantKeys(dcs, 'acme')).toBe(removed);
      await removeTenantAccess(dcs, 'acme');
    }
    expect([...dcs.users.keys(), ...dcs.roles.keys(), ...dcs.store.keys()]).toEqual([
      'pgs-acme2',
      'pgs-acme2',
      '/pgs/dcs/acme2/leader',
    ]);
  });
});

describe("what is in a tenant's place in etcd", () => {
  it('is Patroni’s, or foreign', async () => {
    const dcs = new MemoryDcs();
    const prefix = tenantKeyPrefix('acme');
    for (const name of ['config', 'initialize', 'leader', 'members/acme-1', 'status', 'sync', 'history', 'failsafe'])
      await dcs.put(`${prefix}${name}`, name === 'initialize' ? '7443' : '{}');
    expect(await readTenantKeys(dcs, 'acme')).toMatchObject({ initialize: '7443', foreign: [] });
    for (const name of ['notes', 'members/acme-1/x', 'optime']) await dcs.put(`${prefix}${name}`, '');
    const { foreign } = await readTenantKeys(dcs, 'acme');
    expect(foreign.sort()).toEqual([`${prefix}members/acme-1/x`, `${prefix}notes`, `${prefix}optime`]);
  });
});
