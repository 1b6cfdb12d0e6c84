// `pgs cluster reinit`

import type { Command } from 'commander';
import { planReinit, reinitMember } from '../../reconcile/reinit.js';
import { confirmByTyping, withHosts } from '../context.js';
import { reportSteps, showChange, showDryRun } from '../plan-text.js';
import { resolveTenant } from './tenant.js';

/** `-o json`: the plan as `pgs plan -o json`, with {applied, member} */
export async function reinit(
  given: string | undefined,
  { member, yes, dryRun }: { member: string; yes: boolean; dryRun: boolean },
  command: Command,
): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    const planned = await planReinit(session, tenant, member);
    if (dryRun) return showDryRun(terminal, planned, { member });
    if (!yes) await confirmByTyping(tenant, `This will throw away the data of ${member} and copy it anew.`, '--yes');
    const plan = await reinitMember(session, tenant, member, { signal, onEvent: reportSteps(terminal) });
    await showChange(terminal, plan, { member }, () => `${member} was made anew and streams`);
  });
}
