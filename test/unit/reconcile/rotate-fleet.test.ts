// The phases of new CAs of etcd: each stored before the next begins, and gone on with from where they were stored.

import { expect, test } from 'vitest';
import { rollOver, type FleetPhases } from '../../../src/reconcile/rotate-fleet.js';
import {
  admittedClients,
  advanceRollover,
  beginRollover,
  etcdClientTrust,
  etcdPeerTrust,
} from '../../../src/secrets/fleet-rollover.js';
import type { FleetSecrets } from '../../../src/secrets/fleet-secrets.js';
import { Secret } from '../../../src/secrets/secret.js';
import { fakeFleetSecrets } from '../../fixtures/fleet-secrets.js';

const authority = (name: string) => ({
  kind: 'authority' as const,
  certPem: `certificate ${name}\n`,
  keyPem: new Secret(`key ${name}`),
});
const next = { etcdPeerCa: authority('next peers'), etcdClientCa: authority('next clients') };
const first = fakeFleetSecrets();
const begun = beginRollover(first, next, new Date(0));

test('both are trusted until everybody uses the new ones, then only those', () => {
  const using = advanceRollover(begun);
  const dropping = advanceRollover(using);
  const clients = [first.etcdClientCa.certPem, next.etcdClientCa.certPem] as const;
  expect(etcdClientTrust(begun)).toBe(clients[0] + clients[1]);
  expect(etcdClientTrust(using)).toBe(clients[1] + clients[0]);
  expect(etcdClientTrust(dropping)).toBe(clients[1]);
  expect(etcdPeerTrust(dropping)).toBe(next.etcdPeerCa.certPem);
  expect(using.rollover?.other.operatorEtcdClient).toBe(first.operatorEtcdClient);
  expect(advanceRollover(dropping)).toEqual({ ...first, ...next });
});

test('while etcd is recovered it lets in pgs alone, then everybody besides', () => {
  const recovery = { ca: authority('recovery'), client: first.operatorEtcdClient, tokenKey: new Secret('key') };
  const alone: FleetSecrets = { ...first, recovery: { ...recovery, lets: 'alone' } };
  const all: FleetSecrets = { ...first, recovery: { ...recovery, lets: 'all' } };
  expect(admittedClients(alone)).toBe(recovery.ca.certPem);
  expect(admittedClients(all)).toBe(first.etcdClientCa.certPem + recovery.ca.certPem);
  expect(admittedClients(first)).toBe(first.etcdClientCa.certPem);
});

test('killed before any step, it comes to the same end, with no phase left out', async () => {
  const done = (secrets: FleetSecrets) => [secrets.etcdClientCa.certPem, secrets.rollover];
  const uninterrupted = world(begun, Infinity);
  await rollOver(begun, uninterrupted.phases);
  const steps = uninterrupted.log.length;
  expect(uninterrupted.log.filter((line) => line.startsWith('etcd'))).toEqual([
    'etcd prepare',
    'etcd use',
    'etcd drop',
  ]);
  for (let killedAt = 0; killedAt < steps; killedAt++) {
    const killed = world(begun, killedAt);
    await expect(rollOver(begun, killed.phases)).rejects.toThrow('killed');
    const again = world(killed.stored(), Infinity);
    await rollOver(killed.stored(), again.phases);
    expect(done(again.stored())).toEqual([next.etcdClientCa.certPem, undefined]);
    // What a phase did is never skipped by the one after it: every tenant has used the new ones before the old ones go.
    const whole = [...killed.log, ...again.log];
    expect(whole.lastIndexOf('acme use')).toBeLessThan(whole.indexOf('etcd drop'));
    expect(whole.at(-2)).toBe('proof');
  }
});

function world(secrets: FleetSecrets, changes: number) {
  const log: string[] = [];
  let stored = secrets;
  let left = changes;
  const change = (what: string) => {
    if (left-- <= 0) throw new Error('killed');
    log.push(what);
    return Promise.resolve();
  };
  const phaseOf = ({ rollover }: FleetSecrets) => rollover?.phase ?? 'none';
  const phases: FleetPhases = {
    onPhase: () => undefined,
    complete: (now) => Promise.resolve(now),
    store: (now) => change(`store ${phaseOf(now)}`).then(() => void (stored = now)),
    rollOut: (now) => change(`etcd ${phaseOf(now)}`),
    tenants: () => Promise.resolve(['acme', 'bolt']),
    refresh: (now, tenant) => change(`${tenant} ${phaseOf(now)}`),
    prove: () => change('proof').then(() => ({ h1: 'bad certificate' })),
  };
  return { phases, log, stored: () => stored };
}
