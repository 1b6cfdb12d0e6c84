// What the fleet's etcd should be on each of its hosts. Pure.

import { stringify } from 'yaml';
import { PgsError } from '../errors.js';
import type { Resource, UnitResource } from '../host/resource.js';
import { renderTemplate } from '../host/template.js';
import type { FleetEtcd, Host, Inventory } from '../inventory/inventory.js';
import { admittedClients, etcdPeerTrust } from '../secrets/fleet-rollover.js';
import type { FleetSecrets } from '../secrets/fleet-secrets.js';
import { Secret } from '../secrets/secret.js';
import { endpointUrl, etcdRootUser } from './access.js';

export const etcdUnit = 'pgs-etcd.service';
const defragService = 'pgs-etcd-defrag.service';
const defragTimer = 'pgs-etcd-defrag.timer';

const user = 'pgs-etcd';
const home = '/var/lib/pgs-etcd';
/** There once it has started as a member. */
export const etcdMemberData = `${home}/data/member`;
const config = '/etc/pgs/etcd';
export const etcdTls = `${config}/tls`;
const tls = etcdTls;
export const etcdConfigFile = `${config}/etcd.conf.yml`;
/** Beside etcd's own directory: root writes and reads it, and must not follow what pgs-etcd could put there. */
export const etcdLogin = '/etc/pgs/etcd-defrag.env';

/**
 * What a running etcd has loaded once and for all. It reads its own certificates again for every connection, so renewed
 * ones need no restart.
 */
const loads = [etcdConfigFile, `${tls}/client-ca.crt`, `${tls}/peer-ca.crt`];

/**
 * etcd's defaults, made for members 10 ms apart with a disk that syncs within 100 ms. A lost leader is noticed in 1-2 s;
 * higher values would add to every PostgreSQL failover whose host led etcd too, lower ones make a slow disk cost a leader.
 */
export const etcdTiming = { heartbeatMs: 100, electionMs: 1000 };

/** etcd stops taking writes at this size. A tenant's Patroni needs less than 1 MiB with hourly compaction. */
const quotaBytes = 2 * 1024 ** 3;

const ownedByEtcd = { owner: user, group: user };
const ownedByRoot = { owner: 'root', group: 'root' };

/**
 * The resources of one host; none for a host that is no etcd member.
 * @param start `joining`: the first start of a member that was added to a cluster that runs
 */
export function desiredEtcd(
  inventory: Inventory,
  secrets: FleetSecrets,
  host: Host,
  start: 'founding' | 'joining' = 'founding',
): Resource[] {
  const { etcd } = inventory;
  if (etcd.kind === 'external' || !etcd.members.includes(host.name)) return [];
  return [
    { kind: 'user', name: user, home },
    { kind: 'directory', path: home, mode: '0700', ...ownedByEtcd },
    { kind: 'directory', path: config, mode: '0700', ...ownedByEtcd },
    { kind: 'directory', path: tls, mode: '0700', ...ownedByEtcd },
    ...tlsFiles(secrets, host),
    recoveryTokenKey(secrets),
    file(etcdConfigFile, '0600', renderEtcdConfig(inventory, etcd, secrets, host, start), ownedByEtcd),
    ...defragmentation(etcd, secrets, host),
    file(`/etc/systemd/system/${etcdUnit}`, '0644', renderEtcdUnit()),
    etcdUnitResource,
    { ...unit(defragTimer), onChange: 'restart' },
  ];
}

/** What must be gone from a host that is a member no more; its data is the others' too, and opens no other membership. */
export function absentEtcd(): Resource[] {
  const gone = (what: 'unit' | 'path', name: string): Resource => ({ kind: 'absent', what, name, destructive: false });
  const units = [etcdUnit, defragService, defragTimer];
  return [
    ...[etcdUnit, defragTimer].map((name) => gone('unit', name)),
    ...units.map((name) => gone('path', `/etc/systemd/system/${name}`)),
    ...[etcdLogin, config, `${home}/data`].map((path) => gone('path', path)),
  ];
}

const etcdUnitResource: UnitResource = {
  kind: 'unit',
  name: etcdUnit,
  state: 'running',
  enabled: true,
  loads,
  onChange: 'restart',
};

function unit(name: string): UnitResource {
  return { kind: 'unit', name, state: 'running', enabled: true, loads: [], onChange: 'restart' };
}

function file(path: string, mode: string, content: string | Secret, owned = ownedByRoot): Resource {
  return { kind: 'file', path, mode, content, ...owned };
}

/** Two CAs: no client certificate opens the peer port, and no peer's opens the client port. */
function tlsFiles(secrets: FleetSecrets, host: Host): Resource[] {
  const issued = secrets.hosts[host.name];
  if (!issued) {
    throw new PgsError('bug', { doing: 'describing etcd', host: host.name, found: 'it has no certificates' });
  }
  const files: [string, string | Secret][] = [
    ['client-ca.crt', admittedClients(secrets)],
    ['server.crt', issued.etcdServer.certPem],
    ['server.key', issued.etcdServer.keyPem],
    ['peer-ca.crt', etcdPeerTrust(secrets)],
    ['peer.crt', issued.etcdPeer.certPem],
    ['peer.key', issued.etcdPeer.keyPem],
  ];
  return files.map(([name, content]) => file(`${tls}/${name}`, '0600', content, ownedByEtcd));
}

/** etcd's configuration file. Its names are those of the flags; see `etcd --help`. */
export function renderEtcdConfig(
  inventory: Inventory,
  etcd: FleetEtcd,
  secrets: FleetSecrets,
  host: Host,
  start: 'founding' | 'joining' = 'founding',
): string {
  const client = endpointUrl(host.address, etcd.clientPort);
  const peer = endpointUrl(host.address, etcd.peerPort);
  const transport = (leaf: string, ca: string) => ({
    'cert-file': `${tls}/${leaf}.crt`,
    'key-file': `${tls}/${leaf}.key`,
    'client-cert-auth': true,
    'trusted-ca-file': `${tls}/${ca}.crt`,
  });
  const settings = {
    name: host.name,
    'data-dir': `${home}/data`,
    'listen-client-urls': `${client},${endpointUrl('127.0.0.1', etcd.clientPort)}`,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    // Only a member with an empty data directory reads the next three; of another fleet's members the token keeps it apart.
    'initial-cluster': initialCluster(inventory, etcd),
    'initial-cluster-token': secrets.etcdToken ?? secrets.fleetId,
    'initial-cluster-state': start === 'founding' ? 'new' : 'existing',
    'client-transport-security': transport('server', 'client-ca'),
    'peer-transport-security': transport('peer', 'peer-ca'),
    // Patroni speaks to etcd through the gateway.
    'enable-grpc-gateway': true,
    'auth-token': authToken(secrets),
    // The lowest: stretching helps passwords that can be guessed, and these are 190 random bits. At the default of 10 a
    // restarted member keeps a core busy while every tenant's Patroni logs in again.
    'bcrypt-cost': 4,
    'heartbeat-interval': etcdTiming.heartbeatMs,
    'election-timeout': etcdTiming.electionMs,
    'pre-vote': true,
    'strict-reconfig-check': true,
    // Only the newest state is ever read; an hour of history serves watches that reconnect.
    'auto-compaction-mode': 'periodic',
    'auto-compaction-retention': '1h',
    'quota-backend-bytes': quotaBytes,
    // etcd 3.6's default; the tenfold of it in 3.5 is kept in memory.
    'snapshot-count': 10_000,
    // Compares data with the other members at the start and at each compaction; on a difference it refuses to serve.
    'experimental-initial-corrupt-check': true,
    'experimental-compact-hash-check-enabled': true,
    logger: 'zap',
    'log-level': 'info',
    'log-outputs': ['stderr'],
  };
  return `# Written by pgs.\n${stringify(settings, { compat: 'yaml-1.1', lineWidth: 0 })}`;
}

function initialCluster(inventory: Inventory, etcd: FleetEtcd): string {
  const members = inventory.hosts.filter((h) => etcd.members.includes(h.name));
  return members.map((h) => `${h.name}=${endpointUrl(h.address, etcd.peerPort)}`).join(',');
}

const tokenKeyPath = `${tls}/recovery-token.key`;

/**
 * A simple token outlives changes of other users; a JWT names the auth revision and dies with the next change. But a simple one names an
 * index of raft, too, and an etcd that has not come so far waits for it before it says anything: one that begins anew would let every
 * Patroni that has a token from before wait for days. Signed tokens are looked at at once, and refused: whoever has another one logs in again.
 */
function authToken({ recovery }: FleetSecrets): string {
  return recovery ? `jwt,priv-key=${tokenKeyPath},sign-method=HS256,ttl=1h` : 'simple';
}

function recoveryTokenKey({ recovery }: FleetSecrets): Resource {
  if (recovery) return file(tokenKeyPath, '0600', recovery.tokenKey, ownedByEtcd);
  return { kind: 'absent', what: 'path', name: tokenKeyPath, destructive: false };
}

function renderEtcdUnit(): string {
  return renderTemplate('etcd/pgs-etcd.service.eta', { unit: etcdUnit, user, home, config: etcdConfigFile, loads });
}

function defragmentation(etcd: FleetEtcd, secrets: FleetSecrets, host: Host): Resource[] {
  const endpoint = endpointUrl('127.0.0.1', etcd.clientPort);
  const service = renderTemplate('etcd/pgs-etcd-defrag.service.eta', {
    unit: etcdUnit,
    user,
    home,
    tls,
    login: etcdLogin,
    endpoint,
  });
  const timer = renderTemplate('etcd/pgs-etcd-defrag.timer.eta', {
    calendar: defragCalendar(etcd.members.indexOf(host.name)),
  });
  // Generated passwords are letters and digits, so the value needs no quoting.
  const login = new Secret(`ETCDCTL_USER=${etcdRootUser}:${secrets.etcdRootPassword.reveal()}\n`);
  return [
    file(etcdLogin, '0600', login),
    file(`/etc/systemd/system/${defragService}`, '0644', service),
    file(`/etc/systemd/system/${defragTimer}`, '0644', timer),
  ];
}

/** Sunday night, twenty minutes apart: longer than a defragmentation may take. */
export function defragCalendar(memberIndex: number): string {
  const minutes = memberIndex * 20;
  const hour = 3 + Math.floor(minutes / 60);
  return `Sun *-*-* ${String(hour).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}:00`;
}
