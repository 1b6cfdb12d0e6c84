// What HAProxy should be on an entry host: one process for the host, and one file per tenant in its configuration directory.

import type { Resource } from '../src/host/resource.js';
import { readTemplate, renderTemplate } from '../src/host/template.js';
import { Secret } from '../src/secrets/secret.js';
import type { TenantSecrets } from '../src/secrets/tenant-secrets.js';
import { serviceNames, servicePort, type Cluster } from '../src/topology/cluster.js';
import { presets } from '../src/topology/presets.js';

export const haproxyUnit = 'pgs-haproxy.service';

const user = 'pgs-haproxy';
const own = { owner: user, group: user };
const configDir = '/etc/pgs/haproxy/conf.d';
const tlsDir = '/etc/pgs/haproxy/tls';
const globalFile = `${configDir}/00-pgs.cfg`;
/** Only root and HAProxy itself can enter it. */
export const runDir = '/run/pgs-haproxy';
export const adminSocket = `${runDir}/admin.sock`;
const masterSocket = `${runDir}/master.sock`;
const reload = '/usr/local/lib/pgs/haproxy-reload';

/** A replica further behind than this gets no reads from `replica` and `direct-ro`, bytes. */
export const readLagBytesMax = 16 * 1024 * 1024;

export function tenantFile(tenant: string): string {
  return `${configDir}/tenant-${tenant}.cfg`;
}

/** The host's HAProxy itself, without any tenant. */
export function desiredHaproxy(): Resource[] {
  return [
    { kind: 'user', name: user, home: '/var/lib/pgs-haproxy' },
    { kind: 'directory', path: '/var/lib/pgs-haproxy', mode: '0700', ...own },
    { kind: 'directory', path: '/etc/pgs/haproxy', mode: '0700', ...own },
    { kind: 'directory', path: configDir, mode: '0700', ...own },
    { kind: 'directory', path: tlsDir, mode: '0700', ...own },
    {
      kind: 'file',
      path: globalFile,
      mode: '0600',
      ...own,
      content: renderTemplate('haproxy/global.cfg.eta', { adminSocket, runDir }),
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
        runName: 'pgs-haproxy',
        masterSocket,
        reload,
      }),
    },
  ];
}

/** A tenant's part of an entry host: its services and the certificate that HAProxy shows to Patroni's REST. */
export function desiredRouting(cluster: Cluster, secrets: TenantSecrets): Resource[] {
  const { tenant } = cluster;
  const client = `${tlsDir}/${tenant}-client.pem`;
  const ca = `${tlsDir}/${tenant}-ca.crt`;
  const pair = new Secret(`${secrets.restChecks.certPem.trimEnd()}\n${secrets.restChecks.keyPem.reveal()}`);
  return [
    { kind: 'file', path: client, mode: '0600', content: pair, ...own },
    { kind: 'file', path: ca, mode: '0600', content: secrets.restCa.certPem, ...own },
    {
      kind: 'file',
      path: tenantFile(tenant),
      mode: '0600',
      ...own,
      content: renderRouting(cluster, { client, ca }),
      // One tenant's mistake must not keep the others from being reloaded: the file is tried beside the global one first.
      validate: ['/usr/sbin/haproxy', '-c', '-q', '-f', globalFile, '-f', '{}'],
    },
    {
      kind: 'unit',
      name: haproxyUnit,
      state: 'running',
      enabled: true,
      loads: [globalFile, tenantFile(tenant), client, ca],
      onChange: 'reload',
    },
  ];
}

/** What must be gone from an entry host when the tenant is destroyed, and the reload that makes HAProxy forget it. */
export function absentRouting(tenant: string): Resource[] {
  const gone = [tenantFile(tenant), `${tlsDir}/${tenant}-client.pem`, `${tlsDir}/${tenant}-ca.crt`];
  return gone.map((name) => ({ kind: 'absent', what: 'path', name, destructive: false }));
}

export function renderRouting(cluster: Cluster, tls: { client: string; ca: string }): string {
  const { checks } = presets[cluster.spec.rto];
  return renderTemplate('haproxy/tenant.cfg.eta', {
    tenant: cluster.tenant,
    readLagBytesMax,
    defaultServer:
      `  default-server inter ${checks.interMs}ms fastinter ${checks.changingMs}ms downinter ${checks.changingMs}ms` +
      ` rise ${checks.rise} fall ${checks.fall} on-marked-down shutdown-sessions` +
      ` check-ssl verify required ca-file ${tls.ca} crt ${tls.client}`,
    rest: cluster.ports.rest,
    postgres: cluster.ports.postgres,
    services: serviceNames.map((name) => ({
      name,
      bind: bindAddress(cluster, servicePort(cluster.ports, name)),
      readOnly: name === 'replica' || name === 'direct-ro',
    })),
    members: cluster.members.map((m) => ({ name: m.name, host: m.host.name, address: m.host.address })),
  });
}

/** All addresses of the host; both families only in a fleet that has IPv6, since a kernel without it refuses the bind. */
function bindAddress(cluster: Cluster, port: number): string {
  return cluster.entries.some((entry) => entry.address.includes(':')) ? `:::${port} v4v6` : `*:${port}`;
}
