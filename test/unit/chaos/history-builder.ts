// A recorded run in which all is well, to plant violations in: a leader is killed at 5 s, another one leads from 7 s on.

import type { Event, History, RunEvent } from '../../../chaos/history.js';
import { parseScenario, type Scenario } from '../../../chaos/scenario.js';

export const baseScenario = `
name: planted
title: A planted run
family: postgresql
severity: disruptive
method:
  - fault: kill-postmaster
    on: { role: leader }
expect:
  failover: required
  rto: { within: 4s }
  timelines: 1
  read-outage: 1s
  stale-reads: 1s
  redundancy-within: 10s
`;

export function scenarioOf(yaml = baseScenario): Scenario {
  return parseScenario(yaml, 'planted.yaml');
}

const members = ['acme-1', 'acme-2', 'acme-3'];
const [brokenMs, leadsMs, endMs] = [5000, 7000, 15_000];

type Fact = Extract<Extract<Event, { type: 'member' }>['fact'], { reachable: true }>;

export const fact = (change: Partial<Fact>): Fact => ({
  reachable: true,
  role: 'replica',
  state: 'running',
  streaming: true,
  timeline: 1,
  positionBytes: 1,
  receivedBytes: 1,
  synchronous: true,
  pendingRestart: false,
  paused: false,
  watchdogFailed: false,
  serverVersion: 170_011,
  patroniVersion: '4.0.7',
  postmasterStartedAt: null,
  ...change,
});

/** The run as it is recorded; `change` may add to, take from or replace its events. */
export function recorded(change: (events: Event[]) => Event[] = (e) => e, scenario = scenarioOf()): History {
  const run: RunEvent = {
    type: 'run',
    id: '20261121-000000-planted',
    scenario,
    tenant: 'acme',
    round: 1,
    seed: 1,
    startedAt: '2026-11-21T00:00:00.000Z',
    members: members.map((name, i) => ({ name, host: `h${i + 1}` })),
    synchronous: true,
    fencing: 'not fenced',
    versions: {},
    touched: ['acme'],
    clientLimits: { connectMs: 5000, answerMs: 10_000 },
  };
  const events: Event[] = [
    run,
    {
      type: 'model',
      timing: {} as never,
      predictions: [{ failure: 'crash', what: 'crash', minMs: 100, avgMs: 1000, maxMs: 4000, phases: [] }],
    },
    ...['h1', 'h2', 'h3'].map((host): Event => ({ type: 'clock', atMs: 0, host, offsetMs: 2, uncertaintyMs: 3 })),
    { type: 'phase', atMs: 0, phase: 'steady' },
    { type: 'key', atMs: 10, holder: 'acme-1' },
    ...members.map((member, i): Event => ({
      type: 'member',
      atMs: 20,
      member,
      fact: fact(i === 0 ? { role: 'leader' } : {}),
    })),
    { type: 'phase', atMs: 4000, phase: 'method' },
    ...faults(),
    { type: 'key', atMs: 6000, holder: null },
    { type: 'key', atMs: 6200, holder: 'acme-2' },
    ...writes(),
    ...reads(),
    ...probes(),
    { type: 'converged', atMs: 9000, missing: [], timeline: 2 },
    { type: 'phase', atMs: 12_000, phase: 'cool-down' },
    { type: 'phase', atMs: endMs, phase: 'end' },
  ];
  const rows = events
    .flatMap((e) => (e.type === 'write' && e.outcome === 'acknowledged' ? [e] : []))
    .sort((a, b) => a.endedMs - b.endedMs);
  events.push(
    { type: 'rows', atMs: endMs, rows: rows.map((w, i): [number, number] => [w.key, 1000 + i]) },
    { type: 'end', atMs: endMs },
  );
  const changed = change(events);
  return {
    run: changed.find((e) => e.type === 'run')!,
    model: changed.find((e) => e.type === 'model') ?? null,
    events: changed,
  };
}

function faults(): Event[] {
  const of = { type: 'fault' as const, step: 0, fault: 'kill-postmaster', on: ['h1'], note: '' };
  return [
    { ...of, atMs: brokenMs - 50, state: 'armed' },
    { ...of, atMs: brokenMs, state: 'injecting', leadsBoth: false },
    { ...of, atMs: brokenMs + 10, state: 'injected' },
    { ...of, atMs: brokenMs + 100, state: 'effective' },
    { ...of, atMs: brokenMs + 200, state: 'healed' },
  ];
}

/** Every 50 ms by each kind of client; while nobody leads they fail for certain. */
function writes(): Event[] {
  const events: Event[] = [];
  for (const [k, client] of (['session', 'each'] as const).entries()) {
    for (let atMs = 100, n = 1; atMs < endMs; atMs += 50, n++) {
      const down = atMs >= brokenMs && atMs < leadsMs;
      events.push({
        type: 'write',
        client,
        writer: client === 'session' ? n % 3 : 0,
        key: k * 1_000_000 + n,
        sentMs: atMs,
        endedMs: atMs + 5,
        outcome: down ? 'failed' : 'acknowledged',
        error: down ? 'ECONNREFUSED' : null,
        timeline: down ? null : atMs < brokenMs ? 1 : 2,
      });
    }
  }
  return events;
}

function reads(): Event[] {
  const events: Event[] = [];
  for (let atMs = 120, n = 0; atMs < endMs; atMs += 100, n++) {
    const seen = atMs < brokenMs ? 1 + 2 * n : atMs < leadsMs ? 98 : 1 + 2 * n;
    events.push({ type: 'read', sentMs: atMs, endedMs: atMs + 3, seen, error: null });
  }
  return events;
}

function probes(): Event[] {
  return members.flatMap((member) => {
    const events: Event[] = [];
    for (let atMs = 60; atMs < endMs; atMs += 100) {
      const took = (member === 'acme-1' && atMs < brokenMs) || (member === 'acme-2' && atMs >= 6500);
      events.push({ type: 'probe', member, sentMs: atMs, endedMs: atMs + 4, took, error: took ? null : '25006' });
    }
    return events;
  });
}
