import type { Command } from 'commander';
import type { Session } from '../../reconcile/session.js';
import { closedAccess, describeAccess } from '../../topology/access.js';
import { portsOf } from '../../topology/cluster.js';
import { withSession } from '../context.js';

/** `-o json`: {clusters: [{tenant, phase, postgres, rto, rpoBytes, watchdog, ports: {from, to}, access: {enabled, from}, labels, members: [{name, host}]}]} */
export async function list(command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const clusters = await listClusters(session);
    await terminal.result({ clusters }, () => describeClusters(clusters));
  });
}

export type ListedCluster = Awaited<ReturnType<typeof listClusters>>[number];

/** What is recorded of all tenants: one question to etcd, and none to a host, however many there are. */
export async function listClusters(session: Pick<Session, 'inventory' | 'store'>) {
  const tenants = await (await session.store()).listTenants();
  return tenants.map(({ record: { spec, allocation, phase } }) => {
    const { primary } = portsOf(allocation.slot, session.inventory.ports);
    return {
      tenant: spec.tenant,
      phase,
      postgres: spec.postgres,
      rto: spec.rto,
      rpoBytes: spec.rpoBytes,
      watchdog: spec.watchdog,
      ports: { from: primary, to: primary + 9 },
      access: spec.access ?? closedAccess,
      labels: spec.labels ?? {},
      members: allocation.members,
    };
  });
}

async function describeClusters(clusters: ListedCluster[]): Promise<string> {
  if (clusters.length === 0) return 'no clusters yet; make one with `pgs cluster create`';
  const { default: Table } = await import('cli-table3');
  const table = new Table({
    head: ['tenant', 'phase', 'PostgreSQL', 'rto', 'rpo', 'watchdog', 'ports', 'access', 'members'],
    style: { head: [], border: [], compact: true },
  });
  for (const c of clusters) {
    table.push([
      c.tenant,
      c.phase,
      c.postgres,
      c.rto,
      c.rpoBytes,
      c.watchdog,
      `${c.ports.from}-${c.ports.to}`,
      describeAccess(c.access),
      c.members.map((m) => `${m.name}@${m.host}`).join(' '),
    ]);
  }
  return table.toString();
}
