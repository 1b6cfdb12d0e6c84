// What is looked at after the faults: when the cluster is whole again, the hosts' clocks, and what the components logged.

import { setTimeout as sleep } from 'node:timers/promises';
import { findLeader, judgeRpo, streamingReplicas, type PatroniFacts } from '../src/patroni/facts.js';
import { patroniUnit } from '../src/patroni/desired.js';
import type { OpenCluster } from '../src/reconcile/cluster.js';
import { gatherStatus } from '../src/reconcile/gather-status.js';
import type { Session } from '../src/reconcile/session.js';
import type { Cluster } from '../src/topology/cluster.js';
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

/** How far the hosts' clocks are off this machine's. */
export async function lookAtClocks(
  session: Session,
  { cluster }: OpenCluster,
  journal: Journal,
): Promise<ClockEvent[]> {
  return Promise.all(
    cluster.members.map(async ({ host }): Promise<ClockEvent> => {
      const [before, beforeMs] = [Date.now(), performance.now()];
      const answer = await session.hosts
        .get(host.name)
        .run({ argv: ['date', '+%s.%N'], timeoutMs: 5000 })
        .catch(() => null);
      const tookMs = performance.now() - beforeMs;
      const hostMs = answer?.code === 0 ? Number(answer.stdout) * 1000 : null;
      const offsetMs = hostMs === null ? null : Math.round(hostMs - (before + tookMs / 2));
      return { type: 'clock', atMs: journal.now(), host: host.name, offsetMs, uncertaintyMs: Math.ceil(tookMs / 2) };
    }),
  );
}

/** Lines of Patroni and PostgreSQL that tell a step of a failover, or what a rewound member had that nobody else did. */
const telling =
  'promot|demot|no longer has the lock|acquired session lock|lock owner|Lock owner|released|rewind|diverged|Local timeline|server process .* was terminated|shut down|not the healthiest|watchdog|failsafe|DCS is not accessible|selected new timeline|crash|terminated by signal';

export async function gatherLogs(session: Session, { cluster }: OpenCluster, journal: Journal): Promise<LogEvent[]> {
  const sinceS = Math.ceil(journal.now() / 1000) + 2;
  const nowMs = journal.now();
  const [wallMs] = [Date.now()];
  const unit = patroniUnit(cluster.tenant);
  const argv = [
    'journalctl',
    '--unit',
    unit,
    '--since',
    `-${sinceS}s`,
    '--grep',
    telling,
    '--output',
    'json',
    '--lines',
    '400',
  ];
  const read = cluster.members.map(async ({ name, host }) => {
    const answer = await session.hosts
      .get(host.name)
      .run({ argv, timeoutMs: 20_000 })
      .catch(() => null);
    return (answer?.stdout ?? '').split('\n').flatMap((line): LogEvent[] => {
      const entry = parseEntry(line);
      return entry
        ? [{ type: 'log', atMs: Math.round(nowMs - (wallMs - entry.wallMs)), member: name, line: entry.text }]
        : [];
    });
  });
  return (await Promise.all(read)).flat();
}

function parseEntry(line: string): { wallMs: number; text: string } | null {
  try {
    const entry = JSON.parse(line) as Record<string, unknown>;
    const { MESSAGE: text, __REALTIME_TIMESTAMP: at } = entry;
    return typeof text === 'string' ? { wallMs: Number(at) / 1000, text: text.slice(0, 500) } : null;
  } catch {
    return null;
  }
}
