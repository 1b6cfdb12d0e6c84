// Directories of the cache that are being made: named after the process that makes them, so that what a killed one left
// can be told from work under way.

import { readFileSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Path for something that becomes part of the cache by a rename when it is complete. */
export function stagingDirectory(cache: string, what: string): string {
  return join(cache, `.making-${what}.${process.pid}-${processStartTicks(process.pid) ?? 0}`);
}

/** Clock ticks after boot at which a process started; null when there is none of that id. */
export function processStartTicks(pid: number): number | null {
  try {
    // The second field is the program's name in brackets and may hold anything, so count from its end.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
  } catch {
    return null;
  }
}

/** Paths of unfinished directories whose maker is dead. */
export function abandonedStaging(cache: string): string[] {
  return readdirSync(cache).flatMap((name) => {
    const match = /^\.making-.*\.(\d+)-(\d+)$/.exec(name);
    if (!match || processStartTicks(Number(match[1])) === Number(match[2])) return [];
    return [join(cache, name)];
  });
}

/** Removes what killed processes left unfinished, unless something is still mounted in it. */
export async function sweepStaging(cache: string): Promise<void> {
  const mounts = readFileSync('/proc/mounts', 'utf8');
  const paths = abandonedStaging(cache).filter((path) => !mounts.includes(` ${path}/`));
  await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true }).catch(() => undefined)));
}
