// What a cluster looks like now: everything gathered, and judged.

import { showStat } from '../../haproxy/commands.js';
import { parseRoutes, type Routes } from '../../haproxy/facts.js';
import { readTenantKeys } from '../etcd/tenants.js';
import { DrillStore } from '../drills/store.js';
import { patroniUnit } from '../patroni/desired.js';
import { judgeCertificates } from './certificates.js';
import { planOf } from './change.js';
import { gatherCluster, withCluster, type OpenCluster } from './cluster.js';
import { gatherFencing } from './fencing.js';
import { foreignNotes, type ClusterFacts } from './plan-cluster.js';
import { leftOfRotation } from './plan-rotation.js';
import { gatherHeld, warnOfHeld } from './poolers.js';
import type { Session } from './session.js';
import type { Plan } from './step.js';
import { judgeCluster, type ClusterStatus } from './status.js';

export async function gatherStatus(session: Session, tenant: string): Promise<ClusterStatus> {
  return withCluster(session, tenant, async (open) => (await lookAtCluster(session, open)).status);
}

export interface ClusterLook {
  status: ClusterStatus;
  plan: Plan;
  facts: MemberFacts | ClusterFacts;
}

/** The status with what it was judged from. */
export async function lookAtCluster(session: Session, open: OpenCluster): Promise<ClusterLook> {
  const { tenant } = open.cluster;
  const [facts, routes, fencing, held, drills] = await Promise.all([
    session.rights === 'operator' ? gatherCluster(session, open) : gatherMembers(session, open),
    gatherRoutes(session, open),
    gatherFencing(session, open),
    gatherHeld(session, open.cluster),
    session.dcs().then((dcs) => new DrillStore(dcs).unacknowledged(tenant).catch(() => null)),
  ]);
  const plan = facts.hosts ? planOf(open, facts) : notCompared(tenant);
  const warnings = [
    ...warnOfHeld(open.cluster, held),
    ...judgeCertificates(open, session.fleetSecrets, new Date()),
    ...leftOfRotation(tenant, open.secrets),
    ...(facts.hosts ? foreignNotes(facts) : []),
  ];
  const status = judgeCluster({
    cluster: open.cluster,
    phase: open.record.phase,
    patroni: facts.patroni,
    routes,
    plan,
    warnings,
    settings: facts.settings,
    job: open.record.job,
    stopped: stoppedMembers(open, facts),
    fencing,
    drills,
  });
  return { status, plan, facts };
}

/** What a daemon sees of a cluster: its members and their settings. It may not know what has to be in the files. */
async function gatherMembers(session: Session, { cluster, patroni }: OpenCluster): Promise<MemberFacts> {
  const [members, keys] = await Promise.all([
    patroni.gather(),
    session.dcs().then((dcs) => readTenantKeys(dcs, cluster.tenant)),
  ]);
  return { patroni: members, settings: keys.settings };
}

type MemberFacts = Pick<ClusterFacts, 'patroni' | 'settings'> & { hosts?: never };

function notCompared(tenant: string): Plan {
  const warnings = ['what differs from the spec was not looked at'];
  return { subject: `cluster ${tenant}`, steps: [], warnings };
}

/** Members whose unit does not run; a daemon does not look at units. */
function stoppedMembers({ cluster }: OpenCluster, { hosts }: MemberFacts | ClusterFacts): string[] {
  return cluster.members.flatMap(({ name, host }) => {
    const found = hosts?.[host.name];
    const unit = found?.reachable ? found.units[patroniUnit(cluster.tenant)] : undefined;
    return unit?.active === 'inactive' ? [name] : [];
  });
}

async function gatherRoutes(session: Session, { cluster }: OpenCluster): Promise<Record<string, Routes | null>> {
  const asked = cluster.entries.map(async (entry) => {
    const answer = await session.hosts
      .get(entry.name)
      .run(showStat(cluster.tenant))
      .catch(() => null);
    return [entry.name, answer?.code === 0 ? parseRoutes(answer.stdout, cluster.tenant) : null] as const;
  });
  return Object.fromEntries(await Promise.all(asked));
}
