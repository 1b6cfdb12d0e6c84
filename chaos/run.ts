// One run of a scenario against a real cluster: preflight, load, faults with their undo armed before, heal always, convergence; all of it
// written down. It judges nothing: that is the oracle's, from what was written.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError, toPgsError } from '../src/errors.js';
import { openCluster } from '../src/reconcile/cluster.js';
import { reportRto } from '../src/reconcile/rto.js';
import type { Session } from '../src/reconcile/session.js';
import { awaitConvergence, gatherLogs, lookAtClocks } from './aftermath.js';
import { healTenant } from './heal.js';
import { openJournal, type Journal } from './journal.js';
import { observe, type Observation } from './observe.js';
import { endHeld, type Stage } from './perform.js';
import type { Power } from './power.js';
import { checkPreflight } from './preflight-facts.js';
import type { Scenario, Severity } from './scenario.js';
import { performMethod, type MethodContext } from './steps.js';
import { seededRandom } from './targets.js';
import {
  answerLimitMs,
  connectLimitMs,
  dropTables,
  makeTables,
  readRows,
  rotating,
  startWorkload,
  type Clients,
  type Connect,
  type Workload,
} from './workload.js';

export interface RunOptions {
  scenario: Scenario;
  tenant: string;
  /** Name of the run, of letters, digits and hyphens. */
  id: string;
  journalPath: string;
  round: number;
  seed: number;
  accepted: Severity[];
  power: Power;
  sandbox: boolean;
  signal: AbortSignal;
  onTick: (tick: Tick) => void;
  onLine: (line: string) => void;
}

/** What a run looks like at a moment, once a second. */
export interface Tick {
  atMs: number;
  phase: string;
  writesPerS: number;
  leader: string | null;
  /** Since the last acknowledged write. */
  silentMs: number;
}

/** @throws PgsError when it may not be run, or could not be begun; once something was broken, the journal has what happened */
export async function runScenario(session: Session, options: RunOptions): Promise<void> {
  const { tenant, scenario, signal } = options;
  const open = await openCluster(session, tenant);
  try {
    const preflight = await checkPreflight(session, open, options);
    const clients = await rotating(open.cluster, open.secrets);
    const direct = clients('direct');
    const rto = await reportRto(session, open);
    await makeTables(direct, options.id);
    const journal = openJournal(options.journalPath);
    const over = new AbortController();
    try {
      const { id, round, seed } = options;
      journal.write({
        type: 'run',
        ...{ id, scenario, tenant, round, seed },
        startedAt: new Date().toISOString(),
        members: open.cluster.members.map((m) => ({ name: m.name, host: m.host.name })),
        synchronous: rto.timing.patroni.synchronous,
        fencing: preflight.fencing,
        versions: preflight.versions,
        touched: preflight.touched,
        clientLimits: { connectMs: connectLimitMs, answerMs: answerLimitMs },
      });
      journal.write({ type: 'model', timing: rto.timing, predictions: rto.predictions });
      const hosts = open.cluster.members.map((m) => m.host.name);
      for (const clock of await lookAtClocks(session, hosts, journal)) journal.write(clock);
      const stage: Stage = { session, open, power: options.power, direct, held: [], signal };
      await underLoad(stage, clients, options, journal, over.signal);
      await finish(stage, options, journal);
    } finally {
      over.abort();
      await journal.close();
      await dropTables(direct).catch(() => options.onLine(`the schema pgs_chaos of ${tenant} could not be removed`));
    }
  } finally {
    open.patroni.close();
  }
}

/** @param over - aborted when the run is over: whoever gave its signal may live on, and the run must not hear of it any more */
async function underLoad(
  stage: Stage,
  clients: Clients,
  options: RunOptions,
  journal: Journal,
  over: AbortSignal,
): Promise<void> {
  const { scenario, onLine } = options;
  const observation = await observe(stage.session, stage.open, journal);
  const entries = stage.open.cluster.entries.length;
  const workload = startWorkload(clients, entries, scenario.workload, journal, options.id);
  const abort = new AbortController();
  const signal = AbortSignal.any([options.signal, abort.signal]);
  let phase = '';
  const enter = (next: 'steady' | 'method' | 'heal' | 'converge' | 'cool-down' | 'end') => {
    phase = next;
    journal.write({ type: 'phase', atMs: journal.now(), phase: next });
  };
  const give = (why: string) => {
    if (signal.aborted) return;
    journal.write({ type: 'abort', atMs: journal.now(), why });
    onLine(`aborting: ${why}`);
    abort.abort();
  };
  options.signal.addEventListener('abort', () => give('it was interrupted'), { once: true, signal: over });
  const ticks = watch({ workload, observation, journal, scenario, phase: () => phase, onTick: options.onTick, give });
  try {
    enter('steady');
    await steady(workload, scenario, journal, signal);
    enter('method');
    const context: MethodContext = {
      stage: { ...stage, signal },
      scenario,
      runId: options.id,
      journal,
      random: seededRandom(options.seed),
      onLine,
    };
    await performMethod(context);
  } catch (thrown) {
    give(toPgsError(thrown).message);
  } finally {
    enter('heal');
    await endHeld(stage);
    await healTenant(stage.session, stage.open.cluster.tenant, options.power, onLine);
    enter('converge');
    await awaitConvergence(stage, scenario, journal, options.signal);
    enter('cool-down');
    if (!signal.aborted) await sleep(scenario.workload.after, undefined, { signal }).catch(() => undefined);
    clearInterval(ticks);
    await workload.stop();
    await observation.stop();
    enter('end');
  }
}

/** Load before anything is broken: without it nothing that follows would mean anything. */
async function steady(workload: Workload, scenario: Scenario, journal: Journal, signal: AbortSignal): Promise<void> {
  const enough = 20;
  const deadlineMs = journal.now() + 20_000;
  while (workload.acknowledged().count < enough) {
    signal.throwIfAborted();
    if (journal.now() > deadlineMs) {
      const found = `${workload.acknowledged().count} writes were acknowledged within 20 s`;
      throw new PgsError('unfit', { doing: 'putting load on the cluster', found });
    }
    await sleep(50);
  }
  await sleep(scenario.workload.before, undefined, { signal });
}

interface Watched {
  workload: Workload;
  observation: Observation;
  journal: Journal;
  scenario: Scenario;
  phase: () => string;
  onTick: RunOptions['onTick'];
  give: (why: string) => void;
}

function watch({ workload, observation, journal, scenario, phase, onTick, give }: Watched): NodeJS.Timeout {
  let before = { count: 0, atMs: journal.now() };
  return setInterval(() => {
    const { count, lastMs } = workload.acknowledged();
    const atMs = journal.now();
    const silentMs = atMs - (lastMs ?? 0);
    const facts = Object.entries(observation.facts());
    const leader = facts.find(([, f]) => f.reachable && f.role === 'leader')?.[0] ?? null;
    onTick({
      atMs,
      phase: phase(),
      writesPerS: ((count - before.count) * 1000) / (atMs - before.atMs),
      leader,
      silentMs,
    });
    before = { count, atMs };
    if (phase() !== 'method') return;
    if (silentMs > scenario.abort['write-outage'])
      give(`no write was acknowledged for ${Math.round(silentMs / 1000)} s`);
    const lost = facts.filter(([, f]) => !f.reachable).length;
    if (lost > scenario.abort['members-lost']) give(`${lost} members do not answer`);
  }, 1000);
}

/** What the database has, and what the members' logs say of it. */
async function finish(stage: Stage, options: RunOptions, journal: Journal): Promise<void> {
  const rows = await rowsAtLast(stage.direct, options.id);
  if (rows) journal.write({ type: 'rows', atMs: journal.now(), rows });
  else options.onLine('what the database kept could not be read');
  for (const event of await gatherLogs(stage.session, stage.open, journal)) journal.write(event);
  journal.write({ type: 'end', atMs: journal.now() });
}

async function rowsAtLast(direct: Connect, id: string): Promise<[number, number][] | null> {
  for (let attempt = 0; attempt < 6; attempt++) {
    try {
      return await readRows(direct, id);
    } catch {
      await sleep(2000);
    }
  }
  return null;
}
