// Who is told, and that telling never fails, never hangs, and never shows the URL.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { notify } from '../../../src/daemon/notify.js';
import type { DrillRun } from '../../../src/drills/run.js';

const run: DrillRun = {
  version: 1,
  id: '1',
  ...{ tenant: 'acme', schedule: 'weekly', kind: 'drill', what: 'weekly' },
  ...{ due: '', started: '', ended: '', outcome: 'fail', why: '3 writes are lost', results: [], ranOn: 'ops' },
  acknowledged: null,
};
const nobody = { webhook: null, webhookPath: null, command: null };

let server: Server | null = null;
afterEach(() => void server?.close());

/** Answers with a code, and collects what was sent. */
async function listen(code: number): Promise<{ url: string; got: unknown[] }> {
  const got: unknown[] = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      got.push(JSON.parse(body));
      response.writeHead(code).end();
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-token`, got };
}

it('tells nobody where nobody is named', async () => {
  expect(await notify({ fleet: 'lab', notify: nobody }, run)).toEqual([]);
});

it('posts the run, with a line for people', async () => {
  const { url, got } = await listen(204);
  expect(await notify({ fleet: 'lab', notify: { ...nobody, webhook: url } }, run)).toEqual([]);
  expect(got).toEqual([
    {
      fleet: 'lab',
      tenant: 'acme',
      text: 'pgs lab/acme: drill weekly fail: 3 writes are lost (pgs drill ack acme)',
      run: JSON.parse(JSON.stringify(run)) as unknown,
    },
  ]);
});

it('takes the URL from a file, and says what was wrong without showing it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pgs-notify-'));
  const { url, got } = await listen(500);
  writeFileSync(join(directory, 'url'), `${url}\n`);
  const said = await notify({ fleet: 'lab', notify: { ...nobody, webhookPath: join(directory, 'url') } }, run);
  expect(got).toHaveLength(1);
  expect(said).toEqual(['the webhook answered 500']);
  const refused = await notify(
    { fleet: 'lab', notify: { ...nobody, webhook: 'http://127.0.0.1:1/secret-token' } },
    run,
  );
  expect(refused).toHaveLength(1);
  expect(refused.join()).not.toContain('secret-token');
  expect(await notify({ fleet: 'lab', notify: { ...nobody, webhookPath: '/nowhere' } }, run)).toHaveLength(1);
});

it('gives a command JSON on its standard input, each argument as it is', async () => {
  const out = join(mkdtempSync(join(tmpdir(), 'pgs-notify-')), 'with space; $HOME');
  const command = ['sh', '-c', 'cat > "$1"', 'sh', out];
  expect(await notify({ fleet: 'lab', notify: { ...nobody, command } }, run)).toEqual([]);
  expect(JSON.parse(readFileSync(out, 'utf8'))).toMatchObject({ tenant: 'acme', run: { outcome: 'fail' } });
});

it.each([
  ['fails', ['sh', '-c', 'exit 3'], /ended with code 3/],
  ['is not there', ['/nowhere/page'], /could not be run/],
  ['does not read', ['true'], null],
])('survives a command that %s', async (_what, command, said) => {
  const found = await notify({ fleet: 'lab', notify: { ...nobody, command } }, run);
  if (said === null) expect(found).toEqual([]);
  else expect(found.join()).toMatch(said);
});
