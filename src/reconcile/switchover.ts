// `pgs switchover`: under the tenant's lock, look whether it is safe, change the leader while the poolers hold their clients, then prove
// that nothing was lost and that all members follow.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import { readTenantKeys, type TenantKeys } from '../etcd/tenants.js';
import { findLeader, lagBytes, streamingReplicas, type ReachableMember } from '../patroni/facts.js';
import { chooseSwitchover, type SwitchoverChoice } from '../patroni/switchover.js';
import { runSuperuserSql } from '../postgres/client.js';
import {
  endLongTransactions,
  judgeFork,
  longTransactions,
  parseFork,
  readHistory,
  type ForkVerdict,
} from '../postgres/wal.js';
import type { ProbeResult, WriteProbe } from '../postgres/write-probe.js';
import { withoutHosts } from '../topology/cluster.js';
import { refuseStopped, withTenantLock } from './change.js';
import { withCluster, type OpenCluster } from './cluster.js';
import { describeMove, settleEtcdLeader } from './etcd-leader.js';
import { changeLeader, inPhase, memberOf, type LeaderChange, type PhaseDone } from './leader-change.js';
import type { Session } from './session.js';

/** The shape of `pgs switchover -o json`; fields are added, never renamed or removed. */
export interface SwitchoverResult extends SwitchoverChoice {
  /** From the beginning of the preflight until all members stream and every entry serves the new leader, milliseconds. */
  tookMs: number;
  phases: PhaseDone[];
  /** What a client of pgs's own that wrote through `primary` every 20 ms met; null when it could not write before. */
  probe: ProbeResult | null;
  /** How long the poolers held their clients, milliseconds; null without poolers. */
  heldMs: number | null;
  /** Where the new timeline begins; null when the old leader's shutdown was not seen. */
  fork: ForkVerdict | null;
}

export interface SwitchoverOptions {
  signal: AbortSignal;
  onPhase: (phase: PhaseDone) => void;
  /** End transactions that are open for longer than `longTransactionS` instead of refusing. */
  force: boolean;
}

/** A client's transaction that is open for longer would be felt as a pause by everybody behind the poolers, seconds. */
export const longTransactionS = 5;
const settledLimitMs = 120_000;
const probeReadyMs = 6000;
/** Two loops of preset wide. */
const listedLimitMs = 45_000;

export interface Preflight extends SwitchoverChoice {
  lagBytes: number;
  synchronous: boolean;
  /** Replicas that stream now; as many have to stream afterwards. */
  streaming: string[];
  longTransactions: LongTransaction[];
}

interface LongTransaction {
  pid: number;
  user: string;
  database: string;
  application: string;
  state: string;
  ageS: number;
}

/** @throws PgsError `held`, `endangers`, `usage`, `command-failed`, or `unknown-result` when the end could not be seen in time */
export async function switchOver(
  session: Session,
  tenant: string,
  wish: string | null,
  options: SwitchoverOptions,
): Promise<SwitchoverResult> {
  return withTenantLock(session, tenant, `switchover ${tenant}`, options.signal, async (_lock, signal) => {
    return withCluster(session, tenant, async (open) => {
      return await underLock(session, open, wish, { ...options, signal });
    });
  });
}

async function underLock(
  session: Session,
  open: OpenCluster,
  wish: string | null,
  { signal, onPhase, force }: SwitchoverOptions,
): Promise<SwitchoverResult> {
  const startedMs = performance.now();
  const phases: PhaseDone[] = [];
  const report = { startedMs, onPhase: (phase: PhaseDone) => (phases.push(phase), onPhase(phase)) };
  const { streaming, ...choice } = await inPhase('preflight', report, async () => {
    const found = await preflight(session, open, wish);
    if (found.longTransactions.length > 0) await endOrRefuse(session, open, found, force);
    return { result: { from: found.from, to: found.to, streaming: found.streaming }, note: describePreflight(found) };
  });
  const probe = session.probe(open.cluster, open.secrets);
  let stopped: ProbeResult | null = null;
  const stopProbe = async () => (stopped ??= await probe.stop());
  try {
    const measured = await probe.ready(probeReadyMs).then(
      () => true,
      () => false,
    );
    const whenBusy = force ? 'go on' : 'give up';
    const change = await changeLeader(session, open, choice, { signal, whenBusy, ...report });
    if (change.leader !== choice.to) throw notTheCandidate(open, choice, change);
    const fork = await inPhase('verify', report, () => verify(session, open, change, probe, stopProbe));
    await inPhase('settle', report, async () => {
      const gone = change.silent;
      await waitUntil(`waiting for the members of ${open.cluster.tenant} to follow ${choice.to}`, () =>
        settled(session, open, choice.to, streaming.length, gone),
      );
      const move = await settleEtcdLeader(session, open.cluster.tenant);
      const note = `${describeSettled(open, streaming.length, gone)}${move ? `; ${describeMove(move)}` : ''}`;
      return { result: null, note };
    });
    const result = measured ? await stopProbe() : null;
    return {
      ...choice,
      tookMs: Math.round(performance.now() - startedMs),
      phases,
      probe: result,
      heldMs: change.heldMs,
      fork,
    };
  } finally {
    await stopProbe();
  }
}

/**
 * Whether a switchover is safe now, and who takes over. Changes nothing.
 * @throws PgsError `usage`, `endangers`, or `held` when Patroni has a switchover of somebody else's to do
 */
export async function preflight(session: Session, open: OpenCluster, wish: string | null): Promise<Preflight> {
  const { cluster, patroni } = open;
  const doing = `planning a switchover of ${cluster.tenant}`;
  refuseStopped(open.record.phase, cluster.tenant, doing);
  const [facts, keys] = await Promise.all([patroni.gather(), readKeys(session, open)]);
  const choice = chooseSwitchover(cluster, facts, wish);
  if (keys.failover) {
    throw new PgsError('held', {
      doing,
      found: `Patroni has been asked for one already: ${JSON.stringify(keys.failover)}`,
      hint: 'Wait until it is over, or take it back with `patronictl flush`.',
    });
  }
  await waitUntilListed(session, open, streamingReplicas(facts), choice.to);
  const [leader, candidate] = [choice.from, choice.to].map((name) => facts.members[name] as ReachableMember);
  const host = session.hosts.get(memberOf(open, choice.from).host.name);
  const rows = await runSuperuserSql(
    host,
    cluster,
    'looking for long transactions',
    longTransactions(longTransactionS),
    10_000,
  );
  return {
    ...choice,
    lagBytes: lagBytes(candidate!, leader!) ?? 0,
    synchronous: candidate!.synchronous,
    streaming: streamingReplicas(facts),
    longTransactions: rows
      .split('\n')
      .filter((row) => row !== '')
      .map((row) => JSON.parse(row) as LongTransaction),
  };
}

async function readKeys(session: Session, { cluster }: OpenCluster): Promise<TenantKeys> {
  return readTenantKeys(await session.dcs(), cluster.tenant);
}

/**
 * At RPO 0 Patroni lets only those take over that its list in the DCS names. A standby that has just come back is on it a loop or two
 * after its PostgreSQL is synchronous; until all are, a new leader might have to wait for all of them.
 */
async function waitUntilListed(
  session: Session,
  open: OpenCluster,
  streaming: string[],
  candidate: string,
): Promise<void> {
  if (open.cluster.spec.rpoBytes > 0) return;
  const { quorumCommit } = open.cluster.allocation;
  const deadlineMs = performance.now() + listedLimitMs;
  for (;;) {
    const { synchronous } = await readKeys(session, open);
    const wanted = quorumCommit ? streaming : [candidate];
    if (synchronous === null || wanted.every((name) => synchronous.includes(name))) return;
    if (performance.now() > deadlineMs) {
      if (synchronous.includes(candidate)) return;
      throw new PgsError('endangers', {
        doing: `planning a switchover of ${open.cluster.tenant}`,
        found: `${candidate} is not among the members that Patroni counts as synchronous (${synchronous.join(', ') || 'nobody'})`,
        hint: `Wait until \`pgs cluster status ${open.cluster.tenant}\` shows it as sync standby. Nothing was changed.`,
      });
    }
    await sleep(200);
  }
}

export function describePreflight({ from, to, lagBytes: lag, synchronous, longTransactions: long }: Preflight): string {
  const open =
    long.length > 0
      ? `${long.length} transactions are older than ${longTransactionS} s`
      : `no transaction is older than ${longTransactionS} s`;
  return `${from} hands over to ${to}, which streams, is ${synchronous ? 'synchronous' : 'asynchronous'} and ${lag} bytes behind; ${open}`;
}

async function endOrRefuse(session: Session, open: OpenCluster, found: Preflight, force: boolean): Promise<void> {
  const { cluster } = open;
  if (force) {
    const host = session.hosts.get(memberOf(open, found.from).host.name);
    await runSuperuserSql(host, cluster, 'ending long transactions', endLongTransactions(longTransactionS), 10_000);
    return;
  }
  const lines = found.longTransactions.map(
    (t) =>
      `process ${t.pid}, ${t.user} in ${t.database}${t.application ? ` (${t.application})` : ''}: ${t.state}, open for ${t.ageS} s`,
  );
  throw new PgsError('endangers', {
    doing: `planning a switchover of ${cluster.tenant}`,
    found: [`transactions are open for longer than ${longTransactionS} s:`, ...lines].join('\n'),
    hint: 'Wait for them, or run it with --force, which ends them with an error. Nothing was changed.',
  });
}

function notTheCandidate({ cluster }: OpenCluster, { from, to }: SwitchoverChoice, change: LeaderChange): PgsError {
  return new PgsError('command-failed', {
    doing: `switching ${cluster.tenant} over from ${from} to ${to}`,
    found:
      change.leader === from
        ? `${to} did not take over, and ${from} leads again; the clients go on`
        : `${to} did not take over, and Patroni chose ${change.leader}, which leads now; the clients go on`,
    hint: `See what became of ${to}: \`pgs cluster logs ${cluster.tenant} --member ${to}\`.`,
  });
}

/** Nothing lost: the new timeline begins where the old leader stopped, and what the probe was told is there. */
async function verify(
  session: Session,
  open: OpenCluster,
  { leader, timeline, shutdownBytes }: LeaderChange,
  probe: WriteProbe,
  stopProbe: () => Promise<ProbeResult>,
): Promise<{ result: ForkVerdict | null; note: string }> {
  const host = session.hosts.get(memberOf(open, leader).host.name);
  const history =
    timeline === null
      ? ''
      : await runSuperuserSql(host, open.cluster, 'reading the history', readHistory(timeline), 10_000);
  const fork = parseFork(history);
  const verdict = fork && shutdownBytes !== null ? judgeFork(fork, shutdownBytes) : null;
  // The probe's first write through the new leader ends its gap.
  await probe.wroteAgain(10_000);
  const { lost, acknowledged } = await stopProbe();
  if (verdict === 'before the shutdown' || (lost ?? 0) > 0) {
    throw new PgsError('command-failed', {
      doing: `verifying that ${leader} has everything`,
      found: `${verdict === null ? '' : `timeline ${timeline} begins ${verdict} of the old leader; `}${lost ?? 'unknown'} of ${acknowledged} acknowledged writes are missing`,
      hint: 'This must not happen at RPO 0. Keep the old data directory and report it.',
    });
  }
  const there = lost === null ? 'the own writes could not be looked for' : `all ${acknowledged} own writes are there`;
  return {
    result: verdict,
    note: `${verdict === null ? 'the shutdown was not seen' : `timeline ${timeline} begins ${verdict} of the old leader`}; ${there}`,
  };
}

function describeSettled({ cluster }: OpenCluster, streaming: number, gone: string[]): string {
  const stream =
    streaming === cluster.members.length - 1 ? 'all members stream' : `${streaming} replicas stream, as before`;
  return `${stream}, and ${gone.length === 0 ? 'every entry' : `every entry but ${gone.join(', ')}, which does not answer,`} serves the new leader`;
}

/**
 * What is still missing, null when nothing is.
 * @throws PgsError `command-failed` when the new leader was followed by another one already
 */
async function settled(
  session: Session,
  open: OpenCluster,
  to: string,
  streaming: number,
  gone: string[],
): Promise<string | null> {
  const { cluster, secrets, patroni } = open;
  const facts = await patroni.gather(1500);
  const leader = findLeader(facts)?.name;
  if (leader !== undefined && leader !== to) {
    throw new PgsError('command-failed', {
      doing: `waiting for the members of ${cluster.tenant} to follow ${to}`,
      found: `${to} led and was lost again; Patroni chose ${leader}, which leads now`,
      hint: `See what became of ${to}: \`pgs cluster logs ${cluster.tenant} --member ${to}\`.`,
    });
  }
  const replicas = streamingReplicas(facts).length;
  if (replicas < streaming) return `${replicas} of ${streaming} replicas stream`;
  try {
    return await session.prove(withoutHosts(cluster, gone), secrets);
  } catch (thrown) {
    if (thrown instanceof PgsError) return thrown.message;
    throw thrown;
  }
}

/** Polls until `missing` answers null. */
async function waitUntil(doing: string, missing: () => Promise<string | null>): Promise<void> {
  const deadlineMs = performance.now() + settledLimitMs;
  for (;;) {
    const what = await missing();
    if (what === null) return;
    if (performance.now() > deadlineMs) {
      throw new PgsError('unknown-result', {
        doing,
        found: `not after ${settledLimitMs / 1000} s: ${what}`,
        hint: 'See what keeps them with `pgs cluster status`.',
      });
    }
    await sleep(100);
  }
}
