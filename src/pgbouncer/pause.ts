// Holding and releasing the clients of a tenant's poolers, as values. Whoever pauses has armed the undo on the same host before, in the
// same script: a timer that resumes the pooler, so that nobody has to be alive for it.

import type { Command, CommandResult } from '../host/command.js';
import { readTemplate } from '../host/template.js';
import { poolerPort, type Cluster } from '../topology/cluster.js';
import { pauseLimitMs } from '../topology/rto.js';
import { poolerUnit } from './desired.js';

/**
 * From arming to the undo, milliseconds. What is promised is 10 s; the rest is for the timer's accuracy and for RESUME itself.
 */
export const undoAfterMs = 8000;

/** Which pause: names the timer on the hosts, so that two runs never take each other's away. Letters and digits. */
export type PauseId = string;

function timerOf(tenant: string, id: PauseId): string {
  return `pgs-resume-${id}@${tenant}`;
}

function adminArguments({ tenant, osUser, paths, ports }: Cluster, id: PauseId): string[] {
  return [tenant, osUser, paths.run, String(poolerPort(ports, 'primary')), timerOf(tenant, id)];
}

/** Arms the undo, then pauses, and waits for open transactions at most `pauseLimitMs`. */
export function pausePooler(cluster: Cluster, id: PauseId): Command {
  const limits = [poolerUnit(cluster.tenant, 'primary'), String(pauseLimitMs / 1000), String(undoAfterMs / 1000)];
  return {
    argv: [
      ...['sh', '-c', readTemplate('pgbouncer/pause.sh'), 'sh'],
      ...adminArguments(cluster, id),
      ...limits,
      readTemplate('pgbouncer/resume.sh'),
    ],
    timeoutMs: undoAfterMs,
  };
}

/** Resumes and takes the timer away; one that is not paused is left as it is. */
export function resumePooler(cluster: Cluster, id: PauseId): Command {
  return {
    argv: ['sh', '-c', readTemplate('pgbouncer/resume.sh'), 'sh', ...adminArguments(cluster, id)],
    timeoutMs: 15_000,
  };
}

/** Whether the pooler of the writing service holds its clients now. */
export function askPause(cluster: Cluster): Command {
  const place = ['-h', cluster.paths.run, '-p', String(poolerPort(cluster.ports, 'primary')), '-U', 'pgbouncer'];
  return {
    argv: ['runuser', '-u', cluster.osUser, '--', 'psql', '-XqAtw', ...place, '-c', 'SHOW STATE', 'pgbouncer'],
    timeoutMs: 3000,
  };
}

/** Null when the pooler did not answer. */
export function parseHeld({ code, stdout }: CommandResult): boolean | null {
  const answer = code === 0 ? /^paused\|(yes|no)$/m.exec(stdout) : null;
  return answer ? answer[1] === 'yes' : null;
}

/** What an operator types on a host whose pooler nobody lets go. */
export function resumeByHand({ osUser, paths, ports }: Cluster): string {
  const port = poolerPort(ports, 'primary');
  return `runuser -u ${osUser} -- psql -h ${paths.run} -p ${port} -U pgbouncer -c RESUME pgbouncer`;
}

/**
 * `absent`: the tenant has no pooler on this host. `stopped`: it has one that does not run. `busy`: transactions did not end in time,
 * and it goes on. `failed`: it is not known to be paused; the undo is armed if anything was done.
 */
export type PauseState = 'paused' | 'absent' | 'stopped' | 'busy' | 'failed';

export interface PauseAnswer {
  state: PauseState;
  /** What the pooler said; empty when it is paused. */
  said: string;
}

export function parsePause({ code, stdout, stderr }: CommandResult): PauseAnswer {
  const word = stdout.trim();
  const known = (['paused', 'absent', 'stopped', 'busy'] as const).find((state) => state === word);
  if (code === 0 && known) return { state: known, said: '' };
  return { state: 'failed', said: (stderr.trim() || stdout.trim() || `it ended with code ${code}`).slice(0, 500) };
}
