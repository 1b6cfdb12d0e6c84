// The journal of a run: lines appended to a file as things happen, so that what was seen survives whatever becomes of pgs.

import { createWriteStream } from 'node:fs';
import type { Event } from './history.js';

export interface Journal {
  /** Milliseconds since the journal was begun, monotonic. */
  now(): number;
  /** A moment of `performance.now()` on the journal's clock. */
  at(performanceMs: number): number;
  write(event: Event): void;
  /** Everything that was written is in the file. @throws the first error of writing */
  close(): Promise<void>;
}

/** Lines wait for this time at the most, so that a write to the file is not a part of every write to the database; milliseconds. */
const waitMs = 100;

/** @param path - of a file that is not there yet */
export function openJournal(path: string): Journal {
  const beganMs = performance.now();
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  let lines = '';
  let waiting: NodeJS.Timeout | null = null;
  const flush = () => {
    waiting = null;
    if (lines !== '' && !file.destroyed && !file.writableEnded) file.write(lines);
    lines = '';
  };
  let failure: Error | null = null;
  file.on('error', (error) => (failure ??= error));
  const at = (ms: number) => Math.round((ms - beganMs) * 10) / 10;
  return {
    now: () => at(performance.now()),
    at,
    write: (event) => {
      lines += `${JSON.stringify(event)}\n`;
      waiting ??= setTimeout(flush, waitMs);
    },
    close: async () => {
      if (waiting) clearTimeout(waiting);
      flush();
      if (!file.destroyed) await new Promise<void>((resolve) => file.end(() => resolve()));
      if (failure) throw failure;
    },
  };
}
