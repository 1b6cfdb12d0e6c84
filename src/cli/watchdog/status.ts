import type { Command } from 'commander';
import pc from 'picocolors';
import { plainTable } from '../../reconcile/status-text.js';
import { gatherWatchdogStatus, type WatchdogStatus } from '../../reconcile/watchdog-status.js';
import { withHosts } from '../context.js';
import { resolveTenant } from '../cluster/tenant.js';

export async function status(given: string | undefined, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal }) => {
    const found = await gatherWatchdogStatus(session, await resolveTenant(session, given));
    await terminal.result(found, () => describe(found));
    if (!found.fenced) process.exitCode = 1;
  });
}

function describe({ members }: WatchdogStatus): string {
  const table = plainTable(['member', 'host', 'role', 'mode', 'by', 'armed', 'left', 'kernel watchdog', 'held by', '']);
  for (const m of members) {
    const device = m.device === null ? 'none' : `${m.device} (${m.kind}, ${m.identity})`;
    const holders = m.holders.map(({ command, pid }) => `${command} ${pid}`).join(', ');
    const left = m.leftS === null ? '' : `${m.leftS.toFixed(1)} of ${m.timeoutS} s`;
    const verdict = m.verdict === 'fenced' ? pc.green(m.verdict) : pc.yellow(m.verdict.toUpperCase());
    const by = m.mechanism === 'pipe' ? 'fencing service' : 'device';
    const armed = m.armed === null ? '?' : m.armed ? 'yes' : 'no';
    table.push([m.name, m.host, m.role, m.mode, by, armed, left, device, holders, verdict]);
  }
  const notes = members.map((m) => `${m.name}: ${m.reason}${m.fix ? ` (mend it with: ${m.fix})` : ''}`);
  return [table.toString(), ...notes].join('\n');
}
