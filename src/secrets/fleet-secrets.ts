// The secrets of a fleet that exist before its etcd does: the CAs of etcd, the certificates of its members, root's
// password. They lie sealed in `.pgs/fleet-secrets.json`; tenants' secrets lie in etcd (tenant-secrets.ts).

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { PgsError } from '../errors.js';
import type { Host, Inventory } from '../inventory/inventory.js';
import { ensurePrivateDirectory, readFileIfPresent, withFileLock, writeFileAtomically } from '../operator-files.js';
import type { CertificateRequest, Issued } from '../pki/authority.js';
import { daysLeft } from '../pki/certificate.js';
import type { FleetKey } from './fleet-key.js';
import { generatePassword } from './password.js';
import { keepOrIssue, renewalDays } from './renewal.js';
import { rotationPhases } from './rotation.js';
import { seal, unseal } from './seal.js';
import { authorityShape, credentialShape, decodeSecrets, encodeSecrets, issuedShape, secretText } from './shape.js';

const fleetSecretsShape = z.strictObject({
  /** Random; etcd's `initial-cluster-token`, so that members of two fleets never join each other. */
  fleetId: z.string(),
  /** Issues the certificates of etcd's peer port and nothing else: no client certificate opens that port. */
  etcdPeerCa: authorityShape,
  /** Issues the certificates of etcd's client port: the members' server certificates and every client's. */
  etcdClientCa: authorityShape,
  etcdRootPassword: secretText,
  /** By host name. Hosts that left pgs.yaml stay: a line commented out for a moment must not cost new certificates. */
  hosts: z.record(z.string(), z.strictObject({ etcdServer: issuedShape, etcdPeer: issuedShape })),
  /** No CN. */
  operatorEtcdClient: issuedShape,
  /** What the front door shows to who names no tenant: proves nothing, so its CA is not kept. A daemon has none. */
  door: issuedShape.optional(),
  /** A login of its own, where these are the secrets of a daemon; otherwise it is root's. */
  etcdLogin: credentialShape.optional(),
  /** The CAs of etcd are being replaced (fleet-rollover.ts): the next ones while it is prepared, those of before afterwards. */
  rollover: z
    .strictObject({
      since: z.string(),
      phase: z.enum(rotationPhases),
      other: z.strictObject({
        etcdPeerCa: authorityShape,
        etcdClientCa: authorityShape,
        operatorEtcdClient: issuedShape.optional(),
      }),
    })
    .optional(),
  /**
   * While etcd is filled again after all of its data was lost, a client and who issued it: etcd lets in that one `alone`, and then `all`
   * clients besides.
   */
  recovery: z
    .strictObject({
      ca: authorityShape,
      client: issuedShape,
      lets: z.enum(['alone', 'all']),
      /** Signs the tokens of logins meanwhile; see `authToken` of src/etcd/desired.ts. */
      tokenKey: secretText,
    })
    .optional(),
  /** `initial-cluster-token` of an etcd that was filled again; absent: `fleetId`. */
  etcdToken: z.string().optional(),
});

export type FleetSecrets = z.output<typeof fleetSecretsShape>;

export type FleetOfHosts = Pick<Inventory, 'fleet' | 'stateDir' | 'hosts'>;

const context = 'fleet-secrets';

export function fleetSecretsPath(stateDir: string): string {
  return join(stateDir, 'fleet-secrets.json');
}

/**
 * Reads the fleet's secrets, makes what is missing (for hosts that were added too) and reissues certificates that end
 * within 30 days or name other addresses. Writes only if something changed.
 */
export async function ensureFleetSecrets(
  fleet: FleetOfHosts,
  key: FleetKey,
  now = new Date(),
): Promise<{ secrets: FleetSecrets; changed: boolean }> {
  const path = fleetSecretsPath(fleet.stateDir);
  const found = await readSealed(path, key);
  if (found !== null && (await completeFleetSecrets(found, fleet, now)) === found)
    return { secrets: found, changed: false };
  await ensurePrivateDirectory(fleet.stateDir);
  return withFileLock(path, async () => {
    const current = await readSealed(path, key);
    const secrets = await completeFleetSecrets(current, fleet, now);
    if (secrets === current) return { secrets, changed: false };
    await writeFleetSecrets(fleet.stateDir, key, secrets);
    return { secrets, changed: true };
  });
}

/** Seals them into the directory as they are. */
export async function writeFleetSecrets(stateDir: string, key: FleetKey, secrets: FleetSecrets): Promise<void> {
  const sealed = seal(key, encodeSecrets(fleetSecretsShape, secrets), context);
  await writeFileAtomically(fleetSecretsPath(stateDir), `${JSON.stringify({ version: 1, sealed }, null, 2)}\n`, 0o600);
}

/**
 * What is there, with nothing made or renewed: a daemon has no CA's key.
 * @throws PgsError `configuration` when there is nothing, or the key does not open it
 */
export async function readFleetSecrets(stateDir: string, key: FleetKey): Promise<FleetSecrets> {
  const path = fleetSecretsPath(stateDir);
  const found = await readSealed(path, key);
  if (found) return found;
  throw new PgsError('configuration', { doing: 'reading the fleet secrets', found: `${path} does not exist` });
}

/**
 * As `ensureFleetSecrets` for a fleet that has been set up.
 * @throws PgsError `configuration` if it was not: new CAs for a running etcd would lock everybody out.
 */
export async function loadFleetSecrets(
  fleet: FleetOfHosts,
  key: FleetKey,
): Promise<{ secrets: FleetSecrets; changed: boolean }> {
  const path = fleetSecretsPath(fleet.stateDir);
  if ((await readFileIfPresent(path, 'reading the fleet secrets')) === null) {
    throw new PgsError('configuration', {
      doing: 'reading the fleet secrets',
      found: `${path} does not exist`,
      hint:
        'If this fleet was set up before, restore the file from your backup: hosts would not accept new CAs. ' +
        'For a new fleet run `pgs init`.',
    });
  }
  return ensureFleetSecrets(fleet, key);
}

/** Makes every certificate of the fleet anew, by the CAs that it has. */
export async function renewFleetSecrets(fleet: FleetOfHosts, key: FleetKey, now = new Date()): Promise<FleetSecrets> {
  return changeFleetSecrets(fleet, key, async (secrets) => {
    const operatorEtcdClient = await keepOrIssue(undefined, secrets.etcdClientCa, operatorRequest, now);
    return completeFleetSecrets({ ...secrets, hosts: {}, operatorEtcdClient }, fleet, now);
  });
}

/** Changes what is stored, while no other pgs of this machine does. @throws PgsError as `readFleetSecrets` */
export async function changeFleetSecrets(
  { stateDir }: Pick<FleetOfHosts, 'stateDir'>,
  key: FleetKey,
  change: (secrets: FleetSecrets) => FleetSecrets | Promise<FleetSecrets>,
): Promise<FleetSecrets> {
  return withFileLock(fleetSecretsPath(stateDir), async () => {
    const secrets = await change(await readFleetSecrets(stateDir, key));
    await writeFleetSecrets(stateDir, key, secrets);
    return secrets;
  });
}

/** The secrets with everything that `fleet` needs; the same object if nothing was missing. */
export async function completeFleetSecrets(
  existing: FleetSecrets | null,
  fleet: Pick<FleetOfHosts, 'fleet' | 'hosts'>,
  now: Date,
): Promise<FleetSecrets> {
  const base = existing ?? (await newFleetSecrets(fleet.fleet, now));
  const hosts = { ...base.hosts };
  for (const host of fleet.hosts) {
    const old = base.hosts[host.name];
    const etcdServer = await keepOrIssue(old?.etcdServer, base.etcdClientCa, memberRequest(host, 'etcd server'), now);
    const etcdPeer = await keepOrIssue(old?.etcdPeer, base.etcdPeerCa, memberRequest(host, 'etcd peer'), now);
    if (etcdServer !== old?.etcdServer || etcdPeer !== old.etcdPeer) hosts[host.name] = { etcdServer, etcdPeer };
  }
  const operatorEtcdClient = await keepOrIssue(base.operatorEtcdClient, base.etcdClientCa, operatorRequest, now);
  const door = await keepDoor(base.door, fleet.fleet, now);
  const isSame =
    existing !== null &&
    door === existing.door &&
    operatorEtcdClient === existing.operatorEtcdClient &&
    fleet.hosts.every((host) => hosts[host.name] === existing.hosts[host.name]);
  return isSame ? existing : { ...base, hosts, operatorEtcdClient, door };
}

async function keepDoor(existing: Issued | undefined, fleet: string, now: Date): Promise<Issued> {
  if (existing && daysLeft(existing.certPem, now) >= renewalDays) return existing;
  const { createAuthority, issueCertificate } = await import('../pki/authority.js');
  const authority = await createAuthority(`${fleet} front door`, undefined, now);
  // Who verifies names reads in the error what is wrong.
  const dnsNames = ['unknown-name.invalid'];
  const subject = { organization: 'pgs', unit: 'front door', commonName: null };
  return issueCertificate(authority, { subject, dnsNames, ipAddresses: [], usages: ['server'] }, now);
}

async function newFleetSecrets(fleet: string, now: Date): Promise<FleetSecrets> {
  const { createAuthority, issueCertificate } = await import('../pki/authority.js');
  const etcdClientCa = await createAuthority(`${fleet} etcd clients`, undefined, now);
  return {
    fleetId: randomBytes(16).toString('hex'),
    etcdPeerCa: await createAuthority(`${fleet} etcd peers`, undefined, now),
    etcdClientCa,
    etcdRootPassword: generatePassword(),
    hosts: {},
    operatorEtcdClient: await issueCertificate(etcdClientCa, operatorRequest, now),
  };
}

const operatorRequest: CertificateRequest = {
  subject: { organization: 'pgs', unit: 'operator', commonName: null },
  dnsNames: [],
  ipAddresses: [],
  usages: ['client'],
};

/**
 * Both usages: peers call each other, and etcd's gRPC gateway, through which Patroni speaks, connects to the server with
 * the server's own certificate. No CN: over that way it would be a login.
 */
function memberRequest(host: Host, unit: string): CertificateRequest {
  return {
    subject: { organization: 'pgs', unit, commonName: null },
    dnsNames: [host.name, 'localhost'],
    ipAddresses: [host.address, '127.0.0.1'],
    usages: ['server', 'client'],
  };
}

const fileShape = z.strictObject({ version: z.literal(1), sealed: z.string() });

async function readSealed(path: string, key: FleetKey): Promise<FleetSecrets | null> {
  const text = await readFileIfPresent(path, 'reading the fleet secrets');
  if (text === null) return null;
  let file: z.output<typeof fileShape>;
  try {
    file = fileShape.parse(JSON.parse(text));
  } catch {
    throw new PgsError('configuration', {
      doing: 'reading the fleet secrets',
      found: `${path} is damaged or of a newer pgs`,
      hint: 'Restore it from your backup, or use the pgs that wrote it.',
    });
  }
  return decodeSecrets(fleetSecretsShape, unseal(key, file.sealed, context), path);
}
