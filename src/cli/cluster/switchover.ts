// `pgs switchover`

import type { Command } from 'commander';
import { exitCodePlanHasChanges } from '../../errors.js';
import { undoAfterMs } from '../../pgbouncer/pause.js';
import { openCluster } from '../../reconcile/cluster.js';
import { checkpointLimitMs, leaderLimitMs, type PhaseDone } from '../../reconcile/leader-change.js';
import { describePreflight, preflight, switchOver, type SwitchoverResult } from '../../reconcile/switchover.js';
import { pauseLimitMs } from '../../topology/rto.js';
import { withHosts, type Context } from '../context.js';
import { resolveTenant } from './tenant.js';

export interface SwitchoverFlags {
  to?: string;
  force: boolean;
  dryRun: boolean;
}

/** `-o json`: {tenant} and `SwitchoverResult`; with --dry-run {tenant, from, to, …} of the preflight, and exit code 3 */
export async function switchover(given: string | undefined, options: SwitchoverFlags, command: Command): Promise<void> {
  await withHosts(command, async (context) => {
    const { session, terminal, signal } = context;
    const tenant = await resolveTenant(session, given);
    if (options.dryRun) return showPhases(context, tenant, options.to ?? null);
    const done = await switchOver(session, tenant, options.to ?? null, {
      signal,
      force: options.force,
      onPhase: (phase) => terminal.progress(describePhase(phase)),
    });
    await terminal.result({ tenant, ...done }, () => describeSwitchover(tenant, done));
  });
}

function describePhase({ phase, startedMs, tookMs, note }: PhaseDone): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)}s`.padStart(7);
  return `${seconds(startedMs)} ${phase.padEnd(11)}${seconds(tookMs)}  ${note}`;
}

function describeSwitchover(tenant: string, { from, to, tookMs, probe, heldMs }: SwitchoverResult): string {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const errors = probe ? Object.entries(probe.errors).map(([code, n]) => `${n} x ${code}`) : [];
  return [
    `${to} leads ${tenant} instead of ${from}, after ${seconds(tookMs)}`,
    probe?.writeGapMs == null
      ? 'the write gap was not measured: no write went through primary before'
      : `write gap ${seconds(probe.writeGapMs)} through primary${heldMs === null ? '' : `, clients held for ${seconds(heldMs)}`}; ` +
        `${probe.acknowledged} own writes, ${probe.lost ?? 'unknown'} lost, ${errors.length > 0 ? `errors: ${errors.join(', ')}` : 'no errors'}`,
  ].join('\n');
}

async function showPhases({ session, terminal }: Context, tenant: string, wish: string | null): Promise<void> {
  const open = await openCluster(session, tenant);
  try {
    const found = await preflight(session, open, wish);
    const entries = open.cluster.entries.map((e) => e.name).join(', ');
    const phases = [
      ['preflight', describePreflight(found)],
      ['checkpoint', `on ${found.from} and ${found.to}, at most ${checkpointLimitMs / 1000} s`],
      [
        'pause',
        `poolers of ${entries} hold their clients; transactions get ${pauseLimitMs / 1000} s; armed before: each resumes by itself after ${undoAfterMs / 1000} s`,
      ],
      ['switchover', `Patroni: ${found.from} stops and ${found.to} is promoted, at most ${leaderLimitMs / 1000} s`],
      ['resume', 'as soon as the new leader takes writes'],
      ['verify', "the new timeline begins where the old leader stopped, and pgs's own writes are there"],
      ['settle', 'all members stream, and every entry serves the new leader'],
    ];
    await terminal.result({ tenant, ...found }, () =>
      phases.map(([phase, what]) => `${phase!.padEnd(11)} ${what}`).join('\n'),
    );
    process.exitCode = exitCodePlanHasChanges;
  } finally {
    open.patroni.close();
  }
}
