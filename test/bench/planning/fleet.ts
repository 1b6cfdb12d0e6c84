// A thousand tenants on a hundred hosts, as data: records as placing gives them, secrets that are obvious fakes, and hosts on which nothing
// of a tenant is there yet, or all of it.

import type { DoorCertificates } from '../../../haproxy/desired-door.js';
import type { ReachableHost } from '../../../src/host/facts.js';
import type { Resource } from '../../../src/host/resource.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import type { ClusterFacts, PlanInput } from '../../../src/reconcile/plan-cluster.js';
import { Secret } from '../../../src/secrets/secret.js';
import { layOutCluster, type Cluster } from '../../../src/topology/cluster.js';
import type { HostSupply } from '../../../src/topology/placement.js';
import type { TenantRecord, TenantSpec } from '../../../src/topology/tenant.js';
import { resourcesOn, wantedFacts } from '../../fixtures/cluster-facts.js';
import { fakeSecrets, inventory as small, recordOf } from '../../fixtures/fleet.js';
import { emptyHost, hostWith, hostWithout } from '../../fixtures/hosts.js';

const zones = 5;
const size = { memoryMiB: 262_144, cores: 32 };

export function inventoryOf(hosts: number): Inventory {
  return {
    ...small,
    fleet: 'large',
    domain: 'db.example.com',
    hosts: Array.from({ length: hosts }, (_, i) => ({
      name: `h${i + 1}`,
      address: `10.0.${Math.floor(i / 200)}.${(i % 200) + 11}`,
      zone: `z${(i % zones) + 1}`,
    })),
    defaults: { ...small.defaults, watchdog: 'required' },
  };
}

export function supplyOf({ hosts }: Inventory): HostSupply[] {
  return hosts.map((host) => ({ host, unfit: null, ...size, portsTaken: [] }));
}

export function specOf(tenant: string): TenantSpec {
  return recordOf(tenant, { watchdog: 'required' }).spec;
}

const dcs = { hosts: ['10.0.0.11:2379'], caPem: 'etcd ca\n', clientCertificate: true };

/** As long as a real one, so that memory is used as it would be. */
const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${`${name} `.repeat(1000).slice(0, 900)}\n`;
const door: DoorCertificates = {
  nobody: { certPem: pem('nobody'), keyPem: new Secret('fake key nobody\n') },
  given: null,
};

/** A tenant to be planned: of which nothing is there yet, or everything. */
export function inputOf(record: TenantRecord, inventory: Inventory, there: 'nothing' | 'everything'): PlanInput {
  const cluster = layOutCluster(record, inventory);
  const { tenant, members } = cluster;
  const hosts = members.map(({ host }) => host.name);
  const secrets = fakeSecrets(tenant, hosts, (name) => pem(`${tenant} ${name}`));
  // As the cluster's files are before it is planned: rendered for each host, as another run of pgs did.
  const on = (hostOf: (resources: Resource[]) => ReachableHost): ClusterFacts['hosts'] =>
    Object.fromEntries(
      cluster.entries.map((entry) => [entry.name, hostOf(resourcesOn(cluster, entry, { secrets, dcs, door }))]),
    );
  const input = { cluster, secrets, dcs, door };
  if (there === 'nothing') {
    const facts = factsOfNothing(
      cluster,
      on((resources) => hostWithout(resources, { ...emptyHost(), ...size })),
    );
    return { ...input, phase: 'creating', facts };
  }
  const full = on((resources) => hostWith(resources, { ...emptyHost(), ...size }, 'hashes'));
  return { ...input, phase: 'ready', facts: wantedFacts(cluster, secrets, full) };
}

function factsOfNothing({ members }: Cluster, hosts: ClusterFacts['hosts']): ClusterFacts {
  return {
    hosts,
    dcsAccess: 'absent',
    dcsKeys: false,
    settings: null,
    patroni: { members: Object.fromEntries(members.map((m) => [m.name, { reachable: false, why: 'refused' }])) },
    sql: null,
    parameters: Object.fromEntries(members.map((m) => [m.name, null])),
  };
}
