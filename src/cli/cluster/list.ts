import type { Command } from 'commander';
import Table from 'cli-table3';
import { closedAccess, describeAccess } from '../../topology/access.js';
import { portsOf } from '../../topology/cluster.js';
import { withSession } from '../context.js';

/** `-o json`: {clusters: [{tenant, phase, postgres, rto, rpoBytes, watchdog, ports: {from, to}, access: {enabled, from}, labels, members: [{name, host}]}]} */
export async function list(command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const tenants = await (await session.store()).listTenants();
    const clusters = tenants.map(({ record: { spec, allocation, phase } }) => ({
      tenant: spec.tenant,
      phase,
      postgres: spec.postgres,
      rto: spec.rto,
      rpoBytes: spec.rpoBytes,
      watchdog: spec.watchdog,
      ports: {
        from: portsOf(allocation.slot, session.inventory.ports).primary,
        to: portsOf(allocation.slot, session.inventory.ports).primary + 9,
      },
      access: spec.access ?? closedAccess,
      labels: spec.labels ?? {},
      members: allocation.members,
    }));
    await terminal.result({ clusters }, () => {
      if (clusters.length === 0) return 'no clusters yet; make one with `pgs cluster create`';
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
    });
  });
}
