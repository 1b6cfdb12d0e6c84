// `pgs daemon` as a process of a test: what it says, and ways to end it.

import { spawn, type ChildProcess } from 'node:child_process';
import { environment, root, until } from './machines.js';

export interface DaemonProcess {
  pid: number;
  /** Everything that it said so far. */
  log(): string;
  /** Waits until it says something; the deadline is for a broken run. */
  says(text: string, limitMs?: number): Promise<void>;
  signal(name: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL' | 'SIGTERM'): void;
  /** Exit code; null when a signal ended it. */
  ended: Promise<number | null>;
}

/** Started ones that a test did not end; `endDaemons` does. */
const started: ChildProcess[] = [];

export function startDaemon(env: Record<string, string> = {}): DaemonProcess {
  const child = spawn(`${root}bin/pgs`, ['daemon'], {
    env: { ...environment, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  started.push(child);
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  return {
    pid: child.pid!,
    log: () => said,
    says: async (text, limitMs = 90_000) => {
      await until(`the daemon says "${text}"`, () => Promise.resolve(said.includes(text)), limitMs).catch(
        (e: Error) => {
          throw new Error(`${e.message}\n${said}`);
        },
      );
    },
    signal: (name) => process.kill(child.pid!, name),
    ended: new Promise((resolve) => child.on('close', resolve)),
  };
}

/** Ends what still runs, a stopped one too, and waits for it. */
export async function endDaemons(): Promise<void> {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await ended;
  }
}

/** Cron's line of the next whole minute in UTC that is at least `leadMs` away, and how long that is. */
export function nextMinute(leadMs: number): { cron: string; inMs: number } {
  const at = new Date((Math.floor((Date.now() + leadMs) / 60_000) + 1) * 60_000);
  return { cron: `${at.getUTCMinutes()} ${at.getUTCHours()} * * *`, inMs: at.getTime() - Date.now() };
}
