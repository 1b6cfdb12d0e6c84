// The change of leader itself, as `pgs switchover` and a plan's restart of the leader do it: checkpoint, hold the poolers' clients, ask
// Patroni, let the clients go as soon as somebody leads. Whatever fails after the hold, the clients are let go first.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { findLeader } from '../patroni/facts.js';
import { nameCandidate, readTenantKeys } from '../etcd/tenants.js';
import { runChecked } from '../host/command.js';
import { parsePatroniSettings } from '../topology/live-timing.js';
import { requestSwitchover, wakeUp, type SwitchoverAnswer, type SwitchoverChoice } from '../patroni/switchover.js';
import { runSuperuserSql } from '../postgres/client.js';
import { awaitShutdown, parseLsn, parseStopped, stopLeader } from '../postgres/wal.js';
import { withoutHosts, type PlacedMember } from '../topology/cluster.js';
import type { OpenCluster } from './cluster.js';
import { describePause, pausePoolers, resumePoolers, silentHosts, type PausedPoolers } from './poolers.js';
import type { Session } from './session.js';

/** A phase that is over, for the report. */
export interface PhaseDone {
  phase: string;
  /** From the beginning of the command, milliseconds. */
  startedMs: number;
  tookMs: number;
  note: string;
}

export interface LeaderChangeOptions {
  /** Looked at until Patroni is asked; after that there is no way back and no reason to stop. */
  signal: AbortSignal;
  onPhase: (phase: PhaseDone) => void;
  /** Origin of the phases' times, of performance.now(). */
  startedMs: number;
  /** `give up`: let everybody go and change nothing. `go on`: their transactions end with an error. */
  whenBusy: 'give up' | 'go on';
}

export interface LeaderChange {
  /** Who leads now; the candidate, unless Patroni chose otherwise. */
  leader: string;
  timeline: number | null;
  /** Position of the old leader's shutdown checkpoint; null when it was not seen. */
  shutdownBytes: number | null;
  /** From the first held client to the last let go, milliseconds; null when nobody was held. */
  heldMs: number | null;
  /** Hosts that ssh did not reach before anything was changed; their poolers were left alone. */
  silent: string[];
}

export const checkpointLimitMs = 60_000;
/** From asking Patroni: its stop of the old leader is bounded by primary_stop_timeout, at most ttl (120 s in preset wide). */
export const leaderLimitMs = 150_000;
const lookIntervalMs = 40;
/** Between looks at all members, which say whether somebody else leads. */
const allEveryMs = 1000;
/** From the leader's stop; a candidate on a machine that is not busy leads after 0.3-0.6 s. */
const nameAfterMs = 1000;
/** For the candidate's word on what it has: one that is slow to answer is the one that the old leader may overtake. */
const candidateAnswersMs = 4000;

/** Runs `work` as a phase: it is told when it is over. */
export async function inPhase<T>(
  phase: string,
  { onPhase, startedMs }: Pick<LeaderChangeOptions, 'onPhase' | 'startedMs'>,
  work: () => Promise<{ result: T; note: string }>,
): Promise<T> {
  const beganMs = performance.now();
  const { result, note } = await work();
  const tookMs = Math.round(performance.now() - beganMs);
  onPhase({ phase, startedMs: Math.round(beganMs - startedMs), tookMs, note });
  return result;
}

/**
 * @throws PgsError `endangers` when Patroni refuses or transactions do not end, `command-failed` when Patroni gave up,
 * `unknown-result` when interrupted before Patroni was asked or when nobody was seen to lead in time
 */
export async function changeLeader(
  session: Session,
  open: OpenCluster,
  choice: SwitchoverChoice,
  options: LeaderChangeOptions,
): Promise<LeaderChange> {
  const doing = `switching ${open.cluster.tenant} over from ${choice.from} to ${choice.to}`;
  const work = () => inPhase('switchover', options, () => handLeadOver(session, open, choice));
  const held = await whileHeld(session, open, [choice.from, choice.to], doing, { ...options, work });
  const { change, shutdown } = held.result;
  return { ...change, heldMs: held.heldMs, silent: held.silent, shutdownBytes: await shutdown };
}

/**
 * Does `work` while the poolers hold their clients, who are let go as soon as it is over, or failed. Before, the members that stop by it
 * write a checkpoint.
 * @throws PgsError `endangers` when transactions do not end, `unknown-result` when interrupted before the work; what `work` throws
 */
export async function whileHeld<T>(
  session: Session,
  open: OpenCluster,
  stopping: string[],
  doing: string,
  options: LeaderChangeOptions & { work: () => Promise<T> },
): Promise<{ result: T; heldMs: number | null; silent: string[] }> {
  const { cluster } = open;
  const silent = await inPhase('checkpoint', options, async () => {
    const written = stopping.map((name) => checkpoint(session, open, memberOf(open, name)));
    // Looked for here, where nobody is held: on a host that is lost, ssh waits for longer than clients may be held.
    const entries = cluster.entries.map(({ name }) => name);
    const [result] = await Promise.all([silentHosts(session, entries), ...written]);
    const left = result.length > 0 ? `; ${result.join(', ')} does not answer: nobody is held there` : '';
    return {
      result,
      note: `${stopping.join(' and ')} ${stopping.length > 1 ? 'have' : 'has'} little left to write${left}`,
    };
  });
  const answering = withoutHosts(cluster, silent);
  stopIfAborted(options.signal, doing);
  const heldFromMs = performance.now();
  let paused: PausedPoolers = { id: randomBytes(4).toString('hex'), answers: {} };
  let letGo = false;
  const release = async () => {
    if (letGo) return;
    letGo = true;
    await inPhase('resume', options, async () => {
      const silent = await resumePoolers(session, answering, paused);
      return {
        result: null,
        note: silent.length > 0 ? `${silent.join(', ')} resume by their own timers` : 'clients go on',
      };
    });
  };
  try {
    paused = await inPhase('pause', options, async () => {
      const result = await pausePoolers(session, answering, paused.id);
      return { result, note: describePause(result) };
    });
    refuseBusy(paused, options.whenBusy, doing);
    stopIfAborted(options.signal, doing);
    const result = await options.work();
    const held = Object.values(paused.answers).some((a) => a.state === 'paused');
    if (held) await release();
    return { result, heldMs: held ? Math.round(performance.now() - heldFromMs) : null, silent };
  } finally {
    if (Object.values(paused.answers).some((a) => a.state === 'paused' || a.state === 'failed')) await release();
  }
}

export function memberOf({ cluster }: OpenCluster, name: string): PlacedMember {
  return cluster.members.find((m) => m.name === name)!;
}

function stopIfAborted(signal: AbortSignal, doing: string): void {
  if (!signal.aborted) return;
  if (signal.reason instanceof PgsError) throw signal.reason;
  throw new PgsError('unknown-result', {
    doing,
    found: 'interrupted before Patroni was asked: nothing was changed, and nobody is held',
    hint: 'Run the same command again.',
  });
}

function refuseBusy({ answers }: PausedPoolers, whenBusy: LeaderChangeOptions['whenBusy'], doing: string): void {
  const busy = Object.entries(answers).flatMap(([name, { state }]) => (state === 'busy' ? [name] : []));
  if (busy.length === 0 || whenBusy === 'go on') return;
  throw new PgsError('endangers', {
    doing,
    found: `transactions of clients on ${busy.join(', ')} did not end in time; nothing was changed, and everybody goes on`,
    hint: 'Run it again when they are over, or with --force, which ends them with an error.',
  });
}

/** What is written now need not be written while nobody is served. */
async function checkpoint(session: Session, { cluster }: OpenCluster, member: PlacedMember): Promise<void> {
  const host = session.hosts.get(member.host.name);
  await runSuperuserSql(host, cluster, `writing a checkpoint on ${member.name}`, 'CHECKPOINT', checkpointLimitMs);
}

type Handed = {
  change: { leader: string; timeline: number | null };
  /** Ends soon after, or is null. */
  shutdown: Promise<number | null>;
};

/**
 * Two ways. At RPO 0, where Patroni is told to fail over at once when its PostgreSQL is down (primary_start_timeout 0), PostgreSQL is
 * stopped in order and Patroni does the rest: its own switchover looks at the stopping PostgreSQL every second only, and lets the other
 * replicas sleep for 2 s, on one of which every commit waits (patroni/ha.py, `demote` and `process_unhealthy_cluster`). Measured
 * on one cluster: 3.4 s without writes by Patroni's switchover, a third of that by this. Elsewhere Patroni is asked.
 */
async function handLeadOver(
  session: Session,
  open: OpenCluster,
  choice: SwitchoverChoice,
): Promise<{ result: Handed; note: string }> {
  const { settings } = await readTenantKeys(await session.dcs(), open.cluster.tenant);
  const live = parsePatroniSettings(settings ?? {});
  const stops = settings !== null && live.synchronous && live.primaryStartTimeoutS === 0;
  const result = stops ? await byStopping(session, open, choice, settings) : await byAsking(session, open, choice);
  const { leader } = result.change;
  return { result, note: leader === choice.to ? `${choice.to} leads` : `${leader} leads, not ${choice.to}` };
}

async function byStopping(
  session: Session,
  open: OpenCluster,
  choice: SwitchoverChoice,
  settings: Record<string, unknown>,
): Promise<Handed> {
  const old = memberOf(open, choice.from);
  const doing = `stopping PostgreSQL of ${choice.from}`;
  const stop = stopLeader(open.cluster, choice.to, Number(settings.primary_stop_timeout ?? 30));
  // When the answer is lost, it is stopped or not; Patroni makes the best of either, and who leads is seen by looking.
  const printed = await runChecked(session.hosts.get(old.host.name), doing, stop).catch((thrown: unknown) => {
    if (thrown instanceof PgsError && thrown.code === 'unknown-result') return '';
    throw thrown;
  });
  const shutdown = parseStopped(printed);
  const led = new AbortController();
  const named = sleep(nameAfterMs, undefined, { signal: led.signal }).then(
    () => keepOthersOut(session, open, choice, shutdown),
    () => undefined,
  );
  const woken = wakeUp(open.patroni, old, settings);
  const nothingAsked = Promise.resolve({ outcome: 'failed', said: '' } as const);
  const change = await waitForLeader(open, choice, nothingAsked).finally(() => led.abort());
  await Promise.all([woken, named]);
  return { change, shutdown: Promise.resolve(shutdown) };
}

/**
 * A candidate that takes its time, and has everything, is named to Patroni: otherwise it asks all others first, waits for one that is
 * lost, and the old leader may be back before it. Not at once: with a name given, the other replicas sleep for 2 s (patroni/ha.py,
 * `process_unhealthy_cluster`). One that lacks something, or does not say, is not named: Patroni finds out who has most.
 */
async function keepOthersOut(
  session: Session,
  open: OpenCluster,
  { from, to }: SwitchoverChoice,
  shutdownBytes: number | null,
): Promise<void> {
  const fact = await open.patroni.member(memberOf(open, to), candidateAnswersMs);
  const has = fact.reachable ? fact.receivedBytes : null;
  if (shutdownBytes === null || has === null || has <= shutdownBytes) return;
  // Not known to be named is as good as not named.
  await nameCandidate(await session.dcs(), open.cluster.tenant, from, to).catch(() => undefined);
}

async function byAsking(session: Session, open: OpenCluster, choice: SwitchoverChoice): Promise<Handed> {
  const old = session.hosts.get(memberOf(open, choice.from).host.name);
  const shutdown = old.run(awaitShutdown(open.cluster, 30)).then(
    ({ code, stdout }) => (code === 0 ? parseLsn(stdout) : null),
    () => null,
  );
  const change = await waitForLeader(open, choice, requestSwitchover(open.patroni, open.cluster, choice));
  return { change, shutdown };
}

/** Who leads after the request: the candidate is asked all the time, the others now and then. */
async function waitForLeader(
  open: OpenCluster,
  { from, to }: SwitchoverChoice,
  requested: Promise<SwitchoverAnswer>,
): Promise<Handed['change']> {
  const { patroni } = open;
  const deadlineMs = performance.now() + leaderLimitMs;
  const candidate = memberOf(open, to);
  let answer: SwitchoverAnswer | 'refused' | null = null;
  requested.then(
    (a) => (answer = a),
    () => (answer = 'refused'),
  );
  let allAtMs = performance.now() + allEveryMs;
  while (performance.now() < deadlineMs) {
    // A slow machine that is asked anew before it has answered has one more handshake to do.
    const fact = await patroni.member(candidate, candidateAnswersMs);
    if (fact.reachable && fact.role === 'leader') return { leader: to, timeline: fact.timeline };
    // Throws Patroni's refusal.
    if (answer === 'refused') await requested;
    if (performance.now() > allAtMs) {
      allAtMs = performance.now() + allEveryMs;
      const leader = findLeader(await patroni.gather(1000));
      // The old leader leads until it steps down; only after Patroni gave up does that mean anything.
      const settled = leader && (leader.name !== from || gaveUp(answer));
      if (settled) return { leader: leader.name, timeline: leader.fact.timeline };
    }
    await sleep(lookIntervalMs);
  }
  throw new PgsError('unknown-result', {
    doing: `waiting for ${to} to lead`,
    found: `no member was seen to lead within ${leaderLimitMs / 1000} s`,
    hint: `Patroni may still finish it: look with \`pgs cluster status ${open.cluster.tenant}\`.`,
  });
}

function gaveUp(answer: SwitchoverAnswer | 'refused' | null): boolean {
  return answer !== null && answer !== 'refused' && answer.outcome === 'failed';
}
