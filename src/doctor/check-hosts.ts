// Checks of hosts: clock, disks, packages, what the distribution runs, what drills left. Pure.

import { findLeader } from '../patroni/facts.js';
import type { Check, DoctorFacts, Found, Mend } from './finding.js';
import { lookedAt, onHost, onOperator } from './finding.js';
import type { DiskFact, HostLook } from './host-facts.js';

/** Leases, certificates and logs are compared across hosts: as `pgs host check` judges it. */
const clockLimitsMs = { warning: 200, critical: 2000 };
const diskLimits = {
  warning: { percent: 10, mib: 4 * 1024 },
  critical: { percent: 3, mib: 1024 },
};

export const hostChecks: Check[] = [
  {
    id: 'host-unreachable',
    looksFor: 'a host that cannot be asked: everything about it is unknown',
    mends: '`pgs host check <host>`, then the host itself',
    reference: 'docs/architecture.md, How a change happens',
    judge: ({ hosts }) =>
      Object.entries(hosts).flatMap(([host, look]) =>
        look.reachable
          ? []
          : [
              {
                ...about(host),
                severity: 'unknown' as const,
                what: `${host} could not be looked at`,
                evidence: look.why,
                mend: onOperator(`pgs host check ${host}`),
              },
            ],
      ),
  },
  {
    id: 'clock-offset',
    looksFor: 'clocks apart: more than 0.2 s is a warning, more than 2 s critical',
    mends: 'the time service of the host',
    reference: 'README.md, What is wrong',
    judge: (facts) => lookedAt(facts).flatMap(([host, look]) => judgeClock(host, look)),
  },
  {
    id: 'disk-fills',
    looksFor: 'a file system of a tenant’s data or of etcd with less than 10 % (critical: 3 %) and 4 GiB (1 GiB) free',
    mends: 'free space; the finding names who holds WAL',
    reference: 'README.md, What is wrong',
    judge: (facts) =>
      lookedAt(facts).flatMap(([host, look]) => look.disks.flatMap((disk) => judgeDisk(facts, host, disk))),
  },
  {
    id: 'distribution-unit-runs',
    looksFor: "a unit of the distribution's own PostgreSQL, Patroni, etcd, HAProxy or PgBouncer",
    mends: '`systemctl disable --now <unit>`, unless it is somebody’s',
    reference: 'autobase#1464',
    judge: (facts) =>
      lookedAt(facts).flatMap(([host, { strangers }]) =>
        strangers.map((unit) => ({
          ...about(host),
          severity: 'warning' as const,
          what: `${unit} of the distribution runs beside pgs's own units`,
          evidence: `unit ${unit} is active`,
          mend: onHost(host, `systemctl disable --now '${unit}'`),
        })),
      ),
  },
  {
    id: 'upgrades-unguarded',
    looksFor: 'unattended-upgrades or needrestart that would upgrade or restart what pgs runs',
    mends: '`pgs host prepare <host>`',
    reference: 'autobase#1441',
    judge: (facts) =>
      lookedAt(facts).flatMap(([host, { unguarded }]) =>
        unguarded.map((name) => ({
          ...about(host),
          severity: 'warning' as const,
          what: `${name} may upgrade or restart what pgs runs`,
          evidence: `${name} is installed, and pgs's file that keeps it off is not there`,
          mend: onOperator(`pgs host prepare ${host}`),
        })),
      ),
  },
  {
    id: 'package-not-held',
    looksFor: 'a package that apt would upgrade by itself',
    mends: '`pgs host prepare <host>`',
    reference: 'autobase#1441',
    judge: ({ programs }) =>
      Object.entries(programs).flatMap(([host, found]) => {
        const loose = Object.entries(found?.packages ?? {}).filter(([, p]) => p.installed !== null && !p.held);
        if (loose.length === 0) return [];
        return [
          {
            ...about(host),
            severity: 'warning' as const,
            what: `apt may upgrade ${loose.map(([name]) => name).join(', ')} by itself`,
            evidence: loose.map(([name, p]) => `${name} ${p.installed} is not held`).join(', '),
            mend: onOperator(`pgs host prepare ${host}`),
          },
        ];
      }),
  },
  {
    id: 'dpkg-interrupted',
    looksFor: 'a package that dpkg began with and did not end',
    mends: '`dpkg --configure -a` on the host',
    reference: 'README.md, What is wrong',
    judge: ({ programs }) =>
      Object.entries(programs).flatMap(([host, found]) => {
        const broken = Object.entries(found?.packages ?? {}).filter(([, p]) => p.broken);
        if (broken.length === 0) return [];
        return [
          {
            ...about(host),
            severity: 'warning' as const,
            what: `dpkg was interrupted with ${broken.map(([name]) => name).join(', ')}`,
            evidence: `dpkg's status of ${broken[0]![0]}`,
            mend: onHost(host, 'dpkg --configure -a'),
          },
        ];
      }),
  },
  {
    id: 'packages-differ',
    looksFor: 'hosts with different versions of the same package',
    mends: '`pgs update --fleet`',
    reference: 'README.md, Updates',
    judge: judgeVersions,
  },
  {
    id: 'unit-failed',
    looksFor: 'a unit of pgs that systemd gave up or that failed',
    mends: '`systemctl restart <unit>`, after its journal',
    reference: 'README.md, What is wrong',
    judge: (facts) =>
      lookedAt(facts).flatMap(([host, { units }]) =>
        Object.entries(units)
          .filter(([name, { active }]) => active === 'failed' && !ownFinding.test(name))
          .map(([name, { result }]) => ({
            ...about(host),
            severity: 'warning' as const,
            what: `${name} failed`,
            evidence: `unit ${name}: ${result}`,
            mend: onHost(host, `journalctl -u '${name}' -n 30 --no-pager; systemctl restart '${name}'`),
          })),
      ),
  },
  {
    id: 'fault-left',
    looksFor: 'a fault or an undo that a drill left, while nobody runs one',
    mends: '`pgs chaos heal <tenant>`',
    reference: 'docs/architecture.md, How a drill runs',
    judge: (facts) => (facts.drill === null ? lookedAt(facts).flatMap(([host]) => judgeFaults(facts, host)) : []),
  },
];

/** Units whose failure other checks tell, with what it means. */
const ownFinding = /^pgs-(patroni|pgbouncer|pgbouncer-replica)@|^pgs-(etcd|haproxy|fence)\.service$/;

function about(host: string): { host: string; tenant: null } {
  return { host, tenant: null };
}

function judgeClock(host: string, { clock, timeServices, inContainer }: HostLook): Found[] {
  const apartMs = Math.abs(clock.offsetMs) - clock.uncertaintyMs;
  const noService = timeServices.length === 0 && !inContainer;
  const mend: Mend = timeServices[0]
    ? onHost(host, `systemctl restart ${timeServices[0]}`)
    : inContainer
      ? onHost(host, 'date --iso-8601=ns')
      : onOperator(`pgs host prepare ${host}`);
  if (apartMs > clockLimitsMs.warning) {
    const way = clock.offsetMs < 0 ? 'behind' : 'ahead of';
    return [
      {
        ...about(host),
        severity: apartMs > clockLimitsMs.critical ? 'critical' : 'warning',
        what: `the clock of ${host} is ${Math.abs(clock.offsetMs)} ms ${way} this machine's`,
        evidence: `measured to within ${clock.uncertaintyMs} ms; time service: ${timeServices.join(', ') || 'none'}`,
        mend,
      },
    ];
  }
  if (!noService) return [];
  return [
    {
      ...about(host),
      severity: 'warning',
      what: 'nobody keeps the clock',
      evidence: 'no time service is active',
      mend,
    },
  ];
}

function judgeDisk({ hosts, tenants }: DoctorFacts, host: string, disk: DiskFact): Found[] {
  const percent = (100 * disk.freeMiB) / Math.max(1, disk.sizeMiB);
  const inodesPercent = disk.inodes > 0 ? (100 * disk.inodesFree) / disk.inodes : 100;
  const below = ({ percent: p, mib }: { percent: number; mib: number }) =>
    (percent < p && disk.freeMiB < mib) || inodesPercent < p;
  const severity = below(diskLimits.critical) ? 'critical' : below(diskLimits.warning) ? 'warning' : null;
  if (severity === null) return [];
  const look = hosts[host];
  const wal = look?.reachable
    ? Object.entries(look.tenants).map(([tenant, { walMiB }]) => `${tenant} ${walMiB} MiB`)
    : [];
  const few = inodesPercent < diskLimits.warning.percent ? `, ${inodesPercent.toFixed(0)} % of inodes` : '';
  const full = tenants.find(({ cluster }) => cluster.members.some((m) => m.host.name === host));
  return [
    {
      ...about(host),
      severity,
      what: `${disk.path} fills: ${disk.freeMiB} of ${disk.sizeMiB} MiB free${few}`,
      evidence: `statvfs ${disk.path}; pg_wal of ${wal.join(', ') || 'nobody'}${full ? '' : '; no member lives there'}`,
      mend: onHost(host, `du -xam ${disk.path} | sort -n | tail -n 20`),
    },
  ];
}

function judgeVersions({ programs, fleet }: DoctorFacts): Found[] {
  const names = [...new Set(Object.values(programs).flatMap((p) => Object.keys(p?.packages ?? {})))];
  return names.flatMap((name): Found[] => {
    const versions = fleet.hosts.flatMap(({ name: host }) => {
      const version = programs[host]?.packages[name]?.installed;
      return version ? [{ host, version }] : [];
    });
    if (new Set(versions.map(({ version }) => version)).size < 2) return [];
    return [
      {
        host: null,
        tenant: null,
        severity: 'warning',
        what: `hosts have different versions of ${name}`,
        evidence: versions.map(({ host, version }) => `${host} ${version}`).join(', '),
        mend: onOperator('pgs update --fleet'),
      },
    ];
  });
}

function judgeFaults(facts: DoctorFacts, host: string): Found[] {
  const look = facts.hosts[host];
  if (!look?.reachable) return [];
  const { undos, tables } = look.faults;
  const found = undos.map(({ id, tenant }) => ({ tenant, evidence: `/var/lib/pgs-chaos/${id}.tenant` }));
  const orphans = tables.map((table) => ({
    tenant: tenantOf(facts, host),
    evidence: `table inet ${table} of nftables`,
  }));
  const all = found.length > 0 ? found : orphans;
  return all.map(({ tenant, evidence }) => ({
    host,
    tenant,
    severity: 'critical',
    what: 'a drill left a fault or its undo, and nobody runs a drill',
    evidence,
    mend:
      found.length > 0
        ? onOperator(`pgs chaos heal ${tenant ?? ''}`.trim())
        : onHost(host, tables.map((table) => `nft delete table inet ${table}`).join('; ')),
  }));
}

/** Whose it is cannot be read from a table's name for sure; the tenant that suffers most likely is named. */
function tenantOf({ tenants }: DoctorFacts, host: string): string | null {
  const here = tenants.filter(({ cluster }) => cluster.members.some((m) => m.host.name === host));
  return (here.find(({ patroni }) => findLeader(patroni) === null) ?? here[0])?.cluster.tenant ?? null;
}
