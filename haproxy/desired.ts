// What HAProxy should be on an entry host: one process for the host, and one file per tenant in its configuration directory.

import type { Resource } from '../src/host/resource.js';
import type { Host } from '../src/inventory/inventory.js';
import { readTemplate, renderTemplate } from '../src/host/template.js';
import { rememberedFor } from '../src/remembered.js';
import { restTrust } from '../src/secrets/rotation.js';
import { Secret } from '../src/secrets/secret.js';
import { asksInOneDatabase } from '../src/topology/accounts.js';
import type { TenantSecrets } from '../src/secrets/tenant-secrets.js';
import { pooledServices, poolerPort, serviceNames, servicePort, type Cluster } from '../src/topology/cluster.js';
import { holdLimitMs, presets, silentLeaderMs, type CheckTiming } from '../src/topology/presets.js';
import { absentTenantDoor, desiredDoor, desiredTenantDoor, doorLoads, type DoorCertificates } from './desired-door.js';
import { adminSocket, configDir, globalFile, masterSocket, own, runDir, tenantFile, tlsDir, user } from './places.js';

export const haproxyUnit = 'pgs-haproxy.service';

const holdScript = '/etc/pgs/haproxy/hold.lua';
/** What HAProxy knew of its servers at the last reload. */
const stateFile = '/var/lib/pgs-haproxy/servers.state';
const reload = '/usr/local/lib/pgs/haproxy-reload';

/** Backends of the pooled services. */
export const poolersOf = { primary: 'poolers', replica: 'replica-poolers' } as const;

/** A replica further behind than this gets no reads from `replica` and `direct-ro`, bytes. */
export const readLagBytesMax = 16 * 1024 * 1024;

/** The HAProxy of an entry host itself, without any tenant: the same for each of its tenants, and made once. */
export const desiredHaproxy = rememberedFor(haproxyOn);

function haproxyOn({ address }: Host): Resource[] {
  return [
    { kind: 'user', name: user, home: '/var/lib/pgs-haproxy' },
    { kind: 'directory', path: '/var/lib/pgs-haproxy', mode: '0700', ...own },
    { kind: 'directory', path: '/etc/pgs/haproxy', mode: '0700', ...own },
    { kind: 'directory', path: configDir, mode: '0700', ...own },
    { kind: 'directory', path: tlsDir, mode: '0700', ...own },
    { kind: 'file', path: holdScript, mode: '0600', ...own, content: readTemplate('haproxy/hold.lua') },
    {
      kind: 'file',
      path: globalFile,
      mode: '0600',
      ...own,
      content: renderTemplate('haproxy/global.cfg.eta', { adminSocket, holdScript, stateFile, address }),
      validate: ['/usr/sbin/haproxy', '-c', '-q', '-f', '{}'],
    },
    {
      kind: 'file',
      path: reload,
      owner: 'root',
      group: 'root',
      mode: '0755',
      content: readTemplate('haproxy/reload.sh'),
    },
    {
      kind: 'file',
      path: `/etc/systemd/system/${haproxyUnit}`,
      owner: 'root',
      group: 'root',
      mode: '0644',
      content: renderTemplate('haproxy/pgs-haproxy.service.eta', {
        unit: haproxyUnit,
        user,
        configDir,
        tlsDir,
        holdScript,
        runName: 'pgs-haproxy',
        masterSocket,
        adminSocket,
        stateFile,
        reload,
      }),
    },
  ];
}

/** What must be gone from a host that is no entry any more. */
export function absentHaproxy(): Resource[] {
  return [
    { kind: 'absent', what: 'unit', name: haproxyUnit, destructive: false },
    ...absent([`/etc/systemd/system/${haproxyUnit}`, '/etc/pgs/haproxy']),
  ];
}

/** A tenant's part of an entry host: its services and the certificate that HAProxy shows to Patroni's REST. */
export function desiredRouting(
  cluster: Cluster,
  entry: Host,
  secrets: TenantSecrets,
  door: DoorCertificates,
  doorFiles = desiredTenantDoor(cluster, secrets, door, 'running'),
): Resource[] {
  const { tenant } = cluster;
  const ca = `${tlsDir}/${tenant}-ca.crt`;
  const { path: client, content } = hostPair(tenant, secrets);
  return [
    { kind: 'file', path: client, mode: '0600', content, ...own },
    { kind: 'file', path: ca, mode: '0600', content: restTrust(secrets), ...own },
    {
      kind: 'file',
      path: tenantFile(tenant),
      mode: '0600',
      ...own,
      content: renderRouting(cluster, entry, { client, ca }),
      // One tenant's mistake must not keep the others from being reloaded: the file is tried beside the global one first.
      validate: ['/usr/sbin/haproxy', '-c', '-q', '-f', globalFile, '-f', '{}'],
    },
    ...doorFiles,
    unitWith([holdScript, globalFile, tenantFile(tenant), client, ca, ...doorLoads(tenant)]),
  ];
}

/** `desiredRouting` on every entry. What has no member of the tenant gets the same as all others without, which is made once. */
export function routingByEntry(
  cluster: Cluster,
  secrets: TenantSecrets,
  door: DoorCertificates,
): (entry: Host) => Resource[] {
  const doorFiles = desiredTenantDoor(cluster, secrets, door, 'running');
  const made = (entry: Host) => desiredRouting(cluster, entry, secrets, door, doorFiles);
  let elsewhere: Resource[] | null = null;
  return (entry) =>
    cluster.members.some((m) => m.host.name === entry.name) ? made(entry) : (elsewhere ??= made(entry));
}

/** The certificate with its key that HAProxy shows to Patroni's REST. */
export function hostPair(
  tenant: string,
  { restChecks }: Pick<TenantSecrets, 'restChecks'>,
): { path: string; content: Secret } {
  const content = new Secret(`${restChecks.certPem.trimEnd()}\n${restChecks.keyPem.reveal()}`);
  return { path: `${tlsDir}/${tenant}-client.pem`, content };
}

/** A tenant of which nothing is to run: its ports are gone, and the front door says that it is stopped. */
export function stoppedRouting(
  cluster: Cluster,
  entry: Host,
  secrets: TenantSecrets,
  door: DoorCertificates,
): Resource[] {
  const { tenant } = cluster;
  return [
    ...desiredHaproxy(entry),
    ...desiredDoor(cluster, entry, door),
    ...desiredTenantDoor(cluster, secrets, door, 'stopped'),
    ...absent(servicePaths(tenant)),
    unitWith([holdScript, globalFile, ...doorLoads(tenant)]),
  ];
}

function unitWith(loads: string[]): Resource {
  return { kind: 'unit', name: haproxyUnit, state: 'running', enabled: true, loads, onChange: 'reload' };
}

/** What must be gone from an entry host when the tenant is destroyed, and the reload that makes HAProxy forget it. */
export function absentRouting(tenant: string): Resource[] {
  return absent([...servicePaths(tenant), ...absentTenantDoor(tenant)]);
}

function servicePaths(tenant: string): string[] {
  // HAProxy leaves the files of its sockets when it stops to listen on them.
  const sockets = [holdSocket(tenant, 'leader'), holdSocket(tenant, 'any')];
  return [tenantFile(tenant), `${tlsDir}/${tenant}-client.pem`, `${tlsDir}/${tenant}-ca.crt`, ...sockets];
}

function absent(paths: string[]): Resource[] {
  return paths.map((name) => ({ kind: 'absent', what: 'path', name, destructive: false }));
}

function holdSocket(tenant: string, role: 'leader' | 'any'): string {
  return `${runDir}/${tenant}.hold${role === 'any' ? '-ro' : ''}.sock`;
}

export function renderRouting(cluster: Cluster, entry: Host, tls: { client: string; ca: string }): string {
  const { tenant, ports, spec } = cluster;
  const { checks } = presets[spec.rto];
  const binds = serviceNames.map((name) => [name, bindAddress(cluster, servicePort(ports, name))] as const);
  const limitMs = holdLimitMs(spec.rto);
  return renderTemplate('haproxy/tenant.cfg.eta', {
    tenant,
    readLagBytesMax,
    binds: Object.fromEntries(binds),
    pooled: spec.pool !== 'off',
    pools: pooledServices.map((service) => ({ backend: poolersOf[service], port: poolerPort(ports, service) })),
    own: cluster.members.find((m) => m.host.name === entry.name)?.name ?? '',
    hold: {
      leader: holding(limitMs, 'pgs_hold_leader', [`${tenant}:leader`]),
      any: holding(limitMs, 'pgs_hold_any', [`${tenant}:replicas`, `${tenant}:leader`]),
    },
    holdSocket: { leader: `unix@${holdSocket(tenant, 'leader')}`, any: `unix@${holdSocket(tenant, 'any')}` },
    connecting: connecting(checks, limitMs),
    timing: checkTiming(checks),
    leaderTiming: checkTiming({ ...checks, fall: silentLeaderMs(spec.rto) / 100 }),
    // A pooler answers an SSLRequest in milliseconds; one that hangs is not waited for as long as a Patroni that asks etcd.
    poolerCheckMs: Math.min(4 * checks.interMs, 4000),
    // Who follows is a matter of reads: half as many questions do, and each costs Patroni a handshake.
    replicaTiming: checkTiming({ ...checks, interMs: checks.interMs * 2 }),
    checkTls: `check-ssl verify required ca-file ${tls.ca} crt ${tls.client}`,
    rest: ports.rest,
    postgres: ports.postgres,
    lookup: lookupAddress(cluster, entry),
    members: cluster.members.map((m) => ({ name: m.name, host: m.host.name, address: m.host.address })),
  });
}

/** HAProxy's own word for the limit must be later than the script's, or the connection would go on to nobody. */
function holding(limitMs: number, action: string, backends: string[]): string {
  return [
    `  tcp-request inspect-delay ${limitMs + 5000}ms`,
    `  tcp-request content lua.${action} ${limitMs} ${backends.join(' ')}`,
  ].join('\n');
}

/** A server that is about to be marked down is tried, briefly each time, until another one or the hold takes over. */
function connecting(checks: CheckTiming, limitMs: number): string {
  const triesMax = Math.ceil(limitMs / checks.connectMs);
  return [`  timeout connect ${checks.connectMs}ms`, `  retries ${triesMax}`].join('\n');
}

function checkTiming({ interMs, changingMs, rise, fall }: CheckTiming): string {
  return `inter ${interMs}ms fastinter ${changingMs}ms downinter ${changingMs}ms rise ${rise} fall ${fall}`;
}

/** Where the poolers of this host ask for verifiers; null where there is none, or one that asks in each database (PgBouncer before 1.19). */
function lookupAddress({ spec, members, ports }: Cluster, entry: Host): string | null {
  const asks =
    spec.pool !== 'off' && asksInOneDatabase(spec.postgres) && members.some((m) => m.host.name === entry.name);
  if (!asks) return null;
  return `${entry.address.includes(':') ? `[${entry.address}]` : entry.address}:${ports.lookup}`;
}

/** All addresses of the host; both families only in a fleet that has IPv6, since a kernel without it refuses the bind. */
function bindAddress(cluster: Cluster, port: number): string {
  return cluster.entries.some((entry) => entry.address.includes(':')) ? `:::${port} v4v6` : `*:${port}`;
}
