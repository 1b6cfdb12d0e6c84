// WAL that only an old leader had, from what Patroni and pg_rewind logged before they took it away.

import { eventsOf, type History } from '../history.js';

const local = /Local timeline=(\d+) lsn=([0-9A-F]+\/[0-9A-F]+)/;
const diverged = /servers diverged at WAL location ([0-9A-F]+\/[0-9A-F]+) on timeline (\d+)/;

export interface LostWal {
  bytes: number;
  /**
   * Not the bytes but at most as many: the old leader had to recover from its crash first, which with archiving on fills its last segment up,
   * and where its own records ended within that is nowhere to be read.
   */
  atMost: boolean;
}

/** Offset of the first record of a segment: a checkpoint there is all that the segment has. */
const firstRecord = 0x28;
/** The smallest segment; all are multiples of it. */
const segmentMin = 2 ** 20;

/** Bytes after the fork, over all members that were rewound; null when none was. */
export function walLost(history: History): LostWal | null {
  const lines = eventsOf(history, 'log');
  const losses = history.run.members.flatMap(({ name }) => {
    const own = lines.filter((l) => l.member === name);
    return own.flatMap((line, i): LostWal[] => {
      const fork = diverged.exec(line.line);
      if (!fork) return [];
      const last = own
        .slice(0, i)
        .map((l) => local.exec(l.line))
        .filter((m) => m !== null)
        .at(-1);
      if (!last) return [];
      const end = lsnBytes(last[2]!);
      const atMost = end % segmentMin === firstRecord;
      return [{ bytes: Math.max(0, end - (atMost ? firstRecord : 0) - lsnBytes(fork[1]!)), atMost }];
    });
  });
  if (losses.length === 0) return null;
  return { bytes: losses.reduce((sum, l) => sum + l.bytes, 0), atMost: losses.some((l) => l.atMost) };
}

export function lsnBytes(lsn: string): number {
  const [high, low] = lsn.split('/').map((part) => Number.parseInt(part, 16));
  return high! * 2 ** 32 + low!;
}
