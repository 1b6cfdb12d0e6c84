// `pgs cluster restart`

import type { Command } from 'commander';
import { planRestart, restartCluster, type Restarted } from '../../reconcile/restart.js';
import { withHosts } from '../context.js';
import { changesOf, reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

export interface RestartFlags {
  member?: string;
  pendingOnly: boolean;
  dryRun: boolean;
  force: boolean;
}

/** `-o json`: the plan as `pgs plan -o json`, with {applied, members: [name], resumed} */
export async function restart(given: string | undefined, options: RestartFlags, command: Command): Promise<void> {
  const { dryRun, force, pendingOnly } = options;
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    const request = { member: options.member ?? null, pendingOnly };
    if (dryRun) {
      const { plan, members, resumed } = await planRestart(session, tenant, request);
      return showDryRun(terminal, plan, { members, resumed });
    }
    const done = await restartCluster(session, tenant, request, { signal, force, onEvent: reportSteps(terminal) });
    const { members, resumed } = done;
    await showChange(terminal, done.plan, { members, resumed }, () => describe(tenant, done));
  });
}

function describe(tenant: string, { plan, members, resumed }: Restarted): string {
  if (members.length === 0) {
    const changes = changesOf(plan).length;
    return `${tenant}: no restart is pending${changes > 0 ? `; ${changes} other changes applied` : ''}`;
  }
  const gone = resumed === null ? '' : `, which was begun ${resumed}`;
  return `${tenant}: the restart of ${members.join(', ')}${gone} is done; all members stream, and every entry serves`;
}
