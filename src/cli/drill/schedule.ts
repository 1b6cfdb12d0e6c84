// `pgs drill schedule`, `pause`, `resume`, `cancel`

import { resolve } from 'node:path';
import type { Command } from 'commander';
import { isSandbox, powerFor } from '../../../chaos/power.js';
import { severityRefusals } from '../../../chaos/preflight.js';
import { scenarioFolders } from '../../../chaos/store.js';
import { scenariosOfSuite } from '../../../chaos/suites.js';
import { PgsError } from '../../errors.js';
import { parseCron, parseName, parseSpan, parseWindow, parseZone } from '../../drills/parse.js';
import { scheduleName, type Job, type Schedule } from '../../drills/schedule.js';
import { giveTenant } from '../../drills/daemon-secrets.js';
import { DrillStore } from '../../drills/store.js';
import type { Session } from '../../reconcile/session.js';
import { resolveTenant } from '../cluster/tenant.js';
import type { ScheduleFlags } from '../commands/drill.js';
import { withSession } from '../context.js';
import { describeNext, localZone, toRow } from './show.js';

/** `-o json`: the schedule, as in `pgs drill list -o json` */
export async function schedule(given: string, flags: ScheduleFlags, command: Command): Promise<void> {
  const now = new Date();
  const tz = parseZone(flags.tz ?? localZone());
  const when = parseCron(flags.cron, tz, now);
  const name = parseName(flags.name ?? (scheduleName.test(flags.suite) ? flags.suite : 'drills'));
  await withSession(command, async ({ session, terminal }) => {
    const tenant = await resolveTenant(session, given);
    const made: Schedule = {
      version: 1,
      ...{ tenant, name, when },
      job: await drillJob(session, tenant, flags.suite, flags),
      window: flags.window === undefined ? null : parseWindow(flags.window, tz),
      deadlineMs: parseSpan('--deadline', flags.deadline),
      paused: false,
      createdAt: now.toISOString(),
      handledUntil: now.toISOString(),
    };
    const dcs = await session.dcs();
    await giveTenant(dcs, session.fleetKey, tenant);
    await new DrillStore(dcs).putSchedule(made);
    const row = toRow(made, now);
    await terminal.result(row, () => `${tenant}/${name}: ${flags.suite}, next ${describeNext(row.next, tz)}`);
  });
}

/** @throws PgsError `usage` for an unknown suite, `endangers` when it is more than the tenant takes */
export async function drillJob(
  session: Session,
  tenant: string,
  suite: string,
  flags: Pick<ScheduleFlags, 'consent' | 'folder' | 'outageLimit'>,
): Promise<Extract<Job, { kind: 'drill' }>> {
  const folder = flags.folder === undefined ? null : resolve(flags.folder);
  const stored = await (await session.store()).getTenant(tenant);
  if (!stored) {
    const hint = '`pgs cluster list` shows the tenants.';
    throw new PgsError('usage', { doing: 'scheduling a drill', found: `there is no tenant ${tenant}`, hint });
  }
  const production = stored.record.spec.production === true;
  const sandbox = isSandbox(powerFor(session, null));
  const accepted = flags.consent === undefined ? [] : [flags.consent];
  const found = await scenariosOfSuite(suite, scenarioFolders(folder ?? undefined));
  const refused = found.flatMap(({ scenario }) =>
    severityRefusals(scenario, { sandbox, production, accepted }).map((why) => `${scenario.name}: ${why}`),
  );
  if (refused.length > 0) {
    throw new PgsError('endangers', {
      doing: `scheduling ${suite} for ${tenant}`,
      found: refused.join('\n').replaceAll('--accept disruptive', '--consent disruptive'),
      hint: 'Choose safe scenarios (`pgs chaos list` shows the severities), or have the tenant agree.',
    });
  }
  const outageMaxMs = parseSpan('--outage-limit', flags.outageLimit);
  return { kind: 'drill', suite, folder, consent: flags.consent ?? null, outageMaxMs };
}

/** `-o json`: the schedules that were changed */
export async function toggle(
  verb: 'pause' | 'resume',
  given: string | undefined,
  { name }: { name?: string },
  command: Command,
): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const tenant = await resolveTenant(session, given);
    const store = new DrillStore(await session.dcs());
    const found = (await store.listSchedules(tenant)).filter((s) => name === undefined || s.name === name);
    if (found.length === 0) throw noSchedule(tenant, name);
    const now = new Date();
    const changed: Schedule[] = [];
    for (const one of found) {
      const after = await store.updateSchedule(one, (s) =>
        verb === 'pause'
          ? { ...s, paused: true }
          : // What fell into the pause is not missed; a schedule that was not paused keeps what it has to make up for.
            { ...s, paused: false, handledUntil: s.paused && 'cron' in s.when ? now.toISOString() : s.handledUntil },
      );
      if (after) changed.push(after);
    }
    const rows = changed.map((s) => toRow(s, now));
    await terminal.result(rows, () =>
      rows.map((r) => `${tenant}/${r.name}: ${r.paused ? 'paused' : `next ${describeNext(r.next, r.tz)}`}`).join('\n'),
    );
  });
}

/** `-o json`: {tenant, name} */
export async function cancel(given: string, name: string, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal }) => {
    const tenant = await resolveTenant(session, given);
    if (!(await new DrillStore(await session.dcs()).removeSchedule({ tenant, name }))) throw noSchedule(tenant, name);
    await terminal.result({ tenant, name }, () => `${tenant}/${name} is cancelled`);
  });
}

export function noSchedule(tenant: string, name?: string): PgsError {
  return new PgsError('usage', {
    doing: `looking for a schedule of ${tenant}`,
    found: name === undefined ? 'there is none' : `there is none named ${name}`,
    hint: '`pgs drill list` shows them.',
  });
}
