// The RTO model on a real cluster: reads what Patroni, etcd and HAProxy have in force, and what roles and databases override.

import { setTimeout as sleep } from 'node:timers/promises';
import { tenantFile } from '../../haproxy/places.js';
import { PgsError } from '../errors.js';
import { etcdConfigFile } from '../etcd/desired.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { findLeader } from '../patroni/facts.js';
import { runSuperuserSql } from '../postgres/client.js';
import { commitLevelsOfRpo0, lintOverrides, lintPatroni, type Finding } from '../topology/lint.js';
import { liveTiming, type LiveTiming } from '../topology/live-timing.js';
import { predictLoss, predictOutages, type LossPrediction, type Prediction } from '../topology/rto.js';
import type { TenantSpec } from '../topology/tenant.js';
import type { OpenCluster } from './cluster.js';
import type { Session } from './session.js';

/** The shape of `pgs cluster rto -o json`; fields are added, never renamed or removed. */
export interface RtoReport {
  tenant: string;
  rto: string;
  timing: LiveTiming;
  predictions: Prediction[];
  loss: LossPrediction;
  /** Host that leads PostgreSQL and etcd at this moment: the slow case would be the case. Null when they are apart. */
  leadsBoth: string | null;
  findings: Finding[];
}

/** Time between the two looks at the leader's WAL position, milliseconds. */
const walSampleMs = 1000;

export async function reportRto(session: Session, open: OpenCluster): Promise<RtoReport> {
  const { cluster } = open;
  const dcs = await session.dcs();
  const [keys, etcd, haproxy, walBytesPerS, overrides, leadsBoth] = await Promise.all([
    readTenantKeys(dcs, cluster.tenant),
    readFirst(session, etcdHosts(session), etcdConfigFile),
    readFirst(
      session,
      cluster.entries.map((e) => e.name),
      tenantFile(cluster.tenant),
    ),
    cluster.spec.rpoBytes > 0 ? measureWal(open) : null,
    weakCommits(session, open),
    hostThatLeadsBoth(session, open),
  ]);
  const timing = liveTiming({ rto: cluster.spec.rto, patroni: keys.settings, etcd, haproxy });
  // What members run with, not what they should: somebody may have changed it in the DCS.
  const settings = parametersOf(keys.settings) ?? cluster.spec.settings;
  return {
    tenant: cluster.tenant,
    rto: cluster.spec.rto,
    timing,
    predictions: predictOutages(timing),
    loss: predictLoss(timing, walBytesPerS),
    leadsBoth,
    findings: [...lintPatroni(keys.settings ?? {}), ...lintOverrides({ ...cluster.spec, settings }), ...overrides],
  };
}

function parametersOf(settings: Record<string, unknown> | null): TenantSpec['settings'] | null {
  const postgresql = settings?.postgresql as { parameters?: TenantSpec['settings'] } | undefined;
  return postgresql?.parameters ?? null;
}

function etcdHosts({ inventory }: Session): string[] {
  return inventory.etcd.kind === 'fleet' ? inventory.etcd.members : [];
}

/** The file as the first host has it that answers; null when none does. */
async function readFirst(session: Session, hosts: string[], path: string): Promise<string | null> {
  const reads = hosts.map(async (host) => {
    const { code, stdout } = await session.hosts.get(host).run({ argv: ['cat', path], timeoutMs: 5000 });
    if (code !== 0) throw new Error(`no ${path} on ${host}`);
    return stdout;
  });
  return Promise.any(reads).catch(() => null);
}

/** Bytes of WAL a second that the leader writes right now; null when it does not answer twice. */
async function measureWal({ patroni }: OpenCluster): Promise<number | null> {
  const position = async () => findLeader(await patroni.gather())?.fact.positionBytes ?? null;
  const startedMs = performance.now();
  const before = await position();
  await sleep(walSampleMs);
  const after = await position();
  if (before === null || after === null) return null;
  return Math.max(0, Math.round(((after - before) * 1000) / (performance.now() - startedMs)));
}

/** Roles and databases whose own synchronous_commit is weaker than RPO 0 needs; nobody's when no leader answers. */
async function weakCommits(session: Session, { cluster, patroni }: OpenCluster): Promise<Finding[]> {
  if (cluster.spec.rpoBytes > 0) return [];
  const leader = findLeader(await patroni.gather());
  const host = cluster.members.find((m) => m.name === leader?.name)?.host.name;
  if (!host) return [];
  const rows = await runSuperuserSql(
    session.hosts.get(host),
    cluster,
    'looking for overrides',
    overridesQuery,
    5000,
  ).catch((thrown: unknown) => {
    if (thrown instanceof PgsError) return '';
    throw thrown;
  });
  return rows
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => JSON.parse(row) as { role: string | null; database: string | null; level: string })
    .filter(({ level }) => !commitLevelsOfRpo0.includes(level.toLowerCase()))
    .map(({ role, database, level }) => ({
      verdict: 'broken',
      setting: 'synchronous_commit',
      why: `${[...(role ? [`role ${role}`] : []), ...(database ? [`database ${database}`] : [])].join(' in ')} has ${level}: its commits are acknowledged before a standby has them, so RPO 0 does not hold for them`,
    }));
}

/** SQL: who overrides synchronous_commit, a JSON object each line. */
export const overridesQuery = `SELECT json_build_object('role', r.rolname, 'database', d.datname, 'level', split_part(s, '=', 2))
  FROM pg_db_role_setting c CROSS JOIN unnest(c.setconfig) s
  LEFT JOIN pg_roles r ON r.oid = c.setrole LEFT JOIN pg_database d ON d.oid = c.setdatabase
  WHERE s LIKE 'synchronous_commit=%'`;

async function hostThatLeadsBoth(session: Session, { cluster, patroni }: OpenCluster): Promise<string | null> {
  const [facts, members] = await Promise.all([
    patroni.gather(),
    session.dcs().then((dcs) => dcs.maintenance.statuses()),
  ]);
  const host = cluster.members.find((m) => m.name === findLeader(facts)?.name)?.host.name;
  const etcd = members.find((m) => m.answers && m.memberId === m.leaderId);
  return host !== undefined && etcd?.name === host ? host : null;
}
