// Holding the clients of all poolers, which run where the members do, while the leader changes. One that cannot be asked holds
// nobody, or is let go by its own timer.

import { setTimeout as sleep } from 'node:timers/promises';
import { PgsError } from '../errors.js';
import {
  askPause,
  parseHeld,
  parsePause,
  pausePooler,
  resumeByHand,
  resumePooler,
  undoAfterMs,
  type PauseAnswer,
  type PauseId,
} from '../pgbouncer/pause.js';
import type { Cluster } from '../topology/cluster.js';
import { pauseLimitMs } from '../topology/rto.js';
import type { Session } from './session.js';

export interface PausedPoolers {
  id: PauseId;
  /** By host. */
  answers: Record<string, PauseAnswer>;
}

/** For a host's answer beyond what its transactions may take. Together they end before the first undo, with time left to switch. */
const answerLimitMs = 2000;

/** Those of the hosts that ssh does not reach within 5 s. */
export async function silentHosts(session: Session, hosts: string[]): Promise<string[]> {
  const asked = hosts.map(async (name) => {
    const answer = await session.hosts
      .get(name)
      .run({ argv: ['true'], timeoutMs: 5000 })
      .catch(() => null);
    return answer ? [] : [name];
  });
  return (await Promise.all(asked)).flat();
}

/** Where the pooler holds its clients now; a host or pooler that does not answer is another matter, and not named. */
export async function gatherHeld(session: Session, cluster: Cluster): Promise<string[]> {
  if (cluster.spec.pool === 'off') return [];
  const asked = cluster.members.map(async ({ host: { name } }) => {
    const answer = await session.hosts
      .get(name)
      .run(askPause(cluster))
      .catch(() => null);
    return answer && parseHeld(answer) ? [name] : [];
  });
  return (await Promise.all(asked)).flat();
}

/** Nothing when nobody is held. */
export function warnOfHeld(cluster: Cluster, hosts: string[]): string[] {
  if (hosts.length === 0) return [];
  return [
    `clients of primary are held: the pooler is paused on ${hosts.join(', ')}\n` +
      `a switchover does this for seconds, and the host lets them go after ${undoAfterMs / 1000} s; ` +
      `if it lasts, run there:\n${resumeByHand(cluster)}`,
  ];
}

/** Every host at once; what fails on one of them is its answer, and one that falls silent now does not keep the others waiting. */
export async function pausePoolers(session: Session, cluster: Cluster, id: PauseId): Promise<PausedPoolers> {
  const limitMs = pauseLimitMs + answerLimitMs;
  const asked = cluster.members.map(async ({ host: { name } }) => {
    const answer = session.hosts
      .get(name)
      .run(pausePooler(cluster, id))
      .then(parsePause, (thrown: unknown): PauseAnswer => {
        if (!(thrown instanceof PgsError)) throw thrown;
        return { state: 'failed', said: thrown.details.found };
      });
    const late: PauseAnswer = { state: 'failed', said: `no answer within ${limitMs / 1000} s` };
    return [name, await Promise.race([answer, sleep(limitMs, late, { ref: false })])] as const;
  });
  return { id, answers: Object.fromEntries(await Promise.all(asked)) };
}

/**
 * Lets everybody go, on the hosts where something may have been paused. Never throws: a host that cannot be asked resumes by
 * its own timer. Returns those.
 */
export async function resumePoolers(session: Session, cluster: Cluster, paused: PausedPoolers): Promise<string[]> {
  const entries = Object.entries(paused.answers).filter(([, { state }]) => state === 'paused' || state === 'failed');
  const asked = entries.map(async ([name]) => {
    const answer = await session.hosts
      .get(name)
      .run(resumePooler(cluster, paused.id))
      .catch(() => null);
    return answer?.code === 0 ? [] : [name];
  });
  return (await Promise.all(asked)).flat();
}

/** "h1, h2; on h3 it does not run", for the report of the phase. */
export function describePause({ answers }: PausedPoolers): string {
  const inState = (state: PauseAnswer['state']) =>
    Object.entries(answers).flatMap(([name, answer]) => (answer.state === state ? [name] : []));
  const parts: string[] = [];
  if (inState('paused').length > 0) parts.push(`clients are held on ${inState('paused').join(', ')}`);
  if (inState('absent').length > 0) parts.push(`no pooler on ${inState('absent').join(', ')}`);
  if (inState('stopped').length > 0) parts.push(`the pooler does not run on ${inState('stopped').join(', ')}`);
  if (inState('busy').length > 0) parts.push(`transactions did not end on ${inState('busy').join(', ')}`);
  for (const [name, { state, said }] of Object.entries(answers)) {
    if (state === 'failed') parts.push(`${name} could not be paused: ${said.split('\n')[0]}`);
  }
  return parts.join('; ');
}
