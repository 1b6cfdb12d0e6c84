// What a daemon is given of the fleet's and a tenant's secrets, and what not.

import { describe, expect, test } from 'vitest';
import {
  fleetSecretsForDaemon,
  giveTenant,
  newDaemonKey,
  readDaemonKey,
  storeDaemonKey,
  tenantSecretsForDaemon,
} from '../../../src/drills/daemon-secrets.js';
import { drillKeys } from '../../../src/drills/keys.js';
import { DrillStore } from '../../../src/drills/store.js';
import { Secret } from '../../../src/secrets/secret.js';
import { allSecretTexts } from '../../../src/secrets/shape.js';
import { sealTenantSecrets, unsealTenantSecrets } from '../../../src/secrets/tenant-secrets.js';
import { StateStore } from '../../../src/state/store.js';
import { fakeFleetSecrets } from '../../fixtures/fleet-secrets.js';
import { fakeSecrets, recordOf } from '../../fixtures/fleet.js';
import { MemoryDcs } from '../../fixtures/memory-dcs.js';

const placeholder = 'withheld from the daemon';

describe('of a tenant it knows', () => {
  const secrets = fakeSecrets();
  const given = tenantSecretsForDaemon(secrets);

  test("its clients' passwords and the operator's certificate for REST, and no other secret", () => {
    const { rest, probe, app } = secrets.passwords;
    const allowed = allSecretTexts([rest, probe, app, secrets.restOperator]);
    expect(allSecretTexts(given).sort()).toEqual([...allowed, placeholder].sort());
  });

  test('every certificate of a CA, to verify others with', () => {
    expect(given.restCa.certPem).toBe(secrets.restCa.certPem);
    expect(given.sqlCa.certPem).toBe(secrets.sqlCa.certPem);
  });
});

test('of the fleet it knows a login of its own, and neither the CAs nor the password of root', () => {
  const secrets = fakeFleetSecrets();
  const client = { certPem: 'certificate', keyPem: new Secret('key of its own') };
  const given = fleetSecretsForDaemon(secrets, { client, user: 'pgs.daemon', password: new Secret('its own') });
  expect(allSecretTexts(given).sort()).toEqual(['its own', 'key of its own', placeholder]);
  expect(given.etcdClientCa.certPem).toBe(secrets.etcdClientCa.certPem);
});

describe('in etcd', () => {
  const fleetKey = newDaemonKey();

  async function withTenant(): Promise<MemoryDcs> {
    const dcs = new MemoryDcs();
    const sealedSecrets = sealTenantSecrets(fleetKey, 'acme', fakeSecrets());
    await new StateStore(dcs).allocateTenant('acme', () => ({ record: recordOf(), sealedSecrets }));
    return dcs;
  }

  test('a tenant is given under the own key of the daemon, which opens nothing else', async () => {
    const dcs = await withTenant();
    const key = newDaemonKey();
    await storeDaemonKey(dcs, fleetKey, key);
    expect((await readDaemonKey(dcs, fleetKey))!.reveal()).toBe(key.reveal());
    await giveTenant(dcs, fleetKey, 'acme');
    const seen = new StateStore(dcs, drillKeys.secrets);
    const given = unsealTenantSecrets(key, 'acme', (await seen.getTenant('acme'))!.sealedSecrets!);
    expect(given.passwords.app.password.reveal()).toBe('fake-password-app');
    const whole = (await new StateStore(dcs).getTenant('acme'))!.sealedSecrets!;
    expect(() => unsealTenantSecrets(key, 'acme', whole)).toThrow(/does not open/);
    await expect(readDaemonKey(dcs, key)).rejects.toThrow(/does not open/);
  });

  test('nothing is given where no daemon has rights of its own, and a tenant that goes is forgotten', async () => {
    const dcs = await withTenant();
    await giveTenant(dcs, fleetKey, 'acme');
    expect(await dcs.getPrefix(drillKeys.allSecrets)).toEqual([]);
    await storeDaemonKey(dcs, fleetKey, newDaemonKey());
    await giveTenant(dcs, fleetKey, 'acme');
    expect(await dcs.getPrefix(drillKeys.allSecrets)).toHaveLength(1);
    await new DrillStore(dcs).forget('acme');
    expect(await dcs.getPrefix(drillKeys.allSecrets)).toEqual([]);
  });
});
