// Facts of a fleet in which nothing is wrong, as `pgs doctor` gathers them; tests plant one thing and look for its finding.

import type { DoctorFacts, TenantFacts } from '../../../src/doctor/finding.js';
import type { HostLook, MemberLook, UnitLook } from '../../../src/doctor/host-facts.js';
import type { AnsweringMember } from '../../../src/etcd/facts.js';
import type { ProgramFacts } from '../../../src/host/programs.js';
import type { PatroniFacts } from '../../../src/patroni/facts.js';
import { planCluster } from '../../../src/reconcile/plan-cluster.js';
import { judgeCluster } from '../../../src/reconcile/status.js';
import type { Cluster } from '../../../src/topology/cluster.js';
import { clusterOf, inventory } from '../../fixtures/fleet.js';
import { wantedInput } from '../../fixtures/cluster-facts.js';

export const systemId = '7443000000000000001';
const now = new Date('2026-11-21T12:00:00Z');

export function runningUnit(change: Partial<UnitLook> = {}): UnitLook {
  const up = {
    load: 'loaded',
    active: 'active',
    sub: 'running',
    result: 'success',
    enabled: true,
    restarts: 0,
    pid: 100,
  };
  return { ...up, ...change };
}

export function healthyMember(leads: boolean, change: Partial<MemberLook> = {}): MemberLook {
  return {
    present: true,
    postmasters: [{ pid: 200, state: 'S', data: '/var/lib/pgs/acme/data' }],
    patroni: [{ pid: 100, state: 'S' }],
    stopped: [],
    sqlError: '',
    systemId,
    walMiB: 80,
    poolerPaused: false,
    log: [],
    sql: {
      inRecovery: !leads,
      slots: leads
        ? [
            {
              name: 'acme_2',
              type: 'physical',
              active: true,
              walStatus: 'reserved',
              restartLsn: '0/3000148',
              heldBytes: 300,
            },
          ]
        : [],
      archiver: {
        mode: 'off',
        failedCount: 0,
        lastFailedWal: null,
        lastFailedAt: null,
        lastArchivedAt: null,
        failing: false,
      },
      databases: [{ name: 'app', xidAge: 900, multixactAge: 0 }],
      transactions: [],
      prepared: [],
      checksumFailures: 0,
      connections: 12,
      connectionsMax: 100,
    },
    ...change,
  };
}

export function healthyHost(name: string): { reachable: true } & HostLook {
  const tenantUnits = ['pgs-patroni@acme.service', 'pgs-pgbouncer@acme.service', 'pgs-pgbouncer-replica@acme.service'];
  const units = ['pgs-etcd.service', 'pgs-haproxy.service', 'pgs-fence.service', ...(name === 'h4' ? [] : tenantUnits)];
  return {
    reachable: true,
    inContainer: false,
    bootedAtMs: now.getTime() - 3_600_000,
    clock: { offsetMs: 12, uncertaintyMs: 15 },
    timeServices: ['chrony.service'],
    disks: [{ path: '/var/lib/pgs', sizeMiB: 100_000, freeMiB: 60_000, inodes: 1_000_000, inodesFree: 900_000 }],
    units: Object.fromEntries(units.map((unit) => [unit, runningUnit()])),
    strangers: [],
    unguarded: [],
    faults: { undos: [], tables: [], resumeTimers: [] },
    tenants: name === 'h4' ? {} : { acme: healthyMember(name === 'h1') },
  };
}

function healthyPrograms(): ProgramFacts {
  const held = (installed: string) => ({ installed, held: true, broken: false, candidate: null });
  return {
    packages: {
      patroni: held('4.0.7-1'),
      'etcd-server': held('3.5.16-4+b2'),
      'postgresql-17': held('17.11-0+deb13u1'),
      'postgresql-15': { installed: null, held: false, broken: false, candidate: null },
    },
    programs: [{ unit: 'pgs-patroni@acme.service', component: 'postgres', tenant: 'acme', replaced: false }],
  };
}

function healthyEtcd(name: string): AnsweringMember {
  return {
    answers: true,
    name,
    endpoint: `https://10.0.0.${name.slice(1)}:2379`,
    version: '3.5.16',
    memberId: name,
    leaderId: 'h2',
    raftTerm: 3,
    raftIndex: 900,
    dbSizeBytes: 1e6,
    dbInUseBytes: 5e5,
    alarms: [],
    errors: [],
    latencyMs: 2,
  };
}

/** A tenant's facts with its status and plan judged from what its members say. */
export function tenantWith(
  members: Partial<PatroniFacts['members']> = {},
  change: Partial<TenantFacts> = {},
  cluster: Cluster = clusterOf(),
): TenantFacts {
  const input = wantedInput(cluster);
  const patroni = { members: { ...input.facts.patroni.members, ...members } as PatroniFacts['members'] };
  const plan = planCluster({ ...input, facts: { ...input.facts, patroni } });
  const settings = input.facts.settings;
  const status = judgeCluster({ cluster, phase: 'ready', patroni, routes: {}, plan, warnings: [], settings });
  const initialize = systemId;
  return {
    cluster,
    phase: 'ready',
    job: null,
    status,
    plan,
    patroni,
    settings,
    initialize,
    certificates: [],
    changing: null,
    ...change,
  };
}

export function healthyFleet(): DoctorFacts {
  const names = inventory.hosts.map(({ name }) => name);
  return {
    fleet: inventory,
    now,
    hosts: Object.fromEntries(names.map((name) => [name, healthyHost(name)])),
    programs: Object.fromEntries(names.map((name) => [name, healthyPrograms()])),
    etcd: {
      members: ['h1', 'h2', 'h3'].map(healthyEtcd),
      memberNames: ['h1', 'h2', 'h3'],
      authentication: 'on',
      certificates: { h1: new Date('2028-01-01'), h2: new Date('2028-01-01'), h3: null },
      foreignKeys: [],
    },
    tenants: [tenantWith()],
    unopened: [],
    drill: null,
  };
}
