import { describe, expect, it } from 'vitest';
import { enableAuthentication } from '../../../src/etcd/authentication.js';
import { Secret } from '../../../src/secrets/secret.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

const password = new Secret('root-password');

describe('enableAuthentication', () => {
  it('turns it on with root as the only user', async () => {
    const dcs = new MemoryDcs();
    expect(await enableAuthentication(dcs, password)).toBe('enabled');
    expect([dcs.authentication, [...dcs.users]]).toEqual([
      true,
      [['root', { password: 'root-password', roles: ['root'] }]],
    ]);
  });

  it('only looks when it is on', async () => {
    const dcs = new MemoryDcs();
    await enableAuthentication(dcs, password);
    const revision = dcs.authRevision;
    expect(await enableAuthentication(dcs, password)).toBe('was-enabled');
    expect(dcs.authRevision).toBe(revision);
  });

  it('is finished by a rerun after an interruption at any change, with the password of the rerun', async () => {
    for (let stop = 0; stop <= 3; stop++) {
      const dcs = new MemoryDcs();
      let changes = 0;
      dcs.beforeWrite = () => {
        if (changes++ === stop) throw new Error('killed');
      };
      await expect(enableAuthentication(dcs, new Secret('first'))).rejects.toThrow('killed');
      expect(dcs.authentication).toBe(false);
      dcs.beforeWrite = () => undefined;
      await enableAuthentication(dcs, password);
      expect(dcs.users.get('root')).toEqual({ password: 'root-password', roles: ['root'] });
    }
  });
});
