// A job done while clients write through `primary` of every entry, and what those clients were told.

import { judgeLedger, type LedgerVerdict } from '../../chaos/ledger.js';
import { startWriter } from '../../chaos/writer.js';
import { addresses, pgsJson, psqlOk, serviceConnector, until } from './machines.js';

let nextKey = 1_000_000;

/**
 * Writes with both kinds of client (one stays connected, 50 writes a second; one connects for each write, 10 a second) through each
 * entry while `job` runs, then judges what they were told. The tenant has a table `ledger (key bigint)`. The job begins when all of
 * them write, and counts as done when all of them have gone on after it.
 * @param stay hosts through whose entry a client stays connected; all of them unless said
 */
export async function underLoad(
  tenant: string,
  job: () => Promise<unknown>,
  stay = Object.keys(addresses()),
): Promise<LedgerVerdict> {
  const firstKey = (nextKey += 1_000_000);
  const { ports } = await pgsJson<{ ports: { primary: number } }>(['cluster', 'show', tenant]);
  const writers = Object.entries(addresses()).flatMap(([host, entry], e) =>
    (['session', 'each'] as const).slice(stay.includes(host) ? 0 : 1).map((kind, k) =>
      startWriter({
        connect: serviceConnector(tenant, [entry], ports.primary),
        table: 'ledger',
        intervalMs: kind === 'session' ? 20 : 100,
        kind,
        firstKey: firstKey + (e * 2 + k) * 100_000,
      }),
    ),
  );
  const acknowledged = (since: number[]) =>
    writers.every((w, i) => w.entries.slice(since[i]).filter((e) => e.outcome === 'acknowledged').length > 20);
  await until('the load is running', () => Promise.resolve(acknowledged(writers.map(() => 0))));
  await job();
  const counts = writers.map((w) => w.entries.length);
  await until('writes go on', () => Promise.resolve(acknowledged(counts)));
  const journal = (await Promise.all(writers.map((w) => w.stop()))).flat();
  const rows = await psqlOk(tenant, 'primary', `SELECT key FROM ledger WHERE key >= ${firstKey}`);
  const verdict = judgeLedger(journal, rows.split('\n').map(Number));
  process.stdout.write(
    `longest gap ${verdict.writeGapMs.toFixed(0)} ms, ${JSON.stringify(verdict.errors)} of ${verdict.acknowledged}\n`,
  );
  return verdict;
}

/** What `underLoad` finds where no client felt anything. */
export const unfelt = { lost: [], duplicated: [], risen: [], failed: 0, indeterminate: 0, errors: {} };
