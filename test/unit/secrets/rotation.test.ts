// What is let in, trusted and gone in each phase of a rotation.

import { describe, expect, test } from 'vitest';
import {
  advanceRotation,
  beginRotation,
  goneRoles,
  loginsOf,
  madeRoles,
  ownTargets,
  poolerNames,
  restTrust,
  rotationPhases,
  sqlTrust,
  type RotationTarget,
} from '../../../src/secrets/rotation.js';
import { Secret } from '../../../src/secrets/secret.js';
import { sealTenantSecrets, unsealTenantSecrets, type TenantSecrets } from '../../../src/secrets/tenant-secrets.js';
import { fakeSecrets } from '../../fixtures/fleet.js';

const authority = (name: string): TenantSecrets['restCa'] => ({
  kind: 'authority',
  certPem: `certificate ${name}\n`,
  keyPem: new Secret(`key ${name}`),
});
const authorities = { restCa: authority('next rest'), sqlCa: authority('next sql') };

function phasesOf(targets: RotationTarget[], first = fakeSecrets()): Record<string, TenantSecrets> {
  let secrets = beginRotation('acme', first, targets, { now: new Date(0), id: 'a1', authorities });
  const phases: Record<string, TenantSecrets> = {};
  for (; secrets.rotation; secrets = advanceRotation(secrets)) phases[secrets.rotation.phase] = secrets;
  return { ...phases, over: secrets };
}

const users = (secrets: TenantSecrets, kind: 'replication' | 'rewind' | 'etcd') =>
  loginsOf(secrets, kind).map(({ user }) => user);

describe('logins with two names', () => {
  test('are both let in until everybody uses the new one, then only that', () => {
    const { prepare, use, drop, over } = phasesOf(['replication', 'etcd']);
    expect(users(prepare!, 'replication')).toEqual(['pgs_replication', 'pgs_replication_2']);
    expect(users(use!, 'replication')).toEqual(['pgs_replication_2', 'pgs_replication']);
    expect(users(drop!, 'replication')).toEqual(['pgs_replication_2']);
    expect(users(over!, 'etcd')).toEqual(['pgs-acme.2']);
    expect(goneRoles(use!)).toEqual([]);
    expect(goneRoles(drop!)).toEqual(['pgs_replication', 'pgs_rewind']);
  });

  test('are not changed under way: what is prepared is what is used, and its verifier with it', () => {
    const { prepare, use, over } = phasesOf(['replication']);
    expect(use!.passwords.replication).toBe(prepare!.rotation!.other.replication);
    const verifier = (secrets: TenantSecrets) =>
      madeRoles(secrets).find(({ name }) => name === 'pgs_replication_2')?.verifier;
    expect(verifier(prepare!)).toBeDefined();
    expect(verifier(over!)).toBe(verifier(prepare!));
  });

  test('of before are kept until it is over', () => {
    const first = fakeSecrets();
    const { drop, over } = phasesOf(ownTargets, first);
    for (const kind of ['rest', 'etcd', 'replication', 'rewind', 'probe'] as const)
      expect(drop!.rotation!.other[kind]).toBe(first.passwords[kind]);
    expect(over!.rotation).toBeUndefined();
    expect(over!.passwords.app).toBe(first.passwords.app);
  });

  test('take turns', () => {
    const { over } = phasesOf(ownTargets);
    const again = phasesOf(ownTargets, over).over!;
    expect(again.passwords.replication.user).toBe('pgs_replication');
    expect(again.passwords.etcd.user).toBe('pgs-acme');
    expect(madeRoles(again).map(({ name }) => name)).toEqual(['pgs_replication', 'pgs_rewind']);
  });
});

test("the poolers' certificate is taken back by its name", () => {
  const { prepare, use, drop, over } = phasesOf(['pooler']);
  expect(poolerNames(fakeSecrets())).toEqual(['pgs_pooler']);
  expect(poolerNames(prepare!)).toEqual(['pgs_pooler', 'pgs_pooler.a1']);
  expect(poolerNames(use!)).toEqual(['pgs_pooler.a1', 'pgs_pooler']);
  expect(poolerNames(drop!)).toEqual(['pgs_pooler.a1']);
  expect(poolerNames(over!)).toEqual(['pgs_pooler.a1']);
});

test('CAs are both trusted until every certificate comes from the new one', () => {
  const first = fakeSecrets();
  const { prepare, use, drop, over } = phasesOf(['ca'], first);
  const [old, next] = [first.restCa.certPem, authorities.restCa.certPem];
  expect([prepare, use, drop, over].map((secrets) => restTrust(secrets!))).toEqual([
    old + next,
    next + old,
    next,
    next,
  ]);
  expect(sqlTrust(drop!)).toBe(authorities.sqlCa.certPem);
  expect(drop!.rotation!.other.restOperator).toBe(first.restOperator);
});

test.each([['rest'], ['app'], ['probe'], ['certificates']] as const)(
  '%s has one value: nothing is prepared',
  (target) => {
    expect(Object.keys(phasesOf([target]))).toEqual(['use', 'drop', 'over']);
  },
);

test('what several are replaced of goes through every phase together', () => {
  expect(Object.keys(phasesOf(ownTargets))).toEqual([...rotationPhases, 'over']);
});

test('a verifier that is stored is that of the password', () => {
  const first = fakeSecrets();
  const { use } = phasesOf(['app', 'probe'], first);
  expect(use!.appScram).not.toBe(first.appScram);
  expect(use!.probeScram).not.toBe(first.probeScram);
});

test('every phase is sealed and opened again as it is', () => {
  const key = new Secret(Buffer.alloc(32, 7).toString('base64'));
  for (const secrets of Object.values(phasesOf([...ownTargets, 'ca', 'app'])))
    expect(unsealTenantSecrets(key, 'acme', sealTenantSecrets(key, 'acme', secrets))).toEqual(secrets);
});
