// A tenant's cluster laid out on the fleet: members with their hosts and addresses, ports and paths. Pure; every component
// derives what it wants from this one picture.

import type { FrontDoor, GivenCertificate, Host, Inventory } from '../inventory/inventory.js';
import { PgsError } from '../errors.js';
import type { Allocation, LeavingMember, TenantRecord, TenantSpec } from './tenant.js';

export interface Cluster {
  tenant: string;
  spec: TenantSpec;
  allocation: Allocation;
  members: PlacedMember[];
  /** Members that are no longer counted on, where something of them may be left. */
  leaving: PlacedLeaving[];
  /** Hosts that answer for the tenant's services: every host of the fleet. */
  entries: Host[];
  ports: TenantPorts;
  paths: TenantPaths;
  /** OS user and group of the tenant's processes. */
  osUser: string;
  /** Of the fleet; the tenant's names at the front door are in it. */
  domain: string;
  door: FrontDoor;
}

export interface PlacedMember {
  name: string;
  host: Host;
}

export type PlacedLeaving = Omit<LeavingMember, 'host'> & PlacedMember;

/** A tenant's block of ten ports, the same on every host. */
export interface TenantPorts {
  primary: number;
  replica: number;
  direct: number;
  directReplica: number;
  postgres: number;
  rest: number;
  pooler: number;
  poolerReplica: number;
  /** Where poolers ask for verifiers, on members' hosts. */
  lookup: number;
}

export interface TenantPaths {
  /** Home of the OS user, 0700. */
  home: string;
  data: string;
  config: string;
  tls: string;
  patroniConfig: string;
  /** Sockets and pgpass, 0700. */
  run: string;
}

export const serviceNames = ['primary', 'replica', 'direct', 'direct-ro'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** The services that go through PgBouncer, unless the tenant has none. */
export const pooledServices = ['primary', 'replica'] as const;
export type PooledService = (typeof pooledServices)[number];

export function poolerPort(ports: TenantPorts, service: PooledService): number {
  return service === 'primary' ? ports.pooler : ports.poolerReplica;
}

/** Ports that a tenant takes from the range of pgs.yaml. */
export const portsPerTenant = 10;

export function portsOf(slot: number, range: { from: number }): TenantPorts {
  const base = range.from + slot * portsPerTenant;
  return {
    primary: base,
    replica: base + 1,
    direct: base + 2,
    directReplica: base + 3,
    postgres: base + 4,
    rest: base + 5,
    pooler: base + 6,
    poolerReplica: base + 7,
    lookup: base + 8,
  };
}

export function servicePort(ports: TenantPorts, service: ServiceName): number {
  return service === 'direct-ro' ? ports.directReplica : ports[service];
}

/** The certificate that the operator gave for the tenant's names; null: its own CA issues one. */
export function givenCertificate({ tenant, door }: Pick<Cluster, 'tenant' | 'door'>): GivenCertificate | null {
  return door.tenants?.[tenant] ?? door.certificate ?? null;
}

/** The name of a service at the front door. */
export function serviceHost(tenant: string, service: ServiceName, domain: string): string {
  const suffix = { primary: '', replica: '-ro', direct: '-direct', 'direct-ro': '-direct-ro' }[service];
  return `${tenant}${suffix}.${domain}`;
}

export function pathsOf(tenant: string): TenantPaths {
  const config = `/etc/pgs/tenants/${tenant}`;
  return {
    home: `/var/lib/pgs/${tenant}`,
    data: `/var/lib/pgs/${tenant}/data`,
    config,
    tls: `${config}/tls`,
    patroniConfig: `${config}/patroni.yml`,
    run: `/run/pgs/${tenant}`,
  };
}

/** The tenant's slice; systemd reads a dash in a slice's name as a parent, so it is escaped: acme must not hold acme-co. */
export function tenantSlice(tenant: string): string {
  return `pgs-${tenant.replaceAll('-', '\\x2d')}.slice`;
}

/** A tenant's slice below the root of the cgroups: systemd puts `pgs-acme.slice` into `pgs.slice`. */
export function cgroupOf(slice: string): string {
  return `pgs.slice/${slice}`;
}

export function osUserOf(tenant: string): string {
  return `pgs-${tenant}`;
}

/** What of the cluster is left when these hosts are not there. */
export function withoutHosts(cluster: Cluster, hosts: string[]): Cluster {
  return {
    ...cluster,
    entries: cluster.entries.filter((entry) => !hosts.includes(entry.name)),
    members: cluster.members.filter((member) => !hosts.includes(member.host.name)),
    leaving: cluster.leaving.filter((member) => !hosts.includes(member.host.name)),
  };
}

/**
 * The cluster of a record on the hosts of the inventory.
 * @throws PgsError `configuration` if a member's host is no longer in pgs.yaml
 */
export function layOutCluster(record: TenantRecord, inventory: Inventory): Cluster {
  const { tenant } = record.spec;
  const members = record.allocation.members.map((member) => {
    const host = inventory.hosts.find((h) => h.name === member.host);
    if (!host) {
      throw new PgsError('configuration', {
        doing: `laying out cluster ${tenant}`,
        found: `member ${member.name} lives on host ${member.host}, which ${inventory.path} does not have`,
        hint: `Put ${member.host} back into pgs.yaml; a host leaves the fleet only when no member lives on it.`,
      });
    }
    return { name: member.name, host };
  });
  // With a host that has left the fleet nothing of a member is left that could be looked for.
  const leaving = (record.allocation.leaving ?? []).flatMap((left) => {
    const host = inventory.hosts.find((h) => h.name === left.host);
    return host ? [{ ...left, host }] : [];
  });
  return {
    tenant,
    spec: record.spec,
    allocation: record.allocation,
    members,
    leaving,
    entries: inventory.hosts,
    ports: portsOf(record.allocation.slot, inventory.ports),
    paths: pathsOf(tenant),
    osUser: osUserOf(tenant),
    domain: inventory.domain,
    door: inventory.door,
  };
}
