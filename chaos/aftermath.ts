// What is looked at after the faults: when the cluster is whole again, the hosts' clocks, and what the components logged.

import { setTimeout as sleep } from 'node:timers/promises';
import { findLeader, judgeRpo, streamingReplicas, type PatroniFacts } from '../src/patroni/facts.js';
import type { OpenCluster } from '../src/reconcile/cluster.js';
import { gatherStatus } from '../src/reconcile/gather-status.js';
import type { Session } from '../src/reconcile/session.js';
import type { Cluster } from '../src/topology/cluster.js';
import { askForLogs, onRunClock, parseLogs } from './component-logs.js';
import type { ClockEvent, LogEvent } from './history.js';
import type { Journal } from './journal.js';
import type { Stage } from './perform.js';
import type { Scenario } from './scenario.js';

/** What is not as it should be of the members. Pure. */
export function missingRedundancy({ spec, members }: Cluster, facts: PatroniFacts): string[] {
  const leader = findLeader(facts);
  if (!leader) return ['no member leads'];
  const streaming = streamingReplicas(facts);
  const away = members.filter((m) => m.name !== leader.name && !streaming.includes(m.name)).map((m) => m.name);
  const rpo = judgeRpo(facts, spec.rpoBytes, spec.durability);
  return [
    ...(away.length > 0 ? [`${away.join(', ')} do not stream`] : []),
    ...(rpo === 'holds' || rpo === 'asynchronous' ? [] : [`RPO 0 does not hold: ${rpo}`]),
    ...(leader.fact.paused ? ['Patroni is paused'] : []),
  ];
}

/** Waits, at most the limit of the scenario and half as much again, and writes down when all was well. */
export async function awaitConvergence(
  { session, open }: Stage,
  scenario: Scenario,
  journal: Journal,
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = journal.now() + scenario.expect['redundancy-within'] * 1.5;
  let missing: string[];
  let facts: PatroniFacts;
  let atMs: number;
  do {
    facts = await open.patroni.gather(1500);
    atMs = journal.now();
    missing = missingRedundancy(open.cluster, facts);
    if (missing.length > 0) await sleep(250, undefined, { signal }).catch(() => undefined);
  } while (missing.length > 0 && journal.now() < deadlineMs && !signal.aborted);
  if (missing.length === 0) missing = await untilServed(session, open, deadlineMs, journal);
  const timeline = findLeader(facts)?.fact.timeline ?? null;
  journal.write({ type: 'converged', atMs: missing.length === 0 ? atMs : null, missing, timeline });
}

/** Routes, fencing, and nothing that differs from the spec: HAProxy may need some checks more than the members. */
async function untilServed(
  session: Session,
  { cluster }: OpenCluster,
  deadlineMs: number,
  journal: Journal,
): Promise<string[]> {
  for (;;) {
    const status = await gatherStatus(session, cluster.tenant).catch(() => null);
    const missing = status
      ? [
          ...status.services
            .filter((s) => s.service === 'primary' || s.service === 'direct')
            .flatMap((s) =>
              Object.entries(s.routes).flatMap(([entry, routed]) =>
                routed?.length === 1 && routed[0] === status.leader
                  ? []
                  : [
                      `${entry} routes ${s.service} to ${routed === null ? 'nobody knows whom' : routed.join(', ') || 'nobody'}`,
                    ],
              ),
            ),
          ...status.drift.map((d) => `differs from the spec: ${d.title}`),
          ...(status.fencing.verdict === 'unknown' ? ['whether it is fenced is not known'] : []),
        ]
      : ['the cluster could not be looked at'];
    if (missing.length === 0 || journal.now() > deadlineMs) return missing;
    await sleep(500);
  }
}

/** How far the hosts' clocks are off this machine's: of a few looks at each the quickest, whose answer is the most exact. */
export async function lookAtClocks(session: Session, hosts: string[], journal: Journal): Promise<ClockEvent[]> {
  return Promise.all(
    hosts.map(async (host) => {
      let best = await lookAtClock(session, host, journal);
      for (let n = 1; n < clockLooks && best.offsetMs !== null; n++) {
        const next = await lookAtClock(session, host, journal);
        if (next.offsetMs !== null && next.uncertaintyMs < best.uncertaintyMs) best = next;
      }
      return best;
    }),
  );
}

const clockLooks = 4;

async function lookAtClock(session: Session, host: string, journal: Journal): Promise<ClockEvent> {
  const [before, beforeMs] = [Date.now(), performance.now()];
  const answer = await session.hosts
    .get(host)
    .run({ argv: ['date', '+%s.%N'], timeoutMs: 5000 })
    .catch(() => null);
  const tookMs = performance.now() - beforeMs;
  const hostMs = answer?.code === 0 ? Number(answer.stdout) * 1000 : null;
  const offsetMs = hostMs === null ? null : Math.round(hostMs - (before + tookMs / 2));
  return { type: 'clock', atMs: journal.now(), host, offsetMs, uncertaintyMs: Math.ceil(tookMs / 2) };
}

/** What the components logged since the journal was begun, on every host that routes to the tenant or has a member of it. */
export async function gatherLogs(
  session: Session,
  { cluster }: OpenCluster,
  journal: Journal,
): Promise<(ClockEvent | LogEvent)[]> {
  const { tenant } = cluster;
  const hosts = [...new Set([...cluster.members.map((m) => m.host.name), ...cluster.entries.map((h) => h.name)])];
  const clocks = await lookAtClocks(session, hosts, journal);
  const read = clocks.map(async ({ host, offsetMs, uncertaintyMs }) => {
    if (offsetMs === null) return [];
    const moment = { runMs: journal.now(), wallMs: Date.now(), offsetMs };
    const answer = await session.hosts
      .get(host)
      .run(askForLogs(tenant, moment.runMs / 1000 + 2))
      .catch(() => null);
    const member = cluster.members.find((m) => m.host.name === host)?.name ?? host;
    return parseLogs(answer?.stdout ?? '', { tenant, member, toRunMs: onRunClock(moment), uncertaintyMs });
  });
  return [...clocks, ...(await Promise.all(read)).flat()];
}
