// Acknowledged and lost, refused and there, twice, out of order: what clients were told against what the database kept.

import { judgeLedger, type LedgerVerdict } from '../ledger.js';
import { eventsOf, type History } from '../history.js';
import type { Scenario } from '../scenario.js';
import type { Check } from './verdict.js';

/** Null when the rows were never read. */
export function judgeRows(history: History): LedgerVerdict | null {
  const rows = eventsOf(history, 'rows').at(-1);
  return rows
    ? judgeLedger(
        eventsOf(history, 'write'),
        rows.rows.map(([key]) => key),
      )
    : null;
}

const unread = (name: string): Check => ({ name, result: 'unknown', found: 'what the database kept was not read' });

function none(name: string, keys: number[], all: string): Check {
  return {
    name,
    result: keys.length === 0 ? 'pass' : 'fail',
    found: keys.length === 0 ? all : `${keys.length}: ${firstOf(keys)}`,
  };
}

export function checkLost(rows: LedgerVerdict | null, allowed: Scenario['expect']['lost']): Check {
  const name = 'no acknowledged write is lost';
  if (!rows) return unread(name);
  const { lost, acknowledged } = rows;
  if (allowed === 'any' || lost.length <= allowed) {
    return {
      name,
      result: 'pass',
      found: lost.length === 0 ? `${acknowledged} are there` : `${lost.length} lost, which is allowed`,
    };
  }
  return { name, result: 'fail', found: `${lost.length} of ${acknowledged} are lost: ${firstOf(lost)}` };
}

export function checkRisen(rows: LedgerVerdict | null): Check {
  const name = 'no refused write is there';
  return rows ? none(name, rows.risen, `${rows.failed} were refused`) : unread(name);
}

export function checkDuplicates(rows: LedgerVerdict | null): Check {
  const name = 'no write is there twice';
  return rows ? none(name, rows.duplicated, 'none is') : unread(name);
}

/**
 * A write that was sent after another one was acknowledged has the later transaction id, whoever sent them: ids only grow, over a failover
 * too, since the new leader has replayed those of the old one.
 */
export function checkOrder(history: History): Check {
  const name = 'writes are in the order of their acknowledgement';
  const rows = eventsOf(history, 'rows').at(-1);
  if (!rows) return unread(name);
  const xids = new Map(rows.rows);
  const acked = eventsOf(history, 'write').filter((w) => w.outcome === 'acknowledged' && xids.has(w.key));
  const byEnd = [...acked].sort((a, b) => a.endedMs - b.endedMs);
  let [ended, newest] = [0, 0];
  const wrong = acked
    .sort((a, b) => a.sentMs - b.sentMs)
    .flatMap(({ key, sentMs }) => {
      for (; ended < byEnd.length && byEnd[ended]!.endedMs < sentMs; ended++) {
        newest = Math.max(newest, xids.get(byEnd[ended]!.key)!);
      }
      return xids.get(key)! <= newest ? [key] : [];
    });
  return none(name, wrong, `${acked.length} of all clients`);
}

function firstOf(keys: number[]): string {
  return keys.slice(0, 8).join(', ') + (keys.length > 8 ? ', …' : '');
}
