import type { Command } from 'commander';
import { writeFile } from 'node:fs/promises';
import { parseTenantName } from '../../inventory/names.js';
import { openCluster } from '../../reconcile/cluster.js';
import { withSession } from '../context.js';
import { currentTenantPath } from './tenant.js';

export async function use(name: string, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const open = await openCluster(session, parseTenantName(name));
    open.patroni.close();
    await writeFile(currentTenantPath(session), `${open.cluster.tenant}\n`);
    await terminal.result(
      { tenant: open.cluster.tenant },
      () => `commands without a tenant now mean ${open.cluster.tenant}`,
    );
  });
}
