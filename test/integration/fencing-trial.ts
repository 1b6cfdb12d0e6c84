// One firing of a watchdog under load: who took writes, what was lost, and what `pgs watchdog verify` says of it.

import { mkdirSync, writeFileSync } from 'node:fs';
import { judgeLedger, type LedgerVerdict } from '../../chaos/ledger.js';
import { startWriter } from '../../chaos/writer.js';
import type { VerifyResult } from '../../src/reconcile/verify-fencing.js';
import { addresses, entriesInTurn, pgsJson, pgsOk, psqlOk, root, statusOf, until } from './machines.js';
import { overlapMs, probeWrites, type Writable } from './write-probe.js';

export interface Trial {
  result: VerifyResult;
  writers: Writable[];
  /** How long two members took writes side by side, milliseconds. */
  overlapMs: number;
  ledger: LedgerVerdict;
}

/** Fires the watchdog of the leader while clients write and every member's own port is probed. */
export async function fireUnderLoad(tenant: string, member: string): Promise<Trial> {
  await psqlOk(tenant, 'primary', 'CREATE TABLE IF NOT EXISTS ledger (key bigint); TRUNCATE ledger');
  const port = (await statusOf(tenant)).services.find((s) => s.service === 'direct')!.port;
  const entries = Object.values(addresses());
  const writer = startWriter({
    connect: entriesInTurn(tenant, entries, port),
    table: 'ledger',
    intervalMs: 50,
    // A connection for each write is more than an emulated machine bears: its PostgreSQL and Patroni would have no turn.
    kind: 'session',
    firstKey: 1,
  });
  const probe = await probeWrites(tenant);
  try {
    await until('the leader takes writes', () => Promise.resolve(probe.writers().some((w) => w.member === member)));
    probe.forget();
    const result = await pgsJson<VerifyResult>(['watchdog', 'verify', tenant, '--member', member]);
    const writers = probe.writers();
    const journal = await writer.stop();
    const rows = await psqlOk(tenant, 'primary', 'SELECT key FROM ledger');
    return {
      result,
      writers,
      overlapMs: overlapMs(writers),
      ledger: judgeLedger(journal, rows.split('\n').map(Number)),
    };
  } finally {
    await probe.stop();
    await writer.stop();
  }
}

/** Keeps a trial, dated, for the record, in a file of that name. */
export function recordTrial(name: string, trial: unknown): void {
  const directory = `${root}test/results/`;
  mkdirSync(directory, { recursive: true });
  const at = new Date().toISOString();
  const text = JSON.stringify({ name, at, ...(trial as object) }, null, 2);
  writeFileSync(`${directory}${name}-${at.slice(0, 16).replace(/:/g, '')}.json`, `${text}\n`);
}

/** The member on a host leads; it is made to. */
export async function letLead(tenant: string, host: string): Promise<string> {
  const status = await statusOf(tenant);
  const member = status.members.find((m) => m.host === host)!.name;
  if (status.leader !== member) await pgsOk(['switchover', tenant, '--to', member]);
  return member;
}
