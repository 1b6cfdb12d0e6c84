// Gives the daemon rights of its own, and takes them back: an ssh key that permits on the hosts what drills and switchovers need, a login to
// etcd, a key that opens the few secrets it is given. On the operator's machine they are in `.pgs/daemon`, from where systemd hands them on.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PgsError, PgsErrors, toPgsError } from '../errors.js';
import {
  fleetSecretsForDaemon,
  giveTenant,
  newDaemonKey,
  readDaemonKey,
  storeDaemonKey,
} from '../drills/daemon-secrets.js';
import { drillKeys } from '../drills/keys.js';
import { DrillStore } from '../drills/store.js';
import { daemonLogin, ensureDaemonLogin, removeDaemonLogin } from '../etcd/daemon-login.js';
import { applyResources } from '../host/apply-resources.js';
import { runChecked } from '../host/command.js';
import type { FileResource } from '../host/resource.js';
import { connectHost } from '../host/ssh-host.js';
import { readTemplate } from '../host/template.js';
import type { Inventory } from '../inventory/inventory.js';
import { createFileOnce, ensurePrivateDirectory, readFileIfPresent, writeFileAtomically } from '../operator-files.js';
import type { CertificateRequest } from '../pki/authority.js';
import type { Session } from '../reconcile/session.js';
import { fleetKeyPath, loadFleetKey, type FleetKey } from '../secrets/fleet-key.js';
import { readFleetSecrets, writeFleetSecrets, type FleetSecrets } from '../secrets/fleet-secrets.js';
import { generatePassword } from '../secrets/password.js';
import { keepOrIssue } from '../secrets/renewal.js';
import { ensureKeyPair } from '../sandbox/keys.js';
import { gateRules } from './gate-rules.js';
import { daemonDirectory, daemonSshKeyPath } from './granted-files.js';

const gatePath = '/usr/local/lib/pgs/daemon-gate';
const rulesPath = '/etc/pgs/daemon-gate.json';

export interface Granted {
  hosts: string[];
  /** Tenants whose secrets the daemon was given: those with a schedule. */
  tenants: string[];
  /** Its login to etcd; null with an external etcd, where it has the one of pgs.yaml. */
  etcdUser: string | null;
}

/**
 * Makes what is missing and renews the rest; a second time it changes nothing that is right. It ends with a proof: on each host the key
 * permits what it should, and refuses something else.
 * @throws PgsError of the first host that could not be done; run it again
 */
export async function grantDaemon(session: Session): Promise<Granted> {
  const { inventory } = session;
  const directory = daemonDirectory(inventory.stateDir);
  await ensurePrivateDirectory(directory);
  // Fleets may be older than this directory, and their own .gitignore too.
  await createFileOnce(join(directory, '.gitignore'), '*\n', 0o644);
  const key = await ensureKey(session, directory);
  await ensureSecrets(session, directory, key);
  const tenants = await giveTenants(session);
  const pair = await ensureKeyPair(daemonSshKeyPath(inventory.stateDir), keyComment(inventory));
  const [type, blob] = pair.public.trim().split(' ');
  const line = `restrict,command="${gatePath}" ${type} ${blob} ${keyComment(inventory)}`;
  await onEveryHost(session, 'giving the daemon its rights', async (host) => {
    const access = session.hosts.get(host);
    await applyResources(access, gateFiles(inventory), 30_000);
    await authorize(session, host, line);
    await prove(inventory, host);
  });
  const etcdUser = inventory.etcd.kind === 'fleet' ? daemonLogin : null;
  return { hosts: inventory.hosts.map((h) => h.name), tenants, etcdUser };
}

/** The gate comes before the key; both are readable by the user whose key it is. */
function gateFiles(inventory: Inventory): FileResource[] {
  const own = { kind: 'file', owner: 'root', group: 'root' } as const;
  const rules = `${JSON.stringify(gateRules(inventory), null, 1)}\n`;
  return [
    { ...own, path: rulesPath, mode: '0644', content: rules },
    { ...own, path: gatePath, mode: '0755', content: readTemplate('daemon/gate.py') },
  ];
}

function keyComment({ fleet }: Pick<Inventory, 'fleet'>): string {
  return `pgs-daemon-${fleet}`;
}

/** @param line - of authorized_keys; empty takes the key away */
async function authorize({ hosts, inventory }: Session, host: string, line: string): Promise<void> {
  const argv = ['sh', '-c', readTemplate('daemon/authorize.sh'), 'sh', inventory.ssh.user, keyComment(inventory)];
  await runChecked(hosts.get(host), "changing the daemon's key", { argv, stdin: line, timeoutMs: 15_000 });
}

async function prove(inventory: Inventory, name: string): Promise<void> {
  const host = inventory.hosts.find((h) => h.name === name)!;
  const access = await connectHost(host, { ...inventory.ssh, keyPath: daemonSshKeyPath(inventory.stateDir) });
  try {
    const run = async (argv: string[]) => (await access.run({ argv, timeoutMs: 15_000 })).code;
    const [permitted, refused] = [await run(['true']), await run(['cat', '/etc/shadow'])];
    if (permitted === 0 && refused === 126) return;
    throw new PgsError('endangers', {
      doing: "proving what the daemon's key permits",
      host: name,
      found: `true ended with code ${permitted} and not 0, or cat /etc/shadow with ${refused} and not 126`,
      hint: 'Run `pgs daemon revoke`, and see who else writes authorized_keys there.',
    });
  } finally {
    await access.close();
  }
}

/** The same for every operator: it is kept in etcd. */
async function ensureKey(session: Session, directory: string): Promise<FleetKey> {
  const dcs = await session.dcs();
  const stored = await readDaemonKey(dcs, session.fleetKey);
  const key = stored ?? newDaemonKey();
  if (!stored) await storeDaemonKey(dcs, session.fleetKey, key);
  const text = `${key.reveal()}\n`;
  const path = fleetKeyPath(directory);
  if ((await readFileIfPresent(path, "reading the daemon's key")) !== text)
    await writeFileAtomically(path, text, 0o600);
  return loadFleetKey(directory);
}

const clientRequest: CertificateRequest = {
  subject: { organization: 'pgs', unit: 'daemon', commonName: null },
  dnsNames: [],
  ipAddresses: [],
  usages: ['client'],
};

async function ensureSecrets(session: Session, directory: string, key: FleetKey): Promise<void> {
  const { fleetSecrets, inventory } = session;
  // Those of a key that was taken back, or of another operator's: made anew.
  const known: FleetSecrets | null = await readFleetSecrets(directory, key).catch(() => null);
  const password = known?.etcdLogin?.password ?? generatePassword();
  const client = await keepOrIssue(known?.operatorEtcdClient, fleetSecrets.etcdClientCa, clientRequest, new Date());
  const own = fleetSecretsForDaemon(fleetSecrets, { client, user: daemonLogin, password });
  await writeFleetSecrets(directory, key, own);
  if (inventory.etcd.kind === 'fleet') await ensureDaemonLogin(await session.dcs(), password);
}

/** Those of tenants that have a schedule, as they are now; of others it keeps none. */
async function giveTenants(session: Session): Promise<string[]> {
  const dcs = await session.dcs();
  const scheduled = await new DrillStore(dcs).listSchedules();
  const tenants = [...new Set(scheduled.map((s) => s.tenant))].sort();
  for (const tenant of tenants) await giveTenant(dcs, session.fleetKey, tenant);
  for (const { key } of await dcs.getPrefix(drillKeys.allSecrets))
    if (!tenants.includes(key.slice(drillKeys.allSecrets.length))) await dcs.delete(key);
  return tenants;
}

/**
 * Takes everything back, as much of it as can be reached. Schedules and results stay.
 * @throws PgsError naming what did not answer; run it again when it does
 */
export async function revokeDaemon(session: Session): Promise<{ hosts: string[] }> {
  const { inventory } = session;
  const gone = [gatePath, rulesPath].map(
    (name) => ({ kind: 'absent', what: 'path', name, destructive: false }) as const,
  );
  const onHosts = onEveryHost(session, doingRevoke, async (host) => {
    await authorize(session, host, '');
    await applyResources(session.hosts.get(host), gone, 30_000);
  });
  await allOf(doingRevoke, [revokeInEtcd(session), onHosts]);
  await rm(daemonDirectory(inventory.stateDir), { recursive: true, force: true });
  return { hosts: inventory.hosts.map((h) => h.name) };
}

const doingRevoke = 'taking the rights of the daemon back';

async function revokeInEtcd(session: Session): Promise<void> {
  const dcs = await session.dcs();
  if (session.inventory.etcd.kind === 'fleet') await removeDaemonLogin(dcs);
  await dcs.deletePrefix(drillKeys.allSecrets);
  await dcs.delete(drillKeys.daemonKey);
}

function onEveryHost({ inventory }: Session, doing: string, work: (host: string) => Promise<void>): Promise<void> {
  return allOf(
    doing,
    inventory.hosts.map(({ name }) => work(name)),
  );
}

/** Waits for all, whatever becomes of one. */
async function allOf(doing: string, jobs: Promise<void>[]): Promise<void> {
  const errors = (await Promise.allSettled(jobs)).flatMap((r) => {
    if (r.status === 'fulfilled') return [];
    const error = toPgsError(r.reason, doing);
    return error instanceof PgsErrors ? error.errors : [error];
  });
  if (errors.length === 1) throw errors[0]!;
  if (errors.length > 1) throw new PgsErrors(doing, errors);
}
