// The HAProxy of every simulated host: what its process has loaded, and where it routes. One that would not take its files in
// reality, because a file is missing or a port is taken, does not take them here either.

import { createHash } from 'node:crypto';
import { PgsError } from '../../src/errors.js';
import { haproxyUnit } from '../../haproxy/desired.js';
import { poolerUnit } from '../../src/pgbouncer/desired.js';
import type { TenantSecrets } from '../../src/secrets/tenant-secrets.js';
import type { Cluster } from '../../src/topology/cluster.js';
import type { SimulatedHost } from './simulated-host.js';
import type { SimulatedPatroni } from './simulated-patroni.js';

const configDir = '/etc/pgs/haproxy/conf.d/';
const tlsDir = '/etc/pgs/haproxy/tls/';

export class SimulatedHaproxy {
  /** Content of the loaded files by path, per host. */
  loaded = new Map<string, Record<string, string>>();

  /** Null when the process runs with what it found, otherwise what it complains of. */
  load({ name, paths }: SimulatedHost, othersPorts: { port: number; process: string }[]): string | null {
    const files = Object.fromEntries(
      [...paths]
        .filter(([path, { kind }]) => kind === 'file' && (path.startsWith(configDir) || path.startsWith(tlsDir)))
        .map(([path, { content }]) => [path, content]),
    );
    const config = Object.entries(files).filter(([path]) => path.startsWith(configDir));
    for (const [path, content] of config) {
      const missing = [...content.matchAll(/(?:ca-file|crt) (\S+)/g)].find(([, named]) => files[named!] === undefined);
      if (missing) return `${path}: ${missing[0]} does not exist`;
    }
    const ports = config.flatMap(([, content]) => boundPorts(content));
    const taken = ports.find((port, i) => ports.indexOf(port) !== i || othersPorts.some((o) => o.port === port));
    if (taken !== undefined) return `cannot bind port ${taken}`;
    this.loaded.set(name, files);
    return null;
  }

  stop(host: string): null {
    this.loaded.delete(host);
    return null;
  }

  ports(host: string): { port: number; process: string }[] {
    return Object.entries(this.loaded.get(host) ?? {})
      .filter(([path]) => path.startsWith(configDir))
      .flatMap(([, content]) => boundPorts(content))
      .map((port) => ({ port, process: 'haproxy' }));
  }
}

function boundPorts(content: string): number[] {
  return [...content.matchAll(/^\s*bind \S*:(\d+)/gm)].map(([, port]) => Number(port));
}

/** What `proveServices` finds: everything that a write through each entry and a read of it would need. */
export function proveSimulated(
  hosts: Map<string, SimulatedHost>,
  haproxy: SimulatedHaproxy,
  patroni: SimulatedPatroni,
  cluster: Cluster,
  secrets: TenantSecrets,
): string | null {
  const { tenant } = cluster;
  const members = cluster.members.filter((m) => hosts.get(m.host.name)!.reachable);
  const leader = members.find((m) => patroni.role(m.host.name, tenant) === 'leader');
  const replicas = members.filter((m) => patroni.role(m.host.name, tenant) === 'replica');
  for (const entry of cluster.entries) {
    const fail = (found: string) =>
      new PgsError('unreachable', { doing: `using service primary of ${tenant}`, host: entry.name, found });
    const files = haproxy.loaded.get(entry.name) ?? {};
    const routing = files[`${configDir}tenant-${tenant}.cfg`];
    if (!hosts.get(entry.name)!.reachable || hosts.get(entry.name)!.units.get(haproxyUnit)?.active !== 'active') {
      throw fail('connection refused');
    }
    if (routing === undefined || !boundPorts(routing).includes(cluster.ports.primary)) throw fail('connection refused');
    const client = files[`${tlsDir}${tenant}-client.pem`] ?? '';
    if (!client.startsWith(secrets.restChecks.certPem.trimEnd())) throw fail('its checks show an old certificate');
    if (!leader || !routing.includes(`${leader.host.address}:${cluster.ports.postgres}`)) throw fail('no server');
    const certificate = patroni.loadedFile(leader.host.name, tenant, 'sql.crt');
    if (certificate !== secrets.certificates[leader.host.name]?.sql.certPem) throw fail('self-signed certificate');
    const pooling = members.some(
      (m) => hosts.get(m.host.name)!.units.get(poolerUnit(tenant, 'primary'))?.active === 'active',
    );
    if (cluster.spec.pool !== 'off' && !pooling) throw fail('no pooler');
    const { roles, proofOwner } = patroni.database(tenant)!;
    const { probe } = secrets.passwords;
    if (roles[probe.user] !== secrets.probeScram.reveal()) throw fail('password authentication failed');
    if (proofOwner !== probe.user) throw fail('permission denied for table proof');
    if (replicas.length === 0 && cluster.members.length > 1) return `replica of ${entry.name} still goes to the leader`;
  }
  return null;
}

/** For comparing contents that are secret. */
export function fingerprint(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}
