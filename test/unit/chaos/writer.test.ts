// What a writer makes of its answers, from a server that speaks just enough of PostgreSQL's protocol.

import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import { openJournal } from '../../../chaos/journal.js';
import type { LedgerEntry } from '../../../chaos/ledger.js';
import { startWriter } from '../../../chaos/writer.js';

const closes: (() => void)[] = [];
afterEach(() => closes.splice(0).forEach((close) => close()));

function message(type: string, ...parts: (string | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const ready = message('Z', 'I');
const column = message('T', [0, 1], 'wal\0', [0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 255, 255, 0, 0]);
const row = (value: string) => message('D', [0, 1, 0, 0, 0, value.length], value);
const done = message('C', 'INSERT 0 1\0');
const refusal = (code: string) => Buffer.concat([message('E', `SERROR\0C${code}\0Mno\0\0`), ready]);
const taken = Buffer.concat([column, row('0000000A0000000000000005'), done, ready]);

/** @param answer - to the nth query, counted from 1 over all connections */
async function serve(answer: (n: number, socket: Socket, text: string) => void): Promise<() => Promise<pg.Client>> {
  let queries = 0;
  const server = createServer((socket) => {
    let greeted = false;
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      if (!greeted) socket.write(Buffer.concat([message('R', [0, 0, 0, 0]), ready]));
      else if (data[0] === 'Q'.charCodeAt(0)) answer(++queries, socket, data.subarray(5, -1).toString());
      greeted = true;
    });
    closes.push(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closes.push(() => server.close());
  return async () => {
    const { port } = server.address() as AddressInfo;
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'app', database: 'app', query_timeout: 100 });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  };
}

/** The first entries of a writer, and the timelines that came with them. */
async function entriesOf(connect: () => Promise<pg.Client>, kind: 'session' | 'each', count: number) {
  const timelines: (number | null)[] = [];
  const writer = await new Promise<ReturnType<typeof startWriter>>((resolve) => {
    const onEntry = (_: LedgerEntry, timeline: number | null) => {
      if (timelines.push(timeline) === count) resolve(started);
    };
    const started = startWriter({ connect, table: 'pgs_chaos.ledger_1', intervalMs: 5, kind, firstKey: 7, onEntry });
  });
  return { entries: (await writer.stop()).slice(0, count), timelines: timelines.slice(0, count) };
}

test('an acknowledged write has its timeline, and its key is in the statement', async () => {
  const texts: string[] = [];
  const connect = await serve((_, socket, text) => {
    texts.push(text);
    socket.write(taken);
  });
  const { entries, timelines } = await entriesOf(connect, 'session', 2);
  expect(entries.map((e) => [e.key, e.outcome, e.error])).toEqual([
    [7, 'acknowledged', null],
    [8, 'acknowledged', null],
  ]);
  expect(timelines).toEqual([10, 10]);
  expect(texts[0]).toContain('INSERT INTO "pgs_chaos"."ledger_1" (key) VALUES (7) RETURNING');
});

test.each(['session', 'each'] as const)(
  '%s: what is refused failed, what broke or is not answered is not known',
  async (kind) => {
    const connect = await serve((n, socket) => {
      if (n === 1) socket.write(refusal('25006'));
      else if (n === 2) socket.write(refusal('57P01'));
      else if (n === 3) socket.destroy();
      else if (n === 4) socket.write(Buffer.concat([column, row('0000000B0000000000000005')]));
      else socket.write(taken);
    });
    const { entries } = await entriesOf(connect, kind, 5);
    const found = Object.fromEntries(entries.map((e) => [e.error ?? 'none', e.outcome]));
    expect(found).toEqual({
      '25006': 'failed',
      '57P01': 'indeterminate',
      'connection lost': 'indeterminate',
      ...(kind === 'session' ? { 'no answer in time': 'indeterminate' } : {}),
      none: 'acknowledged',
    });
  },
);

test('a connection that cannot be made is a write that was never sent', async () => {
  const connect = () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
  const { entries } = await entriesOf(connect, 'each', 1);
  expect(entries[0]).toMatchObject({ outcome: 'failed', error: 'ECONNREFUSED' });
});

test('writers that share their keys never use one twice', async () => {
  const connect = await serve((_, socket) => socket.write(taken));
  let key = 0;
  const writers = [0, 1].map((i) =>
    startWriter({ connect, table: 't', intervalMs: 5, afterMs: i * 2, kind: 'session', firstKey: () => ++key }),
  );
  while (writers.some((w) => w.entries.length < 3)) await new Promise((resolve) => setTimeout(resolve, 5));
  const keys = (await Promise.all(writers.map((w) => w.stop()))).flat().map((e) => e.key);
  expect(new Set(keys).size).toBe(keys.length);
});

test('the journal has every line in its order when it is closed, and none after that', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'pgs-journal-')), 'journal.jsonl');
  const journal = openJournal(path);
  for (let atMs = 0; atMs < 50; atMs++) journal.write({ type: 'end', atMs });
  await journal.close();
  journal.write({ type: 'end', atMs: 50 });
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { atMs: number }).atMs)).toEqual(
    Array.from({ length: 50 }, (_, i) => i),
  );
});

test('the journal is on disk while the run goes on, whatever becomes of pgs', async () => {
  const path = join(mkdtempSync(join(tmpdir(), 'pgs-journal-')), 'journal.jsonl');
  const journal = openJournal(path);
  journal.write({ type: 'end', atMs: 1 });
  const read = () => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  while (!read().endsWith('\n')) await new Promise((resolve) => setTimeout(resolve, 10));
  await journal.close();
});
