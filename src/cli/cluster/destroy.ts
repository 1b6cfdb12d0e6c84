import type { Command } from 'commander';
import { exitCodePlanHasChanges } from '../../errors.js';
import { parseTenantName } from '../../inventory/names.js';
import { destroyCluster, planRemoval } from '../../reconcile/destroy.js';
import { confirmByTyping, withHosts } from '../context.js';
import { describePlan, planToJson, reportSteps } from '../plan-text.js';

export interface DestroyCommandOptions {
  yes: boolean;
  purgeData: boolean;
  dryRun: boolean;
}

export async function destroy(name: string, options: DestroyCommandOptions, command: Command): Promise<void> {
  const tenant = parseTenantName(name);
  const { purgeData } = options;
  await withHosts(command, async ({ session, terminal, signal }) => {
    const { plan, open } = await planRemoval(session, tenant, purgeData);
    open.patroni.close();
    if (options.dryRun) {
      await terminal.result(planToJson(plan), () => describePlan(plan));
      process.exitCode = exitCodePlanHasChanges;
      return;
    }
    const fate = purgeData ? 'and ALL ITS DATA' : 'and keep its data directories';
    if (!options.yes) await confirmByTyping(tenant, `This will remove cluster ${tenant} ${fate}.`, '--yes');
    await destroyCluster(session, tenant, { signal, purgeData, onEvent: reportSteps(terminal) });
    await terminal.result({ tenant, destroyed: true, dataKept: !purgeData }, () =>
      purgeData
        ? `${tenant} and its data are gone`
        : `${tenant} is gone; its data is kept in /var/lib/pgs/${tenant} on ${open.cluster.members.map((m) => m.host.name).join(', ')}`,
    );
  });
}
