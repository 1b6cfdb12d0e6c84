// `pgs drill list`, `history`, `ack`, `incident`

import type { Command } from 'commander';
import pc from 'picocolors';
import { rtoOf, trendsOf, type DrillRun, type Trend } from '../../drills/run.js';
import { describeDuration, nextDue, type Schedule } from '../../drills/schedule.js';
import { daemonLockable, DrillStore } from '../../drills/store.js';
import { plainTable } from '../../reconcile/status-text.js';
import { parseHolder } from '../../state/holder.js';
import { operatorName } from '../../state/operator.js';
import { describeMs } from '../../topology/durations.js';
import { resolveTenant } from '../cluster/tenant.js';
import { withSession } from '../context.js';

export function localZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** A schedule as commands show it: with when it is due next (ISO 8601), and the zone in which to show that. */
export interface ScheduleRow extends Schedule {
  next: string | null;
  tz: string;
}

export function toRow(schedule: Schedule, now: Date): ScheduleRow {
  const { when } = schedule;
  return {
    ...schedule,
    next: nextDue(schedule, now)?.toISOString() ?? null,
    tz: 'tz' in when ? when.tz : localZone(),
  };
}

/** `2026-11-23 03:00 Europe/Berlin` */
export function describeNext(next: string | null, tz: string): string {
  if (next === null) return 'never';
  const text = new Intl.DateTimeFormat('sv-SE', { timeZone: tz, dateStyle: 'short', timeStyle: 'short' });
  return `${text.format(new Date(next))} ${tz}`;
}

/** `-o json`: {daemon: the active one's holder or null, incident, schedules: [ScheduleRow]} */
export async function list(tenant: string | undefined, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const dcs = await session.dcs();
    const store = new DrillStore(dcs);
    const [schedules, holder, incident] = await Promise.all([
      store.listSchedules(tenant),
      dcs.get(daemonLockable.key),
      store.incident(),
    ]);
    const daemon = holder && parseHolder(holder.value);
    const rows = schedules.map((s) => toRow(s, new Date()));
    await terminal.result({ daemon, incident, schedules: rows }, () => {
      const lines = [
        daemon
          ? `daemon    active on ${daemon.host} (process ${daemon.pid}) since ${daemon.since}`
          : pc.yellow('daemon    NONE IS ACTIVE: nothing runs by itself (`pgs daemon`)'),
        ...(incident ? [pc.yellow(`incident  since ${incident.since}: ${incident.why}; nothing runs by itself`)] : []),
        rows.length === 0 ? 'no schedule (`pgs drill schedule`)' : scheduleTable(rows),
      ];
      return lines.join('\n');
    });
  });
}

function scheduleTable(rows: ScheduleRow[]): string {
  const table = plainTable(['tenant', 'name', 'runs', 'at', 'window', 'deadline', 'next']);
  for (const { tenant, name, job, when, window, deadlineMs, paused, next, tz } of rows) {
    table.push([
      tenant,
      name,
      job.kind === 'drill'
        ? `${job.suite}${job.consent ? ` (${job.consent})` : ''}`
        : `switchover to ${job.to ?? 'any'}`,
      'cron' in when ? when.cron : 'once',
      window ? `${window.from}-${window.to}` : '',
      describeDuration(deadlineMs),
      paused ? 'paused' : describeNext(next, tz),
    ]);
  }
  return table.toString();
}

/** `-o json`: {tenant, runs: [DrillRun], trends: [Trend]}, the newest run first */
export async function history(given: string | undefined, { last }: { last: number }, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const tenant = await resolveTenant(session, given);
    const runs = (await new DrillStore(await session.dcs()).listRuns(tenant)).slice(-last);
    const trends = trendsOf(runs);
    const newest = [...runs].reverse();
    await terminal.result({ tenant, runs: newest, trends }, () => describeHistory(tenant, newest, trends));
  });
}

export function describeHistory(tenant: string, runs: DrillRun[], trends: Trend[]): string {
  if (runs.length === 0) return `no run of ${tenant} is on record`;
  const table = plainTable(['started', 'what', 'outcome', 'RTO', 'predicted', 'lost', 'two writers', 'errors', '']);
  for (const run of runs) {
    const rto = rtoOf(run);
    const sum = (of: (r: DrillRun['results'][number]) => number | null) => {
      const known = run.results.map(of).filter((n) => n !== null);
      return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
    };
    const dual = sum((r) => r.dualWritableMs);
    table.push([
      run.started.slice(0, 16).replace('T', ' '),
      run.kind === 'drill' ? run.what : 'switchover',
      run.outcome === 'pass' ? pc.green('pass') : run.outcome === 'running' ? run.outcome : pc.red(run.outcome),
      rto ? describeMs(rto.rtoMs) : '',
      rto?.predictedRtoMs ? describeMs(rto.predictedRtoMs) : '',
      String(sum((r) => r.ackedLost) ?? ''),
      dual === null ? '' : describeMs(dual),
      String(sum((r) => r.errors) ?? ''),
      run.why === null
        ? ''
        : `${run.why.slice(0, 100)}${run.acknowledged ? ` (acknowledged by ${run.acknowledged.by})` : ''}`,
    ]);
  }
  return [table.toString(), ...(trends.length > 0 ? ['', 'RTO over time', ...trends.map(describeTrend)] : [])].join(
    '\n',
  );
}

function describeTrend({ scenario, rtoMs, medianMs, changePercent, spark }: Trend): string {
  const change = changePercent === null ? '' : `, the newer half ${changePercent >= 0 ? '+' : ''}${changePercent} %`;
  return `  ${scenario}  ${spark}  ${rtoMs.length} runs, median ${describeMs(medianMs)}, last ${describeMs(rtoMs.at(-1)!)}${change}`;
}

/** `-o json`: {tenant, acknowledged: [id]} */
export async function acknowledge(given: string | undefined, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const tenant = await resolveTenant(session, given);
    const by = operatorName();
    const done = await new DrillStore(await session.dcs()).acknowledge(tenant, by, new Date());
    await terminal.result({ tenant, acknowledged: done.map((r) => r.id) }, () =>
      done.length === 0
        ? `nothing of ${tenant} waits to be acknowledged`
        : done
            .map((r) => `acknowledged: ${r.started.slice(0, 16).replace('T', ' ')} ${r.what}: ${r.outcome}`)
            .join('\n'),
    );
  });
}

/** `-o json`: the incident, or null */
export async function incident(options: { raise?: string; clear?: boolean }, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const store = new DrillStore(await session.dcs());
    if (options.raise !== undefined) {
      const by = operatorName();
      await store.setIncident({ why: options.raise, by, since: new Date().toISOString() });
    } else if (options.clear) await store.setIncident(null);
    const found = await store.incident();
    await terminal.result(found, () =>
      found ? `an incident is on since ${found.since}, says ${found.by}: ${found.why}` : 'no incident is on',
    );
  });
}
