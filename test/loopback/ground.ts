// A front door on this machine: HAProxy itself with the files that pgs writes onto an entry host, in a directory of its own, and two
// tenants of pretended servers on 127.0.0.1 to 127.0.0.3.

import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { desiredDoor, desiredTenantDoor, type DoorCertificates } from '../../haproxy/desired-door.js';
import { desiredHaproxy, desiredRouting } from '../../haproxy/desired.js';
import { setAccess } from '../../haproxy/commands.js';
import { tenantFile } from '../../haproxy/places.js';
import type { Resource } from '../../src/host/resource.js';
import type { GivenCertificate, Inventory } from '../../src/inventory/inventory.js';
import { createAuthority, issueCertificate } from '../../src/pki/authority.js';
import { readGivenCertificate } from '../../src/reconcile/given-certificate.js';
import { reveal } from '../../src/secrets/secret.js';
import { ensureTenantSecrets, type TenantSecrets } from '../../src/secrets/tenant-secrets.js';
import type { Access } from '../../src/topology/access.js';
import { layOutCluster, serviceHost, serviceNames, type Cluster } from '../../src/topology/cluster.js';
import type { TenantSpec } from '../../src/topology/tenant.js';
import { inventory as fixture, recordOf } from '../fixtures/fleet.js';
import { freeBlock, startDatabase, startPatroni, type Arrival, type Role } from './server.js';

/** Another one than Debian's may be tried. */
const environment = process.env;
const haproxy = environment.HAPROXY ?? '/usr/sbin/haproxy';

export interface Tenant {
  cluster: Cluster;
  secrets: TenantSecrets;
  caPath: string;
  /** By member's name. */
  roles: Record<string, Role>;
}

export interface Ground {
  port: number;
  directory: string;
  tenants: Record<string, Tenant>;
  arrivals: Arrival[];
  inventory: Inventory;
  /** Of HAProxy's worker. */
  pid(): number;
  /** What HAProxy answers to a command. */
  ask(command: string): Promise<string>;
  /** As `pgs access` does it on a host; what it prints. */
  access(tenant: string, access: Access, sessions?: 'cut' | 'keep'): string;
  /** The tenant's files as they should be in that state, and a reload. */
  reloadAs(tenant: string, state: 'running' | 'stopped'): Promise<void>;
  reload(): Promise<void>;
  /** Another certificate for the tenant's names at the front door. */
  renew(tenant: string): Promise<void>;
  log(): string;
  close(): Promise<void>;
}

const addresses = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];

/**
 * @param specs - what differs from the default spec, by tenant
 * @param given - a tenant for whom the operator gave a certificate, a wildcard of an authority that is not pgs's
 */
export async function startGround(specs: Record<string, Partial<TenantSpec>>, given?: string): Promise<Ground> {
  const directory = mkdtempSync(join(tmpdir(), 'pgs-door-'));
  const names = Object.keys(specs);
  const from = await freeBlock(addresses, names.length + 1);
  const port = from + 10 * names.length;
  const hosts = addresses.map((address, i) => ({ name: `h${i + 1}`, address, zone: `z${i}` }));
  const own = given === undefined ? {} : { [given]: await giveCertificate(directory, fixture.domain) };
  const inventory: Inventory = { ...fixture, hosts, door: { port, tenants: own }, ports: { from, to: port - 1 } };
  const arrivals: Arrival[] = [];
  const servers: Server[] = [];
  const tenants: Record<string, Tenant> = {};
  const authority = await createAuthority('test');
  for (const [slot, name] of names.entries()) {
    const record = recordOf(name, { access: { enabled: true, from: [] }, rto: 'fast', ...specs[name] });
    const cluster = layOutCluster({ ...record, allocation: { ...record.allocation, slot } }, inventory);
    const memberHosts = cluster.members.map((m) => m.host);
    const secrets = await ensureTenantSecrets(
      name,
      memberHosts,
      inventory,
      { etcdClientCa: authority },
      null,
      new Date(),
    );
    const caPath = own[name]?.caPath ?? join(directory, `${name}-ca.crt`);
    if (!own[name]) writeFileSync(caPath, secrets.sqlCa.certPem);
    const roles = Object.fromEntries(cluster.members.map((m, i) => [m.name, { leads: i === 0 }]));
    tenants[name] = { cluster, secrets, caPath, roles };
    servers.push(...(await startServers(tenants[name], arrivals)));
  }

  const nobody = await issueCertificate(authority, {
    subject: { organization: 'pgs', unit: 'front door', commonName: null },
    dnsNames: ['unknown-name.invalid'],
    ipAddresses: [],
    usages: ['server'],
  });
  const doors: Record<string, DoorCertificates> = {};
  for (const [name, { cluster }] of Object.entries(tenants))
    doors[name] = { nobody, given: await readGivenCertificate(cluster) };
  const entry = hosts[0]!;
  const here = (text: string) =>
    text
      .replaceAll('/etc/pgs/haproxy', `${directory}/etc`)
      .replaceAll('/run/pgs-haproxy', `${directory}/run`)
      .replaceAll('/var/lib/pgs-haproxy', `${directory}/var`);
  const write = (resources: Resource[]) => {
    for (const file of resources) {
      if (file.kind !== 'file' || !file.path.startsWith('/etc/pgs/haproxy')) continue;
      mkdirSync(dirname(here(file.path)), { recursive: true });
      writeFileSync(here(file.path), here(reveal(file.content)), { mode: 0o600 });
    }
  };
  for (const part of ['run', 'var', 'etc']) mkdirSync(join(directory, part));
  write(desiredHaproxy(entry));
  for (const [name, { cluster, secrets }] of Object.entries(tenants)) {
    const door = doors[name]!;
    write([...desiredDoor(cluster, entry, door), ...desiredRouting(cluster, entry, secrets, door)]);
  }

  const running = await startHaproxy(directory, names);
  return {
    port,
    directory,
    tenants,
    arrivals,
    inventory,
    pid: running.pid,
    ask: (command) => askSocket(`${directory}/run/admin.sock`, command),
    access: (tenant, access, sessions = 'cut') => {
      const { argv, stdin } = setAccess(tenant, access, sessions);
      const [program, ...args] = argv.map(here);
      const env = { ...environment, PGS_RUN: `${directory}/run` };
      return execFileSync(program!, args, { input: reveal(stdin!), encoding: 'utf8', env }).trim();
    },
    reloadAs: async (tenant, state) => {
      const { cluster, secrets } = tenants[tenant]!;
      const stops = state === 'stopped';
      if (stops) rmSync(here(tenantFile(tenant)));
      write(
        stops
          ? desiredTenantDoor(cluster, secrets, doors[tenant]!, state)
          : desiredRouting(cluster, entry, secrets, doors[tenant]!),
      );
      await running.reload();
    },
    reload: running.reload,
    renew: async (tenant) => {
      const { cluster, secrets } = tenants[tenant]!;
      const dnsNames = serviceNames.map((service) => serviceHost(tenant, service, inventory.domain));
      const subject = { organization: 'pgs', unit: tenant, commonName: null };
      const request = { subject, dnsNames, ipAddresses: [], usages: ['server' as const] };
      const renewed = await issueCertificate(secrets.sqlCa, request);
      write(desiredTenantDoor(cluster, { ...secrets, door: renewed }, doors[tenant]!, 'running'));
      await running.reload();
    },
    log: running.log,
    close: async () => {
      await running.end();
      for (const server of servers) server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function giveCertificate(directory: string, domain: string): Promise<GivenCertificate & { caPath: string }> {
  const path = (name: string) => join(directory, name);
  const authority = await createAuthority('somebody else');
  const subject = { organization: 'somebody else', unit: 'web', commonName: null };
  const request = { subject, dnsNames: [`*.${domain}`], ipAddresses: [], usages: ['server' as const] };
  const { certPem, keyPem } = await issueCertificate(authority, request);
  writeFileSync(path('given.crt'), certPem);
  writeFileSync(path('given.key'), keyPem.reveal());
  writeFileSync(path('given-ca.crt'), authority.certPem);
  return { certPath: path('given.crt'), keyPath: path('given.key'), caPath: path('given-ca.crt') };
}

async function startServers({ cluster, secrets, roles }: Tenant, arrivals: Arrival[]): Promise<Server[]> {
  const { tenant, ports, spec } = cluster;
  const started = cluster.members.flatMap(({ name, host: { name: host, address } }) => {
    const { sql: certificate, rest } = secrets.certificates[host]!;
    const database = (port: number, identity: string, alpn: boolean) =>
      startDatabase({ identity, address, port, certificate, alpn, arrivals });
    return [
      database(ports.postgres, `${tenant} ${name}`, spec.postgres >= 17),
      database(ports.pooler, `${tenant} pooler of ${name}`, false),
      database(ports.poolerReplica, `${tenant} replica pooler of ${name}`, false),
      startPatroni(address, ports.rest, rest, roles[name]!),
    ];
  });
  return Promise.all(started);
}

interface Haproxy {
  pid: () => number;
  reload: () => Promise<void>;
  log: () => string;
  end: () => Promise<void>;
}

async function startHaproxy(directory: string, tenants: string[]): Promise<Haproxy> {
  const master = `${directory}/run/master.sock`;
  const args = ['-W', '-f', `${directory}/etc/conf.d`, '-S', `${master},mode,600`];
  const child = spawn(haproxy, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  let pid = 0;
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const untilServes = (before: number) =>
    until(
      () => `HAProxy serves\n${log}`,
      async () => {
        const workers = (await askSocket(master, 'show proc')).split('# old workers')[0]!;
        pid = Number(/^(\d+)\s+worker/m.exec(workers)?.[1] ?? before);
        const stat = await askSocket(`${directory}/run/admin.sock`, 'show stat -1 4 -1');
        return pid !== before && tenants.every((name) => !stat.includes(`${name}:leader`) || isLed(stat, name));
      },
    );
  await untilServes(0);
  return {
    pid: () => pid,
    log: () => log,
    reload: async () => {
      const before = pid;
      child.kill('SIGUSR2');
      await untilServes(before);
    },
    end: async () => {
      child.kill('SIGTERM');
      if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
    },
  };
}

/** Checks have found the leader, and found out who is none. */
function isLed(stat: string, tenant: string): boolean {
  const states = stat.split('\n').filter((line) => line.startsWith(`${tenant}:leader,`));
  return states.filter((line) => line.split(',')[17] === 'UP').length === 1;
}

/** @throws nothing: an empty answer is one, too */
export function askSocket(path: string, command: string): Promise<string> {
  return new Promise((resolve) => {
    let said = '';
    const socket = connect(path, () => socket.end(`${command}\n`));
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    socket.on('error', () => resolve(said));
    socket.on('close', () => resolve(said));
  });
}

/** Looks again until it holds; the deadline is for a broken run, not a promise. */
export async function until(what: () => string, holds: () => Promise<boolean>, limitMs = 20_000): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`not within ${limitMs / 1000} s: ${what()}`);
    await sleep(50);
  }
}
