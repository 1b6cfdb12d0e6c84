// WAL that only an old leader had, from what Patroni and pg_rewind logged before they took it away.

import { eventsOf, type History } from '../history.js';

const local = /Local timeline=(\d+) lsn=([0-9A-F]+\/[0-9A-F]+)/;
const diverged = /servers diverged at WAL location ([0-9A-F]+\/[0-9A-F]+) on timeline (\d+)/;

/** Bytes after the fork, over all members that were rewound; null when none was. */
export function walLost(history: History): number | null {
  const lines = eventsOf(history, 'log');
  const losses = history.run.members.flatMap(({ name }) => {
    const own = lines.filter((l) => l.member === name);
    return own.flatMap((line, i) => {
      const fork = diverged.exec(line.line);
      if (!fork) return [];
      const last = own
        .slice(0, i)
        .map((l) => local.exec(l.line))
        .filter((m) => m !== null)
        .at(-1);
      return last ? [Math.max(0, lsnBytes(last[2]!) - lsnBytes(fork[1]!))] : [];
    });
  });
  return losses.length > 0 ? losses.reduce((a, b) => a + b, 0) : null;
}

export function lsnBytes(lsn: string): number {
  const [high, low] = lsn.split('/').map((part) => Number.parseInt(part, 16));
  return high! * 2 ** 32 + low!;
}
