// `pgs switchover`

import type { Command } from 'commander';
import { parseAt, parseZone } from '../../drills/parse.js';
import type { Schedule } from '../../drills/schedule.js';
import { giveTenant } from '../../drills/daemon-secrets.js';
import { DrillStore } from '../../drills/store.js';
import { exitCodePlanHasChanges, PgsError } from '../../errors.js';
import { undoAfterMs } from '../../pgbouncer/pause.js';
import { withCluster } from '../../reconcile/cluster.js';
import { checkpointLimitMs, leaderLimitMs, type PhaseDone } from '../../reconcile/leader-change.js';
import { describePreflight, preflight, switchOver, type SwitchoverResult } from '../../reconcile/switchover.js';
import { pauseLimitMs } from '../../topology/rto.js';
import { withHosts, withSession, type Context } from '../context.js';
import { resolveTenant } from './tenant.js';

export interface SwitchoverFlags {
  to?: string;
  force: boolean;
  dryRun: boolean;
  at?: string;
  tz?: string;
}

/**
 * `-o json`: {tenant} and `SwitchoverResult`; with --dry-run {tenant, from, to, …} of the preflight, and exit code 3; with --at the
 * schedule
 */
export async function switchover(given: string | undefined, options: SwitchoverFlags, command: Command): Promise<void> {
  if (options.at !== undefined) return later(given, options.at, options, command);
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

/** The one who is to lead is looked at when it is time; that it is a member is looked at now. */
async function later(given: string | undefined, at: string, options: SwitchoverFlags, command: Command): Promise<void> {
  const now = new Date();
  const tz = parseZone(options.tz ?? Intl.DateTimeFormat().resolvedOptions().timeZone);
  const when = parseAt(at, tz, now);
  await withSession(command, async ({ session, terminal }) => {
    const tenant = await resolveTenant(session, given);
    await withCluster(session, tenant, ({ cluster }) => {
      const names = cluster.members.map((m) => m.name);
      if (options.to === undefined || names.includes(options.to)) return Promise.resolve();
      const found = `${options.to} is no member of ${tenant}, which has ${names.join(', ')}`;
      throw new PgsError('usage', { doing: 'reading --to', found });
    });
    const schedule: Schedule = {
      version: 1,
      tenant,
      name: 'switchover',
      job: { kind: 'switchover', to: options.to ?? null, force: options.force },
      when,
      window: null,
      deadlineMs: switchoverDeadlineMs,
      paused: false,
      createdAt: now.toISOString(),
      handledUntil: now.toISOString(),
    };
    const dcs = await session.dcs();
    await giveTenant(dcs, session.fleetKey, tenant);
    await new DrillStore(dcs).putSchedule(schedule);
    await terminal.result(
      schedule,
      () => `${tenant} switches over to ${options.to ?? 'any'} at ${'at' in when ? when.at : ''}, by \`pgs daemon\``,
    );
  });
}

/** Who asked for a time did not mean an hour later. */
const switchoverDeadlineMs = 600_000;

async function showPhases({ session, terminal }: Context, tenant: string, wish: string | null): Promise<void> {
  await withCluster(session, tenant, async (open) => {
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
  });
}
