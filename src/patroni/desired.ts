// What Patroni and its PostgreSQL should be on each member's host, and what the cluster-wide settings in the DCS should be.

import { createHash } from 'node:crypto';
import { stringify } from 'yaml';
import type { Resource } from '../host/resource.js';
import { renderTemplate } from '../host/template.js';
import { rememberedFor } from '../remembered.js';
import { loginsOf, poolerNames, restTrust, sqlTrust } from '../secrets/rotation.js';
import { Secret } from '../secrets/secret.js';
import type { TenantSecrets } from '../secrets/tenant-secrets.js';
import { poolerRole } from '../topology/accounts.js';
import { tenantSlice, type Cluster, type PlacedMember } from '../topology/cluster.js';
import { hbaLines } from '../topology/hba.js';
import { bootstrapTiming, presets, type PatroniTiming } from '../topology/presets.js';
import { openFilesOf } from '../topology/limits.js';
import { settingsOf } from '../topology/settings.js';
import type { PatroniWatchdog } from '../topology/watchdog.js';

/** How members reach the DCS. */
export interface DcsEndpoints {
  /** `address:port`, TLS. */
  hosts: string[];
  caPem: string;
  /** etcd asks for a client certificate too: so does the fleet's own; an external one must make do with the password. */
  clientCertificate: boolean;
}

export const dcsNamespace = '/pgs/dcs/';

/** Where Debian and PGDG put a PostgreSQL major. */
export function binDir(major: number): string {
  return `/usr/lib/postgresql/${major}/bin`;
}

export function patroniUnit(tenant: string): string {
  return `pgs-patroni@${tenant}.service`;
}

export function desiredPatroni(
  cluster: Cluster,
  member: PlacedMember,
  secrets: TenantSecrets,
  dcs: DcsEndpoints,
  watchdog: PatroniWatchdog,
): Resource[] {
  const { tenant, paths, osUser } = cluster;
  const own = { owner: osUser, group: osUser };
  const issued = secrets.certificates[member.host.name]!;
  const unit = patroniUnit(tenant);
  const files: [string, string | Secret][] = [
    ['rest.crt', issued.rest.certPem],
    ['rest.key', issued.rest.keyPem],
    ['rest-ca.crt', restTrust(secrets)],
    ['sql.crt', issued.sql.certPem],
    ['sql.key', issued.sql.keyPem],
    ['sql-ca.crt', sqlTrust(secrets)],
    ['etcd.crt', issued.etcd.certPem],
    ['etcd.key', issued.etcd.keyPem],
    ['etcd-ca.crt', dcs.caPem],
  ];
  const tls = files.map(([name, content]): Resource => ({
    kind: 'file',
    path: `${paths.tls}/${name}`,
    mode: '0600',
    content,
    ...own,
  }));
  return [
    { kind: 'user', name: osUser, home: paths.home },
    { kind: 'directory', path: paths.home, mode: '0700', ...own },
    { kind: 'directory', path: paths.config, mode: '0700', ...own },
    { kind: 'directory', path: paths.tls, mode: '0700', ...own },
    ...tls,
    {
      kind: 'file',
      path: paths.patroniConfig,
      mode: '0600',
      content: new Secret(renderPatroniConfig(cluster, member, secrets, dcs, watchdog)),
      ...own,
    },
    {
      kind: 'file',
      path: `/etc/systemd/system/${unit}`,
      owner: 'root',
      group: 'root',
      mode: '0644',
      content: renderTemplate('patroni/pgs-patroni.service.eta', {
        tenant,
        unit,
        slice: tenantSlice(tenant),
        user: osUser,
        home: paths.home,
        config: paths.config,
        patroniConfig: paths.patroniConfig,
        tls: paths.tls,
        run: paths.run,
        runName: `pgs/${tenant}`,
        openFiles: openFilesOf(cluster.spec.limits),
        watchdog,
      }),
    },
    {
      kind: 'unit',
      name: unit,
      state: 'running',
      enabled: true,
      loads: [paths.patroniConfig, ...files.map(([name]) => `${paths.tls}/${name}`)],
      onChange: 'reload',
    },
  ];
}

/** What must be gone from a host when the tenant leaves it. Data and the OS user that owns it stay unless purged. */
export function absentPatroni(cluster: Cluster, purgeData: boolean): Resource[] {
  const { tenant, paths, osUser } = cluster;
  const unit = patroniUnit(tenant);
  const gone: Resource[] = [
    { kind: 'absent', what: 'unit', name: unit, destructive: false },
    { kind: 'absent', what: 'path', name: `/etc/systemd/system/${unit}`, destructive: false },
    { kind: 'absent', what: 'path', name: paths.config, destructive: false },
    { kind: 'absent', what: 'path', name: paths.run, destructive: false },
  ];
  // The uid of a kept data directory must never be given to another tenant: the user stays with the data.
  if (!purgeData) return gone;
  return [
    ...gone,
    { kind: 'absent', what: 'path', name: paths.home, destructive: true },
    { kind: 'absent', what: 'user', name: osUser, destructive: true },
  ];
}

/** Patroni's own file for one member. YAML 1.1, which Patroni reads: a bare `off` would become False. */
export function renderPatroniConfig(
  cluster: Cluster,
  member: PlacedMember,
  secrets: TenantSecrets,
  dcs: DcsEndpoints,
  watchdog: PatroniWatchdog,
): string {
  const { tenant, paths, ports, spec } = cluster;
  const address = bracketed(member.host.address);
  const tls = (name: string) => `${paths.tls}/${name}`;
  const { passwords } = secrets;
  const login = (account: { user: string; password: Secret }) => ({
    username: account.user,
    password: account.password.reveal(),
  });
  const overTls = { sslmode: 'verify-full', sslrootcert: tls('sql-ca.crt') };
  const etcd3 = {
    hosts: dcs.hosts,
    protocol: 'https',
    cacert: tls('etcd-ca.crt'),
    ...(dcs.clientCertificate ? { cert: tls('etcd.crt'), key: tls('etcd.key') } : {}),
    ...login(passwords.etcd),
  };
  const restapi = {
    listen: `${address}:${ports.rest}`,
    connect_address: `${address}:${ports.rest}`,
    certfile: tls('rest.crt'),
    keyfile: tls('rest.key'),
    keyfile_password: restGeneration(member, secrets),
    cafile: tls('rest-ca.crt'),
    verify_client: 'required',
    authentication: login(passwords.rest),
  };
  const ctl = { certfile: tls('rest.crt'), keyfile: tls('rest.key'), cacert: tls('rest-ca.crt') };
  const reached = { listen: `${address}:${ports.postgres}`, connect_address: `${address}:${ports.postgres}` };
  const ofAllMembers = {
    use_unix_socket: true,
    use_unix_socket_repl: true,
    data_dir: paths.data,
    bin_dir: binDir(spec.postgres),
    pgpass: `${paths.run}/pgpass`,
    authentication: {
      superuser: { username: 'postgres' },
      replication: { ...login(passwords.replication), ...overTls },
      rewind: { ...login(passwords.rewind), ...overTls },
    },
    parameters: {
      unix_socket_directories: paths.run,
      unix_socket_permissions: '0700',
      ssl: 'on',
      ssl_cert_file: tls('sql.crt'),
      ssl_key_file: tls('sql.key'),
      ssl_ca_file: tls('sql-ca.crt'),
      ssl_min_protocol_version: 'TLSv1.2',
    },
    pg_hba: accessRules(cluster, secrets),
    pg_ident: [`pgs ${cluster.osUser} postgres`, ...poolerMap(secrets)],
    create_replica_methods: ['basebackup'],
    basebackup: [{ checkpoint: 'fast' }],
    remove_data_directory_on_rewind_failure: true,
  };
  // By far the slowest part of a plan, so what all members have in common is rendered once.
  const once = onceIn(textsOf(secrets));
  return [
    yaml({ scope: tenant, namespace: dcsNamespace, name: member.name, log: { level: 'INFO' } }),
    once({ etcd3 }),
    yaml({ restapi }),
    once({ ctl }),
    renderBootstrap(cluster),
    yaml({ postgresql: reached }),
    indented(once(ofAllMembers)),
    yaml({ watchdog: watchdog.config, tags: {} }),
  ].join('');
}

function yaml(value: object): string {
  return stringify(value, { lineWidth: 0, compat: 'yaml-1.1' });
}

/** What was rendered with secrets goes with them. */
const textsOf = rememberedFor<TenantSecrets, Map<string, string>>(() => new Map());

/** `yaml`, once for values that are equal. */
function onceIn(texts: Map<string, string>): (value: object) => string {
  return (value) => {
    const key = JSON.stringify(value);
    const text = texts.get(key) ?? yaml(value);
    texts.set(key, text);
    return text;
  };
}

/** A block as the value of a key. */
function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}

/** The largest part, which is the same for all members of a cluster. */
const renderBootstrap = rememberedFor((cluster: Cluster) => yaml({ bootstrap: bootstrapOf(cluster) }));

function bootstrapOf(cluster: Cluster): object {
  return {
    dcs: desiredDcsSettings(cluster, bootstrapTiming(cluster.spec.rto)),
    initdb: [
      'data-checksums',
      { encoding: 'UTF8' },
      { locale: 'C.UTF-8' },
      { 'auth-local': 'peer' },
      { 'auth-host': 'scram-sha-256' },
    ],
  };
}

/**
 * pg_hba: the superuser only through the local socket as the tenant's own OS user; replication and rewind only from member
 * hosts; then what the tenant's file says; everybody else by TLS and SCRAM. Clients come through HAProxy, so their address is that of an entry host.
 */
function accessRules(cluster: Cluster, secrets: TenantSecrets): string[] {
  const { probe } = secrets.passwords;
  const users = (kind: 'replication' | 'rewind') => loginsOf(secrets, kind).map(({ user }) => user);
  const [replication, rewind] = [users('replication').join(), users('rewind').join()];
  // One that leaves follows, and its pooler asks, until it is gone; one whose host is lost does not come back.
  const letIn = [...cluster.members, ...cluster.leaving.filter((m) => m.login === undefined)];
  const fromMembers = (database: string, user: string, method = 'scram-sha-256') =>
    letIn.map(
      (m) => `hostssl ${database} ${user} ${m.host.address}/${m.host.address.includes(':') ? 128 : 32} ${method}`,
    );
  return [
    'local all postgres peer map=pgs',
    // Patroni asks a replica for its timeline through a local replication session.
    `local replication ${replication} scram-sha-256`,
    ...fromMembers('replication', replication),
    ...fromMembers('postgres', rewind),
    // The poolers ask for verifiers with a certificate, so that no password of theirs lies anywhere.
    ...fromMembers('all', poolerRole, poolerMap(secrets).length > 0 ? 'cert map=pooler' : 'cert'),
    `host all postgres,${replication},${rewind},${poolerRole} all reject`,
    'host replication all all reject',
    `hostssl postgres ${probe.user} all scram-sha-256`,
    `host all ${probe.user} all reject`,
    ...hbaLines({ ...cluster, members: letIn }),
    'hostssl all all all scram-sha-256',
  ];
}

/**
 * Patroni reads its REST's files again when their settings change; when only the certificate's serial number does, it sees that in a reload
 * that changes nothing else (`reload_config`: `local or sighup and …`), and another CA alone it never sees. The key has no password, so what
 * stands there is not used, and tells which files are meant.
 */
function restGeneration(member: PlacedMember, secrets: TenantSecrets): string {
  const { certPem } = secrets.certificates[member.host.name]!.rest;
  return createHash('sha256').update(certPem).update(restTrust(secrets)).digest('hex').slice(0, 16);
}

/** Lines of pg_ident that say whose certificates log in as the poolers' role; none while it is the one with the role's own name. */
function poolerMap(secrets: TenantSecrets): string[] {
  const names = poolerNames(secrets);
  return names.length === 1 && names[0] === poolerRole ? [] : names.map((name) => `pooler ${name} ${poolerRole}`);
}

/**
 * The cluster-wide settings that Patroni keeps in the DCS (its `/config`), whole: what is not here is not set.
 * `timing` is the preset's, or `bootstrapTiming` while the cluster is made.
 */
export function desiredDcsSettings(
  cluster: Cluster,
  timing: PatroniTiming = presets[cluster.spec.rto].patroni,
): Record<string, unknown> {
  const { spec, allocation } = cluster;
  const synchronous = spec.rpoBytes === 0;
  return {
    ttl: timing.ttlS,
    loop_wait: timing.loopWaitS,
    retry_timeout: timing.retryTimeoutS,
    maximum_lag_on_failover: synchronous ? 1_048_576 : spec.rpoBytes,
    synchronous_mode: synchronous ? (allocation.quorumCommit ? 'quorum' : true) : false,
    synchronous_mode_strict: spec.durability === 'strict',
    synchronous_node_count: 1,
    failsafe_mode: true,
    // At RPO 0 the standby that takes over has everything: waiting for a crashed leader only lengthens the outage.
    primary_start_timeout: synchronous ? 0 : timing.ttlS,
    primary_stop_timeout: timing.ttlS,
    postgresql: {
      use_pg_rewind: true,
      use_slots: true,
      parameters: settingsOf(spec, allocation),
    },
  };
}

export function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
