// Facts of a cluster that is exactly what it should be, for tests that change one thing and look at the plan.

import { desiredDoor } from '../../../haproxy/desired-door.js';
import { desiredHaproxy, desiredRouting } from '../../../haproxy/desired.js';
import type { ReachableHost } from '../../../src/host/facts.js';
import { desiredLimits } from '../../../src/host/limits.js';
import type { Resource } from '../../../src/host/resource.js';
import { contentHash } from '../../../src/host/resource-rules.js';
import { desiredDcsSettings } from '../../../src/patroni/desired.js';
import type { ReachableMember } from '../../../src/patroni/facts.js';
import { desiredMember } from '../../../src/reconcile/member.js';
import { sha256 } from '../../../src/reconcile/plan-sql.js';
import type { ClusterFacts, PlanInput } from '../../../src/reconcile/plan-cluster.js';
import { wantedParameters } from '../../../src/reconcile/plan-restarts.js';
import { reveal } from '../../../src/secrets/secret.js';
import type { InForce } from '../../../src/topology/in-force.js';
import type { Cluster } from '../../../src/topology/cluster.js';
import { clusterOf, door, fakeSecrets, recordOf } from '../../fixtures/fleet.js';

export const dcs = { hosts: ['10.0.0.1:2379'], caPem: 'etcd ca\n', clientCertificate: true };

export function wantedInput(cluster: Cluster = clusterOf(recordOf())): PlanInput {
  return { cluster, phase: 'ready', secrets: fakeSecrets(cluster.tenant), dcs, door, facts: wantedFacts(cluster) };
}

function wantedFacts(cluster: Cluster): ClusterFacts {
  const secrets = fakeSecrets(cluster.tenant);
  const { app, probe } = secrets.passwords;
  const entries = cluster.entries.map((entry): [string, ReachableHost] => {
    const member = cluster.members.find((m) => m.host.name === entry.name);
    const patroni = member ? [...desiredMember(cluster, member, secrets, dcs), ...desiredLimits(cluster.spec)] : [];
    return [
      entry.name,
      hostWith(
        [
          ...desiredHaproxy(entry),
          ...desiredDoor(cluster, entry, door),
          ...desiredRouting(cluster, entry, secrets, door),
          ...patroni,
        ],
        cluster,
      ),
    ];
  });
  return {
    hosts: Object.fromEntries(entries),
    dcsAccess: 'right',
    dcsKeys: true,
    patroni: {
      members: Object.fromEntries(cluster.members.map((m, i) => [m.name, i === 0 ? leader() : replica()])),
    },
    settings: desiredDcsSettings(cluster),
    parameters: Object.fromEntries(cluster.members.map((m) => [m.name, inForce(cluster)])),
    sql: {
      parameters: inForce(cluster),
      roles: {
        [app.user]: sha256(reveal(secrets.appScram)),
        [probe.user]: sha256(reveal(secrets.probeScram)),
        pgs_pooler: '',
      },
      databases: { app: { owner: 'app', publicMayConnect: false } },
      proofOwner: probe.user,
      lookupOwner: 'pgs_lookup',
    },
  };
}

/** What a member runs with that has all that it should. */
function inForce(cluster: Cluster): InForce {
  const values = Object.entries(wantedParameters(cluster)).map(([name, value]) => [name, String(value)]);
  return { values: Object.fromEntries(values) as Record<string, string>, given: {}, pending: [], overridden: [] };
}

/** A host on which all of this is in place and loaded. */
function hostWith(resources: Resource[], { paths: { run } }: Cluster): ReachableHost {
  const host = emptyHost();
  host.paths[run] = { kind: 'directory', owner: 'pgs-acme', group: 'pgs-acme', mode: '0700', empty: false };
  const sockets = ['hold', 'hold-ro', 'door', 'door-first', 'door-inner', 'door-ended', 'door-refused'];
  for (const socket of sockets)
    host.paths[`/run/pgs-haproxy/acme.${socket}.sock`] = {
      kind: 'other',
      owner: 'pgs-haproxy',
      group: 'pgs-haproxy',
      mode: '0600',
    };
  const absent = ['/etc/pgs/fence.d/acme.json', '/run/pgs/fence/acme', '/etc/udev/rules.d/61-pgs-watchdog.rules'];
  const slice = '/etc/systemd/system/pgs-acme.slice.d';
  for (const path of [...absent, slice, `${slice}/50-pgs-limits.conf`]) host.paths[path] = { kind: 'absent' };
  const hashes: Record<string, string> = {};
  for (const r of resources) {
    if (r.kind === 'user') host.users[r.name] = { present: true, home: r.home };
    if (r.kind === 'directory') {
      host.paths[r.path] = { kind: 'directory', owner: r.owner, group: r.group, mode: r.mode, empty: false };
    }
    if (r.kind === 'file') {
      hashes[r.path] = contentHash(r.content);
      const content = typeof r.content === 'string' ? { content: r.content } : {};
      const { owner, group, mode } = r;
      host.paths[r.path] = { kind: 'file', owner, group, mode, sha256: hashes[r.path]!, ...content };
    }
  }
  for (const r of resources) {
    if (r.kind !== 'unit') continue;
    const loaded = [`/etc/systemd/system/${r.name}`, ...r.loads].map((path) => [path, hashes[path] ?? '']);
    host.units[r.name] = {
      load: 'loaded',
      active: 'active',
      enabled: true,
      needsDaemonReload: false,
      startedAtS: 1,
      loaded: Object.fromEntries(loaded) as Record<string, string>,
    };
  }
  return host;
}

export function emptyHost(): ReachableHost {
  return { reachable: true, users: {}, paths: {}, units: {}, listening: [], memoryMiB: 2048, cores: 2 };
}

export function leader(change: Partial<ReachableMember> = {}): ReachableMember {
  return {
    reachable: true,
    role: 'leader',
    state: 'running',
    streaming: false,
    timeline: 1,
    positionBytes: 5000,
    receivedBytes: null,
    synchronous: false,
    pendingRestart: false,
    paused: false,
    watchdogFailed: false,
    serverVersion: 170012,
    patroniVersion: '4.0.7',
    postmasterStartedAt: '2026-11-20 00:00:00+00:00',
    ...change,
  };
}

export function replica(change: Partial<ReachableMember> = {}): ReachableMember {
  return leader({ role: 'replica', streaming: true, synchronous: true, receivedBytes: 5000, ...change });
}
