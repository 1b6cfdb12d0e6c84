import type { Command } from 'commander';
import { showStat } from '../../../haproxy/commands.js';
import { parseRoutes, type Routes } from '../../../haproxy/facts.js';
import { planOf } from '../../reconcile/change.js';
import { gatherCluster, openCluster, type OpenCluster } from '../../reconcile/cluster.js';
import { gatherFencing } from '../../reconcile/fencing.js';
import type { Session } from '../../reconcile/session.js';
import { judgeCertificates } from '../../reconcile/certificates.js';
import { judgeCluster, type ClusterStatus } from '../../reconcile/status.js';
import { describeStatus } from '../../reconcile/status-text.js';
import { withHosts } from '../context.js';
import { resolveTenant } from './tenant.js';

export async function status(given: string | undefined, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    const found = await gatherStatus(session, await resolveTenant(session, given));
    await terminal.result(found, () => describeStatus(found));
    if (!found.healthy) process.exitCode = 1;
  });
}

export async function gatherStatus(session: Session, tenant: string): Promise<ClusterStatus> {
  const open = await openCluster(session, tenant);
  try {
    const [facts, routes, fencing] = await Promise.all([
      gatherCluster(session, open),
      gatherRoutes(session, open),
      gatherFencing(session, open),
    ]);
    const plan = planOf(open, facts);
    const warnings = judgeCertificates(open, session.fleetSecrets, new Date());
    return judgeCluster({
      cluster: open.cluster,
      phase: open.record.phase,
      patroni: facts.patroni,
      routes,
      plan,
      warnings,
      settings: facts.settings,
      fencing,
    });
  } finally {
    open.patroni.close();
  }
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
