// `pgs update`

import type { Command } from 'commander';
import { exitCodePlanHasChanges, PgsError } from '../../errors.js';
import type { Plan } from '../../reconcile/step.js';
import { planFleetUpdate, planUpdate, updateFleet, updateTenant, type FleetUpdate } from '../../reconcile/update.js';
import { resolveTenant } from '../cluster/tenant.js';
import { withHosts, type Context } from '../context.js';
import { changesOf, describePlan, hasChanges, planToJson, reportSteps, showChange, showDryRun } from '../plan-text.js';

export interface UpdateFlags {
  fleet: boolean;
  dryRun: boolean;
  force: boolean;
}

/** `-o json`: the plan as `pgs plan -o json`; with --fleet {shared: plan, tenants: [plan]} */
export async function update(given: string | undefined, options: UpdateFlags, command: Command): Promise<void> {
  if (options.fleet && given !== undefined) {
    throw new PgsError('usage', {
      doing: 'reading the options',
      found: `--fleet is for all tenants, and ${given} is named`,
      hint: 'Leave one of them out.',
    });
  }
  await withHosts(command, async (context) => {
    if (options.fleet) return fleet(context, options);
    const { session, terminal, signal } = context;
    const tenant = await resolveTenant(session, given);
    if (options.dryRun) return showDryRun(terminal, await planUpdate(session, tenant));
    const onPlan = ({ notes = [] }: Plan) => notes.forEach((note) => terminal.warn(note));
    const plan = await updateTenant(session, tenant, {
      signal,
      onPlan,
      onEvent: reportSteps(terminal),
      force: options.force,
    });
    await showChange(terminal, plan, {}, () => describeUpdate(plan));
  });
}

function describeUpdate(plan: Plan): string {
  const hosts = [...new Set(changesOf(plan).flatMap(({ host }) => (host ? [host] : [])))];
  return hosts.length === 0
    ? `${plan.subject}: everything is as new as the hosts' sources, and runs from what is installed`
    : `${plan.subject}: done on ${hosts.join(', ')}`;
}

async function fleet({ session, terminal, signal }: Context, { dryRun, force }: UpdateFlags): Promise<void> {
  if (dryRun) {
    const found = await planFleetUpdate(session);
    await terminal.result(toJson(found), () => plansOf(found).map(describePlan).join('\n'));
    if (plansOf(found).some(hasChanges)) process.exitCode = exitCodePlanHasChanges;
    return;
  }
  const done = await updateFleet(session, { signal, force, onEvent: reportSteps(terminal) });
  await terminal.result({ ...toJson(done), applied: true }, () => plansOf(done).map(describeUpdate).join('\n'));
}

function plansOf({ shared, tenants }: FleetUpdate): Plan[] {
  return [shared, ...tenants];
}

function toJson({ shared, tenants }: FleetUpdate): object {
  return { shared: planToJson(shared), tenants: tenants.map(planToJson) };
}
