import type { Command } from 'commander';
import pc from 'picocolors';
import { verifyFencing, type VerifyResult } from '../../reconcile/verify-fencing.js';
import { sandboxConfigPath } from '../../sandbox/paths.js';
import { withHosts } from '../context.js';
import { resolveTenant } from '../cluster/tenant.js';

export interface VerifyOptions {
  member: string;
  iAcceptAReset: boolean;
}

export async function verify(given: string | undefined, options: VerifyOptions, command: Command): Promise<void> {
  await withHosts(command, async ({ session, terminal, signal }) => {
    const inSandbox = session.inventory.path === sandboxConfigPath(session.inventory.fleet);
    const result = await verifyFencing(session, await resolveTenant(session, given), options.member, {
      signal,
      progress: (line) => terminal.progress(line),
      accepted: options.iAcceptAReset || inSandbox,
    });
    await terminal.result(result, () => describe(result));
    if (!result.passed) process.exitCode = 1;
  });
}

function describe(r: VerifyResult): string {
  const s = (value: number | null) => (value === null ? 'never' : `${value.toFixed(1)} s`);
  const neighbours = r.neighbours.map((n) => `${n.tenant} ${n.undisturbed ? 'went on undisturbed' : 'WAS DISTURBED'}`);
  return [
    `${r.member} on ${r.host}: ${r.passed ? pc.green('FENCED') : pc.red('NOT FENCED')} by ${r.fired}${r.machineReset ? ', the machine was reset' : ''}`,
    `last keepalive to kill   ${s(r.keepaliveToKillS)} (time-out ${r.timeoutS} s)`,
    `margin before the key    ${s(r.marginS)}`,
    `new leader               ${r.newLeader ?? 'none'}${r.newLeaderAfterS === null ? '' : `, ${s(r.newLeaderAfterS)} after the stop`}`,
    `back                     ${r.back ? `as ${r.back.role}, ${r.back.fencing}, ${s(r.back.afterS)} after the stop` : 'no'}`,
    ...(neighbours.length > 0 ? [`neighbours               ${neighbours.join(', ')}`] : []),
  ].join('\n');
}
