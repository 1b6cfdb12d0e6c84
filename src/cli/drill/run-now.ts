// `pgs drill run-now`

import type { Command } from 'commander';
import { liveWorld } from '../../daemon/live-world.js';
import { refuseOwnHost } from '../../daemon/own-host.js';
import { runTask } from '../../daemon/run-task.js';
import type { Task } from '../../daemon/world.js';
import { PgsError } from '../../errors.js';
import { trendsOf } from '../../drills/run.js';
import { DrillStore } from '../../drills/store.js';
import type { Session } from '../../reconcile/session.js';
import { resolveTenant } from '../cluster/tenant.js';
import type { RunNowFlags } from '../commands/drill.js';
import { withSession } from '../context.js';
import { drillJob, noSchedule } from './schedule.js';
import { describeHistory } from './show.js';

/** `-o json`: the `DrillRun` */
export async function runNow(given: string | undefined, flags: RunNowFlags, command: Command): Promise<void> {
  await withSession(command, async ({ session, terminal, signal }) => {
    const tenant = await resolveTenant(session, given);
    refuseOwnHost(session.inventory);
    const task = await taskOf(session, tenant, flags);
    const world = liveWorld(session, await session.dcs(), {
      powerCommand: flags.powerCommand ?? null,
      say: (line) => terminal.progress(line),
    });
    const end = await runTask(world, task, signal);
    if (end.kind === 'wait') {
      throw new PgsError('held', {
        doing: `running a drill of ${tenant}`,
        found: end.why,
        hint: 'Wait until it has ended, then run the command again.',
      });
    }
    await terminal.result(end.run, () => describeHistory(tenant, [end.run], trendsOf([])));
    if (end.run.outcome !== 'pass')
      process.exitCode = end.run.outcome === 'unknown' || end.run.outcome === 'interrupted' ? 4 : 1;
  });
}

async function taskOf(session: Session, tenant: string, flags: RunNowFlags): Promise<Task> {
  const due = new Date();
  if (flags.suite !== undefined) {
    return { tenant, schedule: null, due, job: await drillJob(session, tenant, flags.suite, flags) };
  }
  const schedules = (await new DrillStore(await session.dcs()).listSchedules(tenant)).filter(
    (s) => s.job.kind === 'drill' && (flags.name === undefined || s.name === flags.name),
  );
  const [only, ...others] = schedules;
  if (!only) throw noSchedule(tenant, flags.name);
  if (others.length > 0) {
    throw new PgsError('usage', {
      doing: 'choosing the schedule',
      found: `${tenant} has ${schedules.map((s) => s.name).join(', ')}`,
      hint: 'Say --name.',
    });
  }
  // By hand: the schedule's own next time stands.
  return { tenant, schedule: null, due, job: only.job };
}
