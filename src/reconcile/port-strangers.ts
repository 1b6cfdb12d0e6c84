// Who sits on a tenant's ports that should not: a port was free when it was allocated, and a stranger may take it while what
// belongs there is stopped. Without this look, systemd would try again and again and nobody would say why. Pure.

import { patroniUnit } from '../patroni/desired.js';
import { PgsError } from '../errors.js';
import type { ListeningPort, ReachableHost } from '../host/facts.js';
import { serviceNames, servicePort, type Cluster } from '../topology/cluster.js';
import type { ClusterFacts } from './plan-cluster.js';

interface OwnPort {
  port: number;
  what: string;
  /** Names of processes that may listen there. */
  processes: RegExp;
}

/** One error per host that was looked at and has a stranger on a port of the tenant. */
export function portStrangers(cluster: Cluster, facts: ClusterFacts): PgsError[] {
  return cluster.entries.flatMap((entry) => {
    const found = facts.hosts[entry.name];
    if (!found?.reachable) return [];
    const own = ownPorts(cluster, entry.name);
    const strangers = own.flatMap(({ port, what, processes }) =>
      found.listening
        .filter(
          (l) => l.port === port && collides(l.address, entry.address) && isStranger(l, processes, cluster, found),
        )
        .map((l) => `port ${port} (${what}) is taken by ${l.process ?? 'a process that cannot be seen'}`),
    );
    if (strangers.length === 0) return [];
    return [
      new PgsError('unfit', {
        doing: `looking at the ports of ${cluster.tenant}`,
        host: entry.name,
        found: [...new Set(strangers)].join('\n'),
        hint: `Stop it there (\`ss -ltnp\` shows its process id), then run the same command again.`,
      }),
    ];
  });
}

function ownPorts({ tenant, ports, members, door }: Cluster, host: string): OwnPort[] {
  const services: OwnPort[] = [
    ...serviceNames.map((name) => ({ port: servicePort(ports, name), what: `service ${name} of ${tenant}` })),
    { port: door.port, what: 'the front door' },
  ].map((own) => ({ ...own, processes: /^haproxy$/ }));
  const member = members.find((m) => m.host.name === host);
  if (!member) return services;
  return [
    ...services,
    { port: ports.postgres, what: `PostgreSQL of ${member.name}`, processes: /^postgres$/ },
    { port: ports.pooler, what: `PgBouncer of ${member.name}`, processes: /^pgbouncer$/ },
    { port: ports.lookup, what: `verifiers for PgBouncer of ${member.name}`, processes: /^haproxy$/ },
    { port: ports.poolerReplica, what: `PgBouncer of ${member.name}`, processes: /^pgbouncer$/ },
    { port: ports.rest, what: `Patroni's REST of ${member.name}`, processes: /^(patroni|python)/ },
  ];
}

/** What listens on another address of the host is in nobody's way, except HAProxy's, which has its own word for that. */
function collides(address: string, own: string): boolean {
  return address === own || ['*', '0.0.0.0', '::', '[::]'].includes(address);
}

function isStranger(l: ListeningPort, processes: RegExp, { tenant, door }: Cluster, host: ReachableHost): boolean {
  if (l.process !== null) return !processes.test(l.process);
  // Without a name it can only be told where nothing of ours runs; the front door may be there for other tenants.
  if (l.port === door.port) return false;
  return host.units[patroniUnit(tenant)]?.active === 'inactive';
}
