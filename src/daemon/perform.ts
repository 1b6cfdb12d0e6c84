// Does a task against the real cluster. It never throws: what went wrong is the result.

import { healTenant } from '../../chaos/heal.js';
import { runAndJudge } from '../../chaos/judged-run.js';
import type { Verdict } from '../../chaos/oracle/verdict.js';
import { powerFor } from '../../chaos/power.js';
import type { Scenario } from '../../chaos/scenario.js';
import { scenarioFolders } from '../../chaos/store.js';
import { scenariosOfSuite } from '../../chaos/suites.js';
import { toPgsError } from '../errors.js';
import { outcomeOf, type ScenarioResult } from '../drills/run.js';
import type { Job } from '../drills/schedule.js';
import { openSession, type OpenFleet, type Session } from '../reconcile/session.js';
import { switchOver } from '../reconcile/switchover.js';
import type { Performed, Task } from './world.js';

export interface PerformOptions {
  fleet: OpenFleet;
  powerCommand: string | null;
  signal: AbortSignal;
  say: (line: string) => void;
}

export async function performTask({ tenant, job }: Task, options: PerformOptions): Promise<Performed> {
  // Connections of its own: those of the last run may lead to hosts that were broken since.
  const session = openSession(options.fleet);
  try {
    return job.kind === 'drill'
      ? await drill(session, tenant, job, options)
      : await switchover(session, tenant, job, options);
  } catch (thrown) {
    return { outcome: 'unknown', why: toPgsError(thrown).message, results: [] };
  } finally {
    await session.close();
  }
}

/** What drills of somebody who died left; what could not be healed, or null. */
export async function healLeft(
  tenant: string,
  { fleet, powerCommand, say }: Omit<PerformOptions, 'signal'>,
): Promise<string | null> {
  const session = openSession(fleet);
  try {
    const healed = await healTenant(session, tenant, powerFor(fleet, powerCommand), say);
    const failed = healed.filter((h) => h.failed !== null).map((h) => `${h.host}: ${h.failed}`);
    return failed.length === 0 ? null : failed.join('; ');
  } catch (thrown) {
    return toPgsError(thrown).message;
  } finally {
    await session.close();
  }
}

type DrillJob = Extract<Job, { kind: 'drill' }>;

async function drill(session: Session, tenant: string, job: DrillJob, options: PerformOptions): Promise<Performed> {
  const { signal } = options;
  const scenarios = await scenariosOfSuite(job.suite, scenarioFolders(job.folder ?? undefined));
  const results: ScenarioResult[] = [];
  for (const { scenario } of scenarios) {
    if (signal.aborted) break;
    results.push(await one(session, tenant, guarded(scenario, job.outageMaxMs), job, options));
    // A cluster that did not keep its word is not broken again before somebody has looked.
    if (results.at(-1)!.verdict === 'fail') break;
  }
  const bad = results.filter((r) => r.verdict !== 'pass').map((r) => `${r.scenario}: ${r.why ?? r.verdict}`);
  if (signal.aborted) {
    return { outcome: 'interrupted', why: ['it was aborted and healed', ...bad].join('; '), results };
  }
  return { outcome: outcomeOf(results), why: bad.length === 0 ? null : bad.join('; '), results };
}

/** By itself it goes no further than the schedule allows: not longer without writes, and never on with a second member gone. */
export function guarded(scenario: Scenario, outageMaxMs: number): Scenario {
  const { abort } = scenario;
  return {
    ...scenario,
    abort: {
      'write-outage': Math.min(abort['write-outage'], outageMaxMs),
      'members-lost': Math.min(abort['members-lost'], 1),
    },
  };
}

async function one(
  session: Session,
  tenant: string,
  scenario: Scenario,
  job: DrillJob,
  { fleet, powerCommand, signal, say }: PerformOptions,
): Promise<ScenarioResult> {
  const started = new Date().toISOString();
  let folder: string | null = null;
  try {
    const verdict = await runAndJudge(session, {
      ...{ scenario, tenant, signal },
      round: 1,
      seed: Date.now() % 1_000_000,
      accepted: job.consent === null ? [] : [job.consent],
      power: powerFor(fleet, powerCommand),
      onFolder: (path) => (folder = path),
      onTick: () => undefined,
      onLine: say,
    });
    return resultOf(verdict, started, new Date().toISOString());
  } catch (thrown) {
    const error = toPgsError(thrown);
    const verdict = error.code === 'unfit' ? 'skipped' : 'unknown';
    return { ...nothing(scenario.name, started), verdict, folder, why: error.details.found.replaceAll('\n', '; ') };
  }
}

function nothing(scenario: string, started: string) {
  return {
    ...{ scenario, started },
    ended: new Date().toISOString(),
    rtoMs: null,
    predictedRtoMs: null,
    ackedLost: null,
    dualWritableMs: null,
    errors: null,
  };
}

export function resultOf(verdict: Verdict & { folder: string }, started: string, ended: string): ScenarioResult {
  const bad = verdict.checks.filter((c) => c.result !== 'pass');
  const worst = bad.filter((c) => c.result === verdict.verdict);
  return {
    scenario: verdict.scenario,
    verdict: verdict.verdict,
    rtoMs: verdict.rtoMs === null ? null : Math.round(verdict.rtoMs),
    predictedRtoMs: verdict.predictedRtoMs === null ? null : Math.round(verdict.predictedRtoMs),
    ackedLost: verdict.ackedLost,
    dualWritableMs: Math.round(verdict.dualWritableMs),
    errors: Object.values(verdict.errors).reduce((sum, n) => sum + n, 0),
    ...{ started, ended },
    folder: verdict.folder,
    why: worst.length === 0 ? null : worst.map((c) => `${c.name}: ${c.found}`).join('; '),
  };
}

async function switchover(
  session: Session,
  tenant: string,
  job: Extract<Job, { kind: 'switchover' }>,
  { signal, say }: PerformOptions,
): Promise<Performed> {
  const started = new Date().toISOString();
  const base = () => nothing('switchover', started);
  try {
    const done = await switchOver(session, tenant, job.to, {
      signal,
      force: job.force,
      onPhase: (phase) => say(`${phase.phase}: ${phase.note}`),
    });
    const errors = Object.values(done.probe?.errors ?? {}).reduce((sum, n) => sum + n, 0);
    const measured = {
      rtoMs: done.probe?.writeGapMs == null ? null : Math.round(done.probe.writeGapMs),
      ackedLost: done.probe?.lost ?? null,
      errors: done.probe === null ? null : errors,
    };
    return {
      outcome: 'pass',
      why: null,
      results: [{ ...base(), ...measured, verdict: 'pass', folder: null, why: null }],
    };
  } catch (thrown) {
    const { code, message: why } = toPgsError(thrown);
    const verdict = code === 'unknown-result' ? 'unknown' : 'fail';
    return { outcome: verdict, why, results: [{ ...base(), verdict, folder: null, why }] };
  }
}
