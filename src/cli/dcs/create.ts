// `pgs dcs create`

import { join } from 'node:path';
import type { Command } from 'commander';
import { exitCodePlanHasChanges } from '../../errors.js';
import { withFileLock } from '../../operator-files.js';
import { createDcsEffects, planFleetDcs, planFleetDcsToApply } from '../../reconcile/dcs.js';
import { describeMove, settleEtcdLeader } from '../../reconcile/etcd-leader.js';
import { executePlan } from '../../reconcile/execute.js';
import { withSession, type Context } from '../context.js';
import { describePlan, hasChanges, planToJson, reportSteps } from '../plan-text.js';

export async function createDcs(options: { dryRun: boolean }, command: Command): Promise<void> {
  await withSession(command, async (context) => {
    if (options.dryRun) return showPlan(context);
    // There is no etcd yet to hold a lock, so two of these are kept apart on the operator's machine.
    await withFileLock(join(context.session.inventory.stateDir, 'dcs'), () => apply(context));
  });
}

async function showPlan({ session, terminal }: Context): Promise<void> {
  const plan = await planFleetDcs(session);
  await terminal.result(planToJson(plan), () => describePlan(plan));
  if (hasChanges(plan)) process.exitCode = exitCodePlanHasChanges;
}

async function apply({ session, terminal, signal }: Context): Promise<void> {
  const plan = await planFleetDcsToApply(session);
  plan.warnings.forEach((warning) => terminal.warn(warning));
  await executePlan(plan, createDcsEffects(session), { onEvent: reportSteps(terminal), signal });
  const move = await settleEtcdLeader(session, null);
  if (move) terminal.progress(describeMove(move));
  const members = session.inventory.etcd.kind === 'fleet' ? session.inventory.etcd.members : [];
  const changes = plan.steps.filter((step) => step.action.kind !== 'none').length;
  await terminal.result({ members, changes }, () =>
    changes === 0
      ? `etcd on ${members.join(', ')} is as it should be: nothing was changed.`
      : `etcd runs on ${members.join(', ')}, with TLS and authentication. Look at it with: pgs dcs status`,
  );
}
