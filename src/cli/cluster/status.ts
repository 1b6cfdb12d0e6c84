import type { Command } from 'commander';
import { gatherStatus } from '../../reconcile/gather-status.js';
import { describeStatus } from '../../reconcile/status-text.js';
import { withHosts } from '../context.js';
import { resolveTenant } from './tenant.js';

export async function status(given: string | undefined, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    const found = await gatherStatus(session, await resolveTenant(session, given));
    await terminal.result(found, () => describeStatus(found));
    if (!found.healthy) process.exitCode = 1;
  });
}
