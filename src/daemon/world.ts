// What the daemon needs of the world, so that it can be tried with a simulated one.

import type { DrillRun } from '../drills/run.js';
import type { Schedule } from '../drills/schedule.js';
import type { Dcs } from '../etcd/client.js';
import type { Refusal } from './guardrails.js';
import type { DownUnit, WatchFacts, WatchPolicy } from './watch.js';

/** What is to be done, by a schedule or by hand. */
export interface Task {
  tenant: string;
  /** Name of the schedule; null by hand. */
  schedule: string | null;
  job: Schedule['job'];
  due: Date;
}

export type Performed = Pick<DrillRun, 'outcome' | 'why' | 'results'>;

export interface World {
  dcs: Dcs;
  now(): Date;
  /** Ends early, and without an error, when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** What speaks against it now. */
  guard(task: Task): Promise<Refusal[]>;
  /** Does it; aborted, it heals before it returns. Never throws. */
  perform(task: Task, signal: AbortSignal): Promise<Performed>;
  /** Takes away what somebody who died left on the hosts; null, or what could not be healed. */
  heal(tenant: string): Promise<string | null>;
  notify(run: DrillRun): Promise<void>;
  /** Units and keys that are not as they should be; absent: the daemon does not look. */
  watch?: {
    policy: WatchPolicy;
    /** @throws PgsError while etcd does not answer */
    look(): Promise<WatchFacts>;
    /** Null, or why it could not be started. */
    start(down: DownUnit): Promise<string | null>;
  };
  /** A line of the log. */
  say(line: string): void;
  /** This machine, for the records. */
  me: string;
}
