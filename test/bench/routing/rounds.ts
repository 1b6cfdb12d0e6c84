// One round: a system under load, its leader befallen by something, and what its clients were told.

import { mkdirSync, writeFileSync } from 'node:fs';
import type { Fleet } from '../fleet.js';
import { events, type EventName } from './events.js';
import { judgeRound, startLoad, type Journal, type RoundResult } from './load.js';
import type { System, SystemName } from './system.js';

export interface Round extends RoundResult {
  system: SystemName;
  event: EventName;
  round: number;
  /** When the event began. */
  at: string;
  leader: string;
  etcdLeader: string | null;
  newLeader: string | null;
  /** What the command of the event took, milliseconds, and what it said if it failed. */
  commandMs: number;
  commandError: string | null;
  /** Whether every client had writes acknowledged again before a host came back by hand. */
  allClientsWentOn: boolean;
  /** From the event until all three members were in step again; a host that was taken came back meanwhile. */
  wholeAfterMs: number;
}

/** Acknowledgements of each client after which it counts as running. */
const runningAfter = 10;
const outageLimitMs = 150_000;
/** A client that waits on a lost host learns of it by its own limits: 30 s for an answer, then 5 s for each connection. */
const stragglersLimitMs = 60_000;
const wholeLimitMs = 240_000;
/** Writes go on this long before a host that was cut off is let in again. */
const beforeHealingMs = 3000;

export interface Stage {
  fleet: Fleet;
  systems: System[];
  /** 0 up to 1, from the seed. */
  random: () => number;
  progress: (line: string) => void;
  /** Where journals of a round's hosts and clients are kept, for whoever looks for a cause. */
  logs: string;
}

/**
 * The systems that the event befalls: one, or with their leaders on one host all of them at the same moment. Ends when the clients have
 * stopped; what it gives is there when the systems are whole again and their ledgers read, which the next round of another one need not
 * wait for.
 */
export async function playRound(
  stage: Stage,
  systems: System[],
  event: EventName,
  round: number,
  sequence: number,
): Promise<{ results: Promise<Round[]> }> {
  const { fleet } = stage;
  const acts = events[event];
  await untilWhole(systems);
  await untilEtcdWhole(fleet);
  const leader = systems.length === 1 ? await leaderOf(systems[0]!) : await gatherLeaders(systems);
  const etcdLeader = await etcdLeaderOf(fleet);
  await sleep(stage.random() * Math.max(...systems.map((s) => s.periodMs)));
  const loads = systems.map((system) => startLoad((client) => system.connector(client), sequence));
  const began = performance.now();
  const ready = await Promise.all(loads.map((load) => load.acknowledged(runningAfter, began, 30_000)));
  if (!ready.every(Boolean)) {
    await Promise.all(loads.map((load) => load.stop()));
    throw new Error(`not every load runs: ${systems.map((s, i) => `${s.name} ${ready[i]}`).join(', ')}`);
  }

  const at = new Date().toISOString();
  const beganMs = performance.now();
  const commandError = await acts.perform(fleet, systems[0]!, leader).then(
    () => null,
    (thrown: unknown) => String(thrown),
  );
  const doneMs = performance.now();
  const wentOn = await Promise.all(loads.map((load) => load.someAcknowledged(runningAfter, doneMs, outageLimitMs)));
  if (acts.heal) {
    await sleep(beforeHealingMs);
    await acts.heal(fleet, leader);
  }
  const all = await Promise.all(loads.map((load) => load.acknowledged(runningAfter, doneMs, stragglersLimitMs)));
  const [journals] = await Promise.all([Promise.all(loads.map((load) => load.stop())), acts.repair?.(fleet, leader)]);
  const shared = { event, round, at, leader, etcdLeader, commandMs: Math.round(doneMs - beganMs), commandError };
  const judged = Promise.all(
    systems.map(async (system, i) => {
      await untilWhole([system]);
      const wholeAfterMs = Math.round(performance.now() - beganMs);
      const present = await system.keys(loads[i]!.firstKey, loads[i]!.endKey);
      const result: Round = {
        system: system.name,
        ...shared,
        newLeader: await leaderOf(system),
        allClientsWentOn: wentOn[i]! && all[i]!,
        wholeAfterMs,
        ...judgeRound(journals[i]!, present, { beganMs, doneMs }),
      };
      stage.progress(describe(result));
      await keepLogs(stage, system, result, journals[i]!, beganMs);
      return result;
    }),
  );
  if (acts.takesHost) await judged;
  return { results: judged };
}

function describe(r: Round): string {
  const kind = (name: 'session' | 'each') => {
    const { gapMs, worstClientGapMs, errors } = r.kinds[name];
    return `${name} ${(gapMs / 1000).toFixed(2)} s (a client ${(worstClientGapMs / 1000).toFixed(2)}) ${JSON.stringify(errors)}`;
  };
  const etcd = r.leader === r.etcdLeader ? ", etcd's leader too" : '';
  const failed = r.commandError === null ? '' : `, the command failed: ${r.commandError.slice(0, 400)}`;
  return (
    `${r.event} ${r.round} of ${r.system} (${r.leader} to ${r.newLeader ?? '?'}${etcd}): ${kind('session')}, ${kind('each')}, lost ${r.lost}` +
    `, whole after ${(r.wholeAfterMs / 1000).toFixed(1)} s${r.allClientsWentOn ? '' : ', NOT ALL CLIENTS WENT ON'}${failed}`
  );
}

/** All leaders on the host where the guide's is, which can go to its one synchronous standby only; its name. */
async function gatherLeaders(systems: System[]): Promise<string> {
  const host = await leaderOf(systems.find((s) => s.name === 'guide') ?? systems[0]!);
  await Promise.all(
    systems.map(async (system) => {
      if ((await leaderOf(system)) !== host) await system.switchover(host);
    }),
  );
  await untilWhole(systems);
  const leaders = await Promise.all(systems.map(leaderOf));
  if (leaders.some((leader) => leader !== host)) throw new Error(`leaders are on ${leaders.join(', ')}`);
  return host;
}

export async function untilWhole(systems: System[]): Promise<void> {
  const deadlineMs = performance.now() + wholeLimitMs;
  await Promise.all(
    systems.map(async (system) => {
      let found: string | null = '';
      while (found !== null) {
        found = await system.missing().catch(String);
        if (found === null) return;
        if (performance.now() > deadlineMs) throw new Error(`${system.name} does not become whole: ${found}`);
        await sleep(1000);
      }
    }),
  );
}

/**
 * After a host was cut off its etcd may know no leader for a while though all clusters are whole; another host cut off then is two failures.
 */
async function untilEtcdWhole(fleet: Fleet): Promise<void> {
  const deadlineMs = performance.now() + wholeLimitMs;
  for (;;) {
    const seen = await etcdStatus(fleet);
    if (seen?.quorum === 'healthy') return;
    if (performance.now() > deadlineMs) throw new Error(`etcd does not become whole: ${seen?.seen ?? 'no answer'}`);
    await sleep(1000);
  }
}

/** A look may find etcd in the middle of an election. */
async function leaderOf(system: System): Promise<string> {
  const deadlineMs = performance.now() + wholeLimitMs;
  while (performance.now() < deadlineMs) {
    const leader = await system.leader().catch(() => null);
    if (leader !== null) return leader;
    await sleep(500);
  }
  throw new Error(`${system.name} has no leader`);
}

/** Null when it cannot be seen. */
async function etcdStatus(fleet: Fleet): Promise<{ quorum: string; seen: string; leaders: string[] } | null> {
  const ran = await fleet.pgs(['dcs', 'status', '-o', 'json']).catch(() => null);
  return ran && (JSON.parse(ran.stdout) as { quorum: string; seen: string; leaders: string[] });
}

async function etcdLeaderOf(fleet: Fleet): Promise<string | null> {
  return (await etcdStatus(fleet))?.leaders[0] ?? null;
}

async function keepLogs({ fleet, logs }: Stage, system: System, round: Round, journal: Journal, beganMs: number) {
  mkdirSync(logs, { recursive: true });
  const name = `${logs}/${round.event}-${round.round}-${system.name}`;
  const clients = journal.map(({ kind, entries }) => ({
    kind,
    // Key, sent, ended (milliseconds from the event), outcome, error.
    entries: entries.map((e) => [
      e.key,
      Math.round(e.sentMs - beganMs),
      Math.round(e.endedMs - beganMs),
      e.outcome[0],
      e.error,
    ]),
  }));
  writeFileSync(`${name}.json`, JSON.stringify({ round, clients }));
  const since = `@${Math.floor(Date.parse(round.at) / 1000) - 3}`;
  const units = system.units.map((unit) => `-u ${unit}`).join(' ');
  const hosts = Object.keys(fleet.addresses);
  const texts = await Promise.all(
    hosts.map((host) =>
      fleet.on(host, `journalctl --no-pager -o short-precise --since ${since} ${units}`).catch(String),
    ),
  );
  writeFileSync(`${name}.log`, hosts.map((host, i) => `== ${host}\n${texts[i]!}`).join('\n'));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
