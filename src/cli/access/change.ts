import type { Command } from 'commander';
import { PgsError } from '../../errors.js';
import { changeAccess, planAccess, type AccessRequest } from '../../reconcile/access.js';
import { networkFaults } from '../../topology/access.js';
import { resolveTenant } from '../cluster/tenant.js';
import { withHosts } from '../context.js';
import { reportSteps, showChange, showDryRun } from '../plan-text.js';

export interface AccessOptions {
  from?: string[];
  keepSessions: boolean;
  dryRun: boolean;
}

/** `-o json`: the plan as `pgs plan -o json`, with {applied} */
export async function access(
  given: string | undefined,
  enabled: boolean,
  { from, keepSessions, dryRun }: AccessOptions,
  command: Command,
): Promise<void> {
  const networks = from === undefined ? null : parseNetworks(from);
  await withHosts(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    const request: AccessRequest = { tenant, enabled, from: networks, sessions: keepSessions ? 'keep' : 'cut' };
    if (dryRun) return showDryRun(terminal, await planAccess(session, request));
    await showChange(terminal, await changeAccess(session, request, { signal, onEvent: reportSteps(terminal) }));
  });
}

/** Lists may be given with commas; `any` is everybody. */
function parseNetworks(from: string[]): string[] {
  const networks = from.flatMap((text) => text.split(',')).map((text) => text.trim());
  if (networks.length === 1 && networks[0] === 'any') return [];
  const faults = networkFaults(networks);
  if (faults.length === 0) return networks;
  throw new PgsError('usage', {
    doing: 'reading the command line',
    found: faults.map(({ message }) => `--from: ${message}`).join('\n'),
    hint: 'For example: --from 10.20.0.0/16 --from 2001:db8::/32, or --from any.',
  });
}
