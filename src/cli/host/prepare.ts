// `pgs host prepare`

import type { Command } from 'commander';
import { exitCodePlanHasChanges } from '../../errors.js';
import { prepareHosts, type PrepareOutcome } from '../../host/prepare.js';
import { openHosts } from '../../host/ssh-host.js';
import type { Plan } from '../../reconcile/step.js';
import { describePlan, planToJson, reportSteps } from '../plan-text.js';
import { openFleet } from './fleet.js';

export async function prepare(asked: string[], options: { dryRun: boolean }, command: Command): Promise<void> {
  const { inventory, names, terminal } = await openFleet(command, asked);
  const startedMs = performance.now();
  const pool = openHosts(inventory);
  try {
    const outcomes = await prepareHosts(pool, inventory, names, {
      mode: options.dryRun ? 'dry-run' : 'apply',
      onPlans: (plans) => {
        for (const plan of plans) {
          if (plan.steps.length > 0 || plan.warnings.length > 0) {
            terminal.progress(describePlan(options.dryRun ? plan : withoutDiffs(plan)));
          }
        }
      },
      onEvent: reportSteps(terminal, startedMs),
    });
    const hosts = outcomes.map(({ host, outcome, plan, tookMs }) => ({
      host,
      outcome,
      tookMs: Math.round(tookMs),
      plan: planToJson(plan),
    }));
    await terminal.result({ hosts }, () => outcomes.map(describe).join('\n'));
    if (outcomes.some(({ outcome }) => outcome === 'planned')) process.exitCode = exitCodePlanHasChanges;
  } finally {
    await pool.close();
  }
}

/** A host's plan has some thirty differences; who wants to read them asks with --dry-run. */
function withoutDiffs(plan: Plan): Plan {
  return { ...plan, steps: plan.steps.map((step) => ({ ...step, diff: [] })) };
}

function describe({ host, outcome, plan, tookMs }: PrepareOutcome): string {
  switch (outcome) {
    case 'nothing-to-do':
      return `${host}: fit, nothing to do`;
    case 'planned':
      return `${host}: ${plan.steps.length} steps to do (nothing was changed)`;
    case 'prepared':
      return `${host}: prepared in ${(tookMs / 1000).toFixed(1)} s`;
  }
}
