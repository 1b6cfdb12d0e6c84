// Replacing a tenant's secrets while it serves. What is replaced has two values for a while, and both are kept sealed until it is done:
//
//   prepare   the next ones are let in beside the present ones; nobody uses them yet
//   use       everybody uses the new ones; the ones of before are still let in
//   drop      the ones of before are let in no more; they are kept to prove that
//
// In each phase what has to be on hosts, in etcd and in PostgreSQL follows from the secrets alone, so that an apply is right at any moment.
// What can have one value only (the password of Patroni's REST, those of `app` and of pgs's own role) changes with `use`. Pure.

import { z } from 'zod';
import { poolerRole } from '../topology/accounts.js';
import { generatePassword, scramVerifier } from './password.js';
import type { Secret } from './secret.js';
import { authorityShape, credentialShape, issuedShape, secretText, type Credential } from './shape.js';
import type { TenantSecrets } from './tenant-secrets.js';

/** What of a tenant's secrets can be replaced. `certificates` renews them without taking the old ones back. */
export const rotationTargets = ['replication', 'rest', 'etcd', 'pooler', 'probe', 'app', 'ca', 'certificates'] as const;
export type RotationTarget = (typeof rotationTargets)[number];

export const rotationPhases = ['prepare', 'use', 'drop'] as const;
export type RotationPhase = (typeof rotationPhases)[number];

const otherShape = z.strictObject({
  rest: credentialShape.optional(),
  etcd: credentialShape.optional(),
  replication: credentialShape.optional(),
  replicationScram: secretText.optional(),
  rewind: credentialShape.optional(),
  rewindScram: secretText.optional(),
  probe: credentialShape.optional(),
  app: credentialShape.optional(),
  poolerName: z.string().optional(),
  /** The certificate of before, for the proof. */
  pooler: issuedShape.optional(),
  restCa: authorityShape.optional(),
  sqlCa: authorityShape.optional(),
  /** As `pooler`. */
  restOperator: issuedShape.optional(),
});

export const rotationShape = z.strictObject({
  /** ISO 8601. */
  since: z.string(),
  targets: z.array(z.enum(rotationTargets)).min(1),
  phase: z.enum(rotationPhases),
  /** The next ones while it is prepared, the ones of before afterwards. */
  other: otherShape,
});

export type Rotation = z.output<typeof rotationShape>;
type Other = Rotation['other'];

/** Names that take turns, so that both can log in for a while. */
const replicationNames = ['pgs_replication', 'pgs_replication_2'];
const rewindNames = ['pgs_rewind', 'pgs_rewind_2'];

/** A tenant's name has no dot, so no tenant's login can be the second one of another. */
export function etcdLoginNames(tenant: string): string[] {
  return [`pgs-${tenant}`, `pgs-${tenant}.2`];
}

function nextOf(names: string[], current: string): string {
  return names.find((name) => name !== current)!;
}

/** What `rotationTargets` of `all` are: everything that only pgs and the hosts know of. */
export const ownTargets: RotationTarget[] = ['replication', 'rest', 'etcd', 'pooler', 'probe'];

/** CAs, new ones, for `ca`. */
export interface NextAuthorities {
  restCa: TenantSecrets['restCa'];
  sqlCa: TenantSecrets['sqlCa'];
}

/**
 * The secrets with a rotation begun.
 * @param authorities must be given for `ca`
 * @param id of this rotation, lower-case letters and digits: the poolers' certificate carries it
 */
export function beginRotation(
  tenant: string,
  secrets: TenantSecrets,
  targets: RotationTarget[],
  { now, id, authorities }: { now: Date; id: string; authorities: NextAuthorities | null },
): TenantSecrets {
  const has = (target: RotationTarget) => targets.includes(target);
  const fresh = (user: string): Credential => ({ user, password: generatePassword() });
  const { passwords } = secrets;
  const other: Other = {};
  if (has('rest')) other.rest = fresh(passwords.rest.user);
  if (has('etcd')) other.etcd = fresh(nextOf(etcdLoginNames(tenant), passwords.etcd.user));
  if (has('replication')) {
    other.replication = fresh(nextOf(replicationNames, passwords.replication.user));
    other.replicationScram = scramVerifier(other.replication.password);
    other.rewind = fresh(nextOf(rewindNames, passwords.rewind.user));
    other.rewindScram = scramVerifier(other.rewind.password);
  }
  if (has('probe')) other.probe = fresh(passwords.probe.user);
  if (has('app')) other.app = fresh(passwords.app.user);
  if (has('pooler')) other.poolerName = `${poolerRole}.${id}`;
  if (has('ca') && authorities) Object.assign(other, authorities);
  const phase = targets.some(needsPreparing) ? 'prepare' : 'use';
  const begun = { ...secrets, rotation: { since: now.toISOString(), targets, phase: 'prepare', other } as Rotation };
  return phase === 'prepare' ? begun : useNext(begun);
}

function needsPreparing(target: RotationTarget): boolean {
  return ['replication', 'etcd', 'pooler', 'ca'].includes(target);
}

/** The secrets in the next phase; after the last one there is no rotation. */
export function advanceRotation(secrets: TenantSecrets): TenantSecrets {
  const { rotation, ...rest } = secrets;
  if (rotation?.phase === 'prepare') return useNext(secrets);
  if (rotation?.phase === 'use') return { ...secrets, rotation: { ...rotation, phase: 'drop' } };
  return rest;
}

function useNext(secrets: TenantSecrets): TenantSecrets {
  const { other } = secrets.rotation!;
  const { passwords } = secrets;
  return {
    ...secrets,
    restCa: other.restCa ?? secrets.restCa,
    sqlCa: other.sqlCa ?? secrets.sqlCa,
    passwords: {
      rest: other.rest ?? passwords.rest,
      etcd: other.etcd ?? passwords.etcd,
      replication: other.replication ?? passwords.replication,
      rewind: other.rewind ?? passwords.rewind,
      probe: other.probe ?? passwords.probe,
      app: other.app ?? passwords.app,
    },
    appScram: other.app ? scramVerifier(other.app.password) : secrets.appScram,
    probeScram: other.probe ? scramVerifier(other.probe.password) : secrets.probeScram,
    ...swapped('poolerName', other.poolerName, secrets.poolerName),
    ...swapped('replicationScram', other.replicationScram, secrets.replicationScram),
    ...swapped('rewindScram', other.rewindScram, secrets.rewindScram),
    rotation: { ...secrets.rotation!, phase: 'use', other: ofBefore(secrets) },
  };
}

function swapped<K extends string, V>(key: K, next: V | undefined, present: V | undefined): Partial<Record<K, V>> {
  const value = next ?? present;
  return value === undefined ? {} : ({ [key]: value } as Partial<Record<K, V>>);
}

/** What the next ones replace. */
function ofBefore(secrets: TenantSecrets): Other {
  const { other, targets } = secrets.rotation!;
  const { passwords } = secrets;
  const before: Other = {};
  for (const name of ['rest', 'etcd', 'replication', 'rewind', 'probe', 'app'] as const) {
    if (other[name]) before[name] = passwords[name];
  }
  if (other.replication && secrets.replicationScram) before.replicationScram = secrets.replicationScram;
  if (other.rewind && secrets.rewindScram) before.rewindScram = secrets.rewindScram;
  if (other.poolerName) before.poolerName = secrets.poolerName ?? poolerRole;
  if (other.poolerName || targets.includes('ca')) before.pooler = secrets.pooler;
  if (other.restCa) Object.assign(before, { restCa: secrets.restCa, restOperator: secrets.restOperator });
  if (other.sqlCa) before.sqlCa = secrets.sqlCa;
  return before;
}

/** The values besides the present ones that are let in now. */
export function alsoLetIn({ rotation }: Pick<TenantSecrets, 'rotation'>): Other {
  return rotation && rotation.phase !== 'drop' ? rotation.other : {};
}

/** What clients of Patroni's REST and its members trust, PEM. */
export function restTrust(secrets: Pick<TenantSecrets, 'restCa' | 'rotation'>): string {
  return secrets.restCa.certPem + (alsoLetIn(secrets).restCa?.certPem ?? '');
}

/** What clients of PostgreSQL trust, and PostgreSQL itself of clients' certificates, PEM. */
export function sqlTrust(secrets: Pick<TenantSecrets, 'sqlCa' | 'rotation'>): string {
  return secrets.sqlCa.certPem + (alsoLetIn(secrets).sqlCa?.certPem ?? '');
}

/** Logins for replication or rewinding that PostgreSQL lets in now: the present one first. */
export function loginsOf(secrets: TenantSecrets, kind: 'replication' | 'rewind' | 'etcd'): Credential[] {
  const other = alsoLetIn(secrets)[kind];
  return [secrets.passwords[kind], ...(other ? [other] : [])];
}

/** Roles of replication and rewinding that PostgreSQL must not have (any more). */
export function goneRoles(secrets: TenantSecrets): string[] {
  const kept = [...loginsOf(secrets, 'replication'), ...loginsOf(secrets, 'rewind')].map(({ user }) => user);
  return [...replicationNames, ...rewindNames].filter((name) => !kept.includes(name));
}

export interface MadeRole {
  name: string;
  verifier: Secret;
  kind: 'replication' | 'rewind';
}

/** Roles that a rotation made, with their verifiers; the first ones Patroni makes itself, with the cluster. */
export function madeRoles(secrets: TenantSecrets): MadeRole[] {
  const other = alsoLetIn(secrets);
  const { replication, rewind } = secrets.passwords;
  const all: [Credential | undefined, Secret | undefined, MadeRole['kind']][] = [
    [replication, secrets.replicationScram, 'replication'],
    [rewind, secrets.rewindScram, 'rewind'],
    [other.replication, other.replicationScram, 'replication'],
    [other.rewind, other.rewindScram, 'rewind'],
  ];
  return all.flatMap(([login, verifier, kind]) => (login && verifier ? [{ name: login.user, verifier, kind }] : []));
}

/** CNs of the poolers' certificates that may log in as the role of the poolers. */
export function poolerNames(secrets: Pick<TenantSecrets, 'poolerName' | 'rotation'>): string[] {
  const other = alsoLetIn(secrets).poolerName;
  return [secrets.poolerName ?? poolerRole, ...(other === undefined ? [] : [other])];
}
