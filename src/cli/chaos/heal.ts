// `pgs chaos heal`

import type { Command } from 'commander';
import { healTenant } from '../../../chaos/heal.js';
import { powerFor } from '../../../chaos/power.js';
import { resolveTenant } from '../cluster/tenant.js';
import { withHosts } from '../context.js';

/** `-o json`: {tenant, hosts: [{host, undone, failed}]}; exit code 1 when a host could not be healed */
export async function heal(
  given: string | undefined,
  options: { powerCommand?: string },
  command: Command,
): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    const tenant = await resolveTenant(session, given);
    const power = powerFor(session, options.powerCommand ?? null);
    const hosts = await healTenant(session, tenant, power, () => undefined);
    await terminal.result({ tenant, hosts }, () =>
      hosts
        .map(
          ({ host, undone, failed }) =>
            `${host}  ${failed ? `NOT healed: ${failed}` : undone.length > 0 ? `undone: ${undone.join(', ')}` : 'nothing was left'}`,
        )
        .join('\n'),
    );
    if (hosts.some((h) => h.failed !== null)) process.exitCode = 1;
  });
}
