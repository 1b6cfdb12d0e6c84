// `pgs cluster stop` and `start`

import type { Command } from 'commander';
import { describeMove, settleEtcdLeader } from '../../reconcile/etcd-leader.js';
import { planStop, stopCluster } from '../../reconcile/stop.js';
import { confirmByTyping, withHosts } from '../context.js';
import { hasChanges, reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: the plan as `pgs plan -o json`, with {applied} */
export async function stop(
  given: string | undefined,
  { yes, dryRun }: { yes: boolean; dryRun: boolean },
  command: Command,
): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    const planned = await planStop(session, tenant, 'stopped');
    if (dryRun) return showDryRun(terminal, planned);
    if (!yes && hasChanges(planned)) {
      await confirmByTyping(tenant, `This will stop ${tenant}: its clients are cut off until it is started.`, '--yes');
    }
    const plan = await stopCluster(session, tenant, 'stopped', { signal, onEvent: reportSteps(terminal) });
    await showChange(terminal, plan, {}, () =>
      hasChanges(plan)
        ? `${tenant} is stopped; its data and its spec are kept: \`pgs cluster start ${tenant}\` brings it back`
        : `${tenant} is stopped already`,
    );
  });
}

/** `-o json`: the plan as `pgs plan -o json`, with {applied} */
export async function start(
  given: string | undefined,
  { dryRun }: { dryRun: boolean },
  command: Command,
): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    if (dryRun) return showDryRun(terminal, await planStop(session, tenant, 'ready'));
    const plan = await stopCluster(session, tenant, 'ready', { signal, onEvent: reportSteps(terminal) });
    const move = await settleEtcdLeader(session, null);
    if (move) terminal.progress(describeMove(move));
    await showChange(terminal, plan, {}, () =>
      hasChanges(plan) ? `${tenant} is started: all members stream, and every entry serves` : `${tenant} runs already`,
    );
  });
}
