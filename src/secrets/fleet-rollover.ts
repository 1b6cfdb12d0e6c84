// Replacing the CAs of the fleet's etcd while it serves, in the phases of src/secrets/rotation.ts: both trusted, certificates by the new
// ones, the old ones trusted no more. Pure.

import type { FleetSecrets } from './fleet-secrets.js';

/** New CAs. */
export type NextFleetAuthorities = Pick<FleetSecrets, 'etcdPeerCa' | 'etcdClientCa'>;

/** @param now of the beginning */
export function beginRollover(secrets: FleetSecrets, next: NextFleetAuthorities, now: Date): FleetSecrets {
  return { ...secrets, rollover: { since: now.toISOString(), phase: 'prepare', other: { ...next } } };
}

/**
 * The secrets in the next phase, without the certificates that it needs (`completeFleetSecrets` makes them); after the last one there is
 * no rollover.
 */
export function advanceRollover(secrets: FleetSecrets): FleetSecrets {
  const { rollover, ...rest } = secrets;
  if (rollover?.phase === 'prepare') {
    const { etcdPeerCa, etcdClientCa, operatorEtcdClient } = secrets;
    const { other } = rollover;
    const before = { etcdPeerCa, etcdClientCa, operatorEtcdClient };
    return {
      ...secrets,
      etcdPeerCa: other.etcdPeerCa,
      etcdClientCa: other.etcdClientCa,
      rollover: { ...rollover, phase: 'use', other: before },
    };
  }
  if (rollover?.phase === 'use') return { ...secrets, rollover: { ...rollover, phase: 'drop' } };
  return rest;
}

type Trusting = Pick<FleetSecrets, 'etcdPeerCa' | 'etcdClientCa' | 'rollover'>;

function alsoTrusted({ rollover }: Trusting): Partial<NextFleetAuthorities> {
  return rollover && rollover.phase !== 'drop' ? rollover.other : {};
}

/** Whom clients and servers of etcd's client port trust, PEM. */
export function etcdClientTrust(secrets: Trusting): string {
  return secrets.etcdClientCa.certPem + (alsoTrusted(secrets).etcdClientCa?.certPem ?? '');
}

export function etcdPeerTrust(secrets: Trusting): string {
  return secrets.etcdPeerCa.certPem + (alsoTrusted(secrets).etcdPeerCa?.certPem ?? '');
}

/** Whose clients etcd lets in: while it is recovered nobody's but pgs's, so that no member meets an etcd that is not whole. */
export function admittedClients(secrets: Trusting & Pick<FleetSecrets, 'recovery'>): string {
  const { recovery } = secrets;
  if (recovery?.lets === 'alone') return recovery.ca.certPem;
  return etcdClientTrust(secrets) + (recovery?.ca.certPem ?? '');
}
