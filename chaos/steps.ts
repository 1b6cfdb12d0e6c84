// The method of a scenario: each step at its time, its hosts chosen at that moment, its undo armed, its fault injected, its effect looked
// for, and healed after its time.

import { setTimeout as sleep } from 'node:timers/promises';
import { runChecked } from '../src/host/command.js';
import { PgsError, toPgsError } from '../src/errors.js';
import { armUndo, undoAfterMs, undoNow } from './arm.js';
import type { FaultPlan, Ground } from './faults/fault.js';
import { faultNamed } from './faults/catalogue.js';
import type { FaultEvent } from './history.js';
import type { Journal } from './journal.js';
import { awaitEffects, endHeld, lookBefore, perform, type Stage } from './perform.js';
import { hostNeeds } from './preflight.js';
import { gatherScene } from './preflight-facts.js';
import type { Scenario, Step } from './scenario.js';
import { chooseHosts, leaderHost, type Scene } from './targets.js';

export interface MethodContext {
  /** Its signal ends waiting; heals are done all the same. */
  stage: Stage;
  scenario: Scenario;
  runId: string;
  journal: Journal;
  random: () => number;
  onLine: (line: string) => void;
}

/** Every step is over, healed or failed, when this returns. @throws the first error of a step */
export async function performMethod(context: MethodContext): Promise<void> {
  const { journal, scenario, random } = context;
  const beganMs = journal.now();
  const running: Promise<void>[] = [];
  let before: Promise<unknown> = Promise.resolve();
  for (const [i, step] of scenario.method.entries()) {
    // Decided in the order of the method, whatever runs beside what.
    const lateMs = random() * step.jitter;
    const earlier = before;
    const wait = async () => {
      if (step.after === undefined) return pause(context, beganMs + step.at + lateMs - journal.now());
      await earlier;
      return pause(context, step.after + lateMs);
    };
    const done = wait().then(() => performStep(context, i, step));
    before = done.catch(() => undefined);
    running.push(done);
  }
  const results = await Promise.allSettled(running);
  const failed = results.find((r) => r.status === 'rejected');
  if (failed) throw failed.reason;
}

async function pause({ stage }: MethodContext, ms: number): Promise<void> {
  await sleep(Math.max(0, ms), undefined, { signal: stage.signal });
}

async function performStep(context: MethodContext, index: number, step: Step): Promise<void> {
  const { stage, journal, onLine } = context;
  stage.signal.throwIfAborted();
  const scene = await gatherScene(stage.session, stage.open, hostNeeds(context.scenario));
  const id = `${context.runId}-${index}`;
  const ground = groundOf(context, scene, id, step);
  const fault = faultNamed(step.fault);
  const plan = fault.plan(ground, step.arguments, step.for);
  if (plan.inject.length === 0) {
    const found = `nobody is ${step.on.role} at this moment, or it is not for pgs to break`;
    throw new PgsError('unfit', { doing: `injecting ${step.fault}`, found });
  }
  const on = ground.hosts.map((h) => h.name);
  const note = (state: FaultEvent['state'], text = '', more: Partial<FaultEvent> = {}) => {
    journal.write({
      type: 'fault',
      atMs: journal.now(),
      step: index,
      fault: step.fault,
      state,
      on,
      note: text,
      ...more,
    });
    if (state !== 'armed') onLine(`${step.fault} on ${on.join(', ')}: ${state}${text ? ` (${text})` : ''}`);
  };
  const disarm = await arm(context, id, plan, step);
  note('armed');
  try {
    const looked = await lookBefore(stage.session, plan.effects);
    // Only what is as wide as a host takes its etcd along.
    const wide = fault.scope === 'host' && ground.hosts.some((h) => h.name === ground.leader?.name);
    const leadsBoth = wide && ground.leader?.name === scene.etcdLeader;
    note('injecting', '', { leadsBoth });
    const until = journal.now() + step.for;
    for (const act of plan.inject) await perform(stage, act);
    note('injected');
    const missing = await awaitEffects(stage.session, plan.effects, looked);
    if (missing.length === 0) note('effective', plan.effects.map((e) => e.what).join('; '));
    else note('ineffective', missing.map((e) => `${e.host}: not seen that ${e.what}`).join('; '));
    await pause(context, until - journal.now());
  } catch (thrown) {
    if (!stage.signal.aborted) note('failed', toPgsError(thrown).message);
    throw thrown;
  } finally {
    note('healing');
    await endHeld(stage);
    const left = await healStep(context, id, plan);
    disarm();
    note(left === null ? 'healed' : 'failed', left ?? '');
  }
}

function groundOf({ stage, scenario, random }: MethodContext, scene: Scene, id: string, step: Step): Ground {
  const { inventory } = stage.session;
  const { etcd } = inventory;
  return {
    id,
    cluster: stage.open.cluster,
    fleet: inventory.hosts,
    etcd:
      etcd.kind === 'fleet'
        ? { hosts: etcd.members, clientPort: etcd.clientPort, peerPort: etcd.peerPort }
        : { hosts: [], clientPort: 2379, peerPort: 2380 },
    hosts: chooseHosts(scene, step.on.role, step.on.count, random, hostNeeds(scenario)),
    leader: leaderHost(scene),
  };
}

/** On every host that the heal concerns, before anything is broken; a power switch's undo waits here, in a process of its own. */
async function arm({ stage }: MethodContext, id: string, plan: FaultPlan, step: Step): Promise<() => void> {
  const { session, open, power } = stage;
  const { tenant } = open.cluster;
  const hosts = [...new Set(plan.heal.flatMap((act) => (act.kind === 'host' ? [act.host] : [])))];
  await Promise.all(
    hosts.map((host) => {
      const own = plan.heal.filter((act) => act.kind === 'host' && act.host === host);
      return runChecked(session.hosts.get(host), 'arming the undo of a fault', armUndo(id, tenant, own, step.for));
    }),
  );
  const off = plan.heal.flatMap((act) => (act.kind === 'power' ? [act.host] : []));
  const calledOff = off.map((host) => power.armOn(host, step.for + undoAfterMs));
  return () => calledOff.forEach((call) => call());
}

/** Tried again for a while: a host that was without power or cut off takes its time. Null when all is healed. */
async function healStep({ stage }: MethodContext, id: string, plan: FaultPlan): Promise<string | null> {
  const { tenant } = stage.open.cluster;
  const hosts = [...new Set(plan.heal.flatMap((act) => (act.kind === 'host' ? [act.host] : [])))];
  const others = plan.heal.filter((act) => act.kind !== 'host');
  const jobs = [
    ...others.map((act) => () => perform(stage, act)),
    ...hosts.map((host) => async () => {
      await runChecked(stage.session.hosts.get(host), 'undoing a fault', undoNow(tenant, id));
    }),
  ];
  const failures = await Promise.all(jobs.map((job) => again(job, 100_000)));
  return failures.filter((f) => f !== null).join('; ') || null;
}

async function again(job: () => Promise<void>, limitMs: number): Promise<string | null> {
  const deadlineMs = performance.now() + limitMs;
  for (;;) {
    try {
      await job();
      return null;
    } catch (thrown) {
      if (performance.now() > deadlineMs) return toPgsError(thrown).message;
      await sleep(2000);
    }
  }
}
