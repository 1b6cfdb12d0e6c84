// A thousand tenants on a hundred hosts, as data: records as placing gives them, secrets that are obvious fakes, and hosts on which nothing
// of a tenant is there yet, or all of it.

import { desiredDoor, type DoorCertificates } from '../../../haproxy/desired-door.js';
import { desiredHaproxy, desiredRouting } from '../../../haproxy/desired.js';
import type { ReachableHost } from '../../../src/host/facts.js';
import { wantedFor } from '../../../src/host/gather.js';
import { desiredLimits } from '../../../src/host/limits.js';
import type { Resource } from '../../../src/host/resource.js';
import { contentHash } from '../../../src/host/resource-rules.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import { desiredDcsSettings } from '../../../src/patroni/desired.js';
import type { ReachableMember } from '../../../src/patroni/facts.js';
import { desiredMember } from '../../../src/reconcile/member.js';
import type { ClusterFacts, PlanInput } from '../../../src/reconcile/plan-cluster.js';
import { wantedParameters } from '../../../src/reconcile/plan-restarts.js';
import { sha256 } from '../../../src/reconcile/plan-sql.js';
import { reveal, Secret } from '../../../src/secrets/secret.js';
import type { TenantSecrets } from '../../../src/secrets/tenant-secrets.js';
import { layOutCluster, type Cluster } from '../../../src/topology/cluster.js';
import type { HostSupply } from '../../../src/topology/placement.js';
import type { TenantRecord, TenantSpec } from '../../../src/topology/tenant.js';

const zones = 5;

export function inventoryOf(hosts: number): Inventory {
  return {
    path: '/fleet/pgs.yaml',
    stateDir: '/fleet/.pgs',
    fleet: 'large',
    domain: 'db.example.com',
    hosts: Array.from({ length: hosts }, (_, i) => ({
      name: `h${i + 1}`,
      address: `10.0.${Math.floor(i / 200)}.${(i % 200) + 11}`,
      zone: `z${(i % zones) + 1}`,
    })),
    ssh: { user: 'root', port: 22, keyPath: null, knownHostsPath: '/fleet/.pgs/known_hosts' },
    packages: 'distribution',
    ports: { from: 20000, to: 29999 },
    etcd: { kind: 'fleet', members: ['h1', 'h2', 'h3'], clientPort: 2379, peerPort: 2380 },
    door: { port: 5432 },
    notify: { webhook: null, webhookPath: null, command: null },
    drills: { backup: null },
    defaults: { postgres: null, rto: 'norm', rpoBytes: 0, durability: 'available', watchdog: 'required' },
  };
}

export function supplyOf({ hosts }: Inventory): HostSupply[] {
  return hosts.map((host) => ({ host, unfit: null, memoryMiB: 262_144, cores: 32, portsTaken: [] }));
}

export function specOf(tenant: string): TenantSpec {
  return {
    tenant,
    replicas: 2,
    postgres: 17,
    rto: 'norm',
    rpoBytes: 0,
    durability: 'available',
    watchdog: 'required',
    pool: 'transaction',
    settings: {},
  };
}

const dcs = { hosts: ['10.0.0.11:2379'], caPem: 'etcd ca\n', clientCertificate: true };

/** As long as a real one, so that memory is used as it would be. */
const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${`${name} `.repeat(1000).slice(0, 900)}\n`;
const issued = (name: string) => ({ certPem: pem(name), keyPem: new Secret(`fake key ${name}\n`) });
const door: DoorCertificates = { nobody: issued('nobody'), given: null };

function secretsOf({ tenant, members }: Cluster): TenantSecrets {
  const account = (user: string) => ({ user, password: new Secret(`fake-password-${user}-${tenant}`) });
  const of = (name: string) => issued(`${tenant} ${name}`);
  return {
    restCa: { kind: 'authority', ...of('rest-ca') },
    sqlCa: { kind: 'authority', ...of('sql-ca') },
    passwords: {
      rest: account('pgs'),
      etcd: account(`pgs-${tenant}`),
      replication: account('pgs_replication'),
      rewind: account('pgs_rewind'),
      probe: account('pgs_probe'),
      app: account('app'),
    },
    appScram: new Secret('SCRAM-SHA-256$4096:fake-app'),
    probeScram: new Secret('SCRAM-SHA-256$4096:fake-probe'),
    certificates: Object.fromEntries(
      members.map(({ host: { name } }) => [
        name,
        { rest: of(`rest-${name}`), sql: of(`sql-${name}`), etcd: of(`etcd-${name}`) },
      ]),
    ),
    restChecks: of('rest-checks'),
    restOperator: of('rest-operator'),
    pooler: of('pooler'),
    door: of('door'),
  };
}

/** A tenant to be planned: of which nothing is there yet, or everything. */
export function inputOf(record: TenantRecord, inventory: Inventory, there: 'nothing' | 'everything'): PlanInput {
  const cluster = layOutCluster(record, inventory);
  const secrets = secretsOf(cluster);
  const phase = there === 'nothing' ? 'creating' : 'ready';
  const facts = there === 'nothing' ? factsOfNothing(cluster, secrets) : factsOfEverything(cluster, secrets);
  return { cluster, phase, secrets, dcs, door, facts };
}

/** As the cluster's files are before it is planned: rendered for each host, as another run of pgs did. */
function resourcesOn(cluster: Cluster, secrets: TenantSecrets, entry: Cluster['entries'][number]): Resource[] {
  const member = cluster.members.find((m) => m.host.name === entry.name);
  return [
    ...desiredHaproxy(entry),
    ...desiredDoor(cluster, entry, door),
    ...desiredRouting(cluster, entry, secrets, door),
    ...(member ? [...desiredMember(cluster, member, secrets, dcs), ...desiredLimits(cluster.spec)] : []),
  ];
}

function hostsOf(
  cluster: Cluster,
  secrets: TenantSecrets,
  hostWith: (resources: Resource[]) => ReachableHost,
): ClusterFacts['hosts'] {
  return Object.fromEntries(
    cluster.entries.map((entry) => [entry.name, hostWith(resourcesOn(cluster, secrets, entry))]),
  );
}

function factsOfNothing(cluster: Cluster, secrets: TenantSecrets): ClusterFacts {
  return {
    hosts: hostsOf(cluster, secrets, bareHost),
    dcsAccess: 'absent',
    dcsKeys: false,
    settings: null,
    patroni: {
      members: Object.fromEntries(cluster.members.map((m) => [m.name, { reachable: false, why: 'refused' }])),
    },
    sql: null,
    parameters: Object.fromEntries(cluster.members.map((m) => [m.name, null])),
  };
}

function factsOfEverything(cluster: Cluster, secrets: TenantSecrets): ClusterFacts {
  const values = Object.entries(wantedParameters(cluster)).map(([name, value]) => [name, String(value)]);
  const parameters = {
    values: Object.fromEntries(values) as Record<string, string>,
    given: {},
    pending: [],
    overridden: [],
  };
  const { app, probe } = secrets.passwords;
  return {
    hosts: hostsOf(cluster, secrets, fullHost),
    dcsAccess: 'right',
    dcsKeys: true,
    settings: desiredDcsSettings(cluster),
    patroni: { members: Object.fromEntries(cluster.members.map((m, i) => [m.name, memberFact(i === 0)])) },
    sql: {
      parameters,
      roles: {
        [app.user]: sha256(reveal(secrets.appScram)),
        [probe.user]: sha256(reveal(secrets.probeScram)),
        pgs_pooler: '',
      },
      databases: { app: { owner: 'app', publicMayConnect: false } },
      proofOwner: probe.user,
      lookupOwner: 'pgs_lookup',
    },
    parameters: Object.fromEntries(cluster.members.map((m) => [m.name, parameters])),
  };
}

function emptyHost(): ReachableHost {
  return { reachable: true, users: {}, paths: {}, units: {}, listening: [], memoryMiB: 262_144, cores: 32 };
}

const absent = { kind: 'absent' } as const;

function bareHost(resources: Resource[]): ReachableHost {
  const wanted = wantedFor(resources);
  const host = emptyHost();
  for (const name of wanted.users) host.users[name] = { present: false };
  for (const { path } of wanted.paths) host.paths[path] = absent;
  const unit = { load: 'not-found', active: 'inactive', enabled: false, needsDaemonReload: false, startedAtS: 0 };
  for (const name of wanted.units) host.units[name] = { ...unit, loaded: {} };
  return host;
}

function fullHost(resources: Resource[]): ReachableHost {
  const host = emptyHost();
  const hashes: Record<string, string> = {};
  for (const r of resources) {
    if (r.kind === 'user') host.users[r.name] = { present: true, home: r.home };
    if (r.kind === 'absent' && r.what === 'path') host.paths[r.name] = { kind: 'absent' };
    if (r.kind !== 'directory' && r.kind !== 'file') continue;
    const { owner, group, mode, path } = r;
    if (r.kind === 'directory') host.paths[path] = { kind: 'directory', owner, group, mode, empty: false };
    else host.paths[path] = { kind: 'file', owner, group, mode, sha256: (hashes[path] = contentHash(r.content)) };
  }
  for (const r of resources) {
    if (r.kind !== 'unit') continue;
    const loads = [`/etc/systemd/system/${r.name}`, ...r.loads].map((path) => [path, hashes[path] ?? '']);
    const loaded = Object.fromEntries(loads) as Record<string, string>;
    host.units[r.name] = {
      load: 'loaded',
      active: 'active',
      enabled: true,
      needsDaemonReload: false,
      startedAtS: 1,
      loaded,
    };
  }
  return host;
}

function memberFact(leads: boolean): ReachableMember {
  return {
    reachable: true,
    role: leads ? 'leader' : 'replica',
    state: 'running',
    streaming: !leads,
    timeline: 1,
    positionBytes: 5000,
    receivedBytes: leads ? null : 5000,
    synchronous: !leads,
    pendingRestart: false,
    paused: false,
    watchdogFailed: false,
    serverVersion: 170012,
    patroniVersion: '4.0.7',
    postmasterStartedAt: '2026-11-20 00:00:00+00:00',
  };
}
