// What a cluster looks like now: everything gathered, and judged.

import { showStat } from '../../haproxy/commands.js';
import { parseRoutes, type Routes } from '../../haproxy/facts.js';
import { DrillStore } from '../drills/store.js';
import { judgeCertificates } from './certificates.js';
import { planOf } from './change.js';
import { gatherCluster, withCluster, type OpenCluster } from './cluster.js';
import { gatherFencing } from './fencing.js';
import { gatherHeld, warnOfHeld } from './poolers.js';
import type { Session } from './session.js';
import { judgeCluster, type ClusterStatus } from './status.js';

export async function gatherStatus(session: Session, tenant: string): Promise<ClusterStatus> {
  return withCluster(session, tenant, async (open) => {
    const [facts, routes, fencing, held, drills] = await Promise.all([
      gatherCluster(session, open),
      gatherRoutes(session, open),
      gatherFencing(session, open),
      gatherHeld(session, open.cluster),
      session.dcs().then((dcs) => new DrillStore(dcs).unacknowledged(tenant).catch(() => null)),
    ]);
    const plan = planOf(open, facts);
    const warnings = [...warnOfHeld(open.cluster, held), ...judgeCertificates(open, session.fleetSecrets, new Date())];
    return judgeCluster({
      cluster: open.cluster,
      phase: open.record.phase,
      patroni: facts.patroni,
      routes,
      plan,
      warnings,
      settings: facts.settings,
      fencing,
      drills,
    });
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
