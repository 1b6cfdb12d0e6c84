import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Inventory } from '../../../src/inventory/inventory.js';
import { parseInventory } from '../../../src/inventory/parse.js';
import { findHostKeys, fingerprint, type HostKey } from '../../../src/host/known-hosts.js';
import { scanHostKeys, trustHosts, type TrustProposal } from '../../../src/host/trust.js';
import { PgsError } from '../../../src/errors.js';

const key = (n: number): HostKey => ({ type: 'ssh-ed25519', key: Buffer.from(`key ${n}`).toString('base64') });
const rsa: HostKey = { type: 'ssh-rsa', key: Buffer.from('rsa key').toString('base64') };

describe('trusting hosts', () => {
  let dir: string;
  let inventory: Inventory;
  /** What each host shows; an error stands for one that does not answer. */
  let shown: Record<string, HostKey[] | PgsError>;
  let proposals: TrustProposal[];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'pgs-trust-'));
    const hosts = [1, 2, 3].map((n) => `  h${n}: { address: 10.0.0.${n} }`).join('\n');
    inventory = parseInventory(`fleet: main\nhosts:\n${hosts}\nssh: { port: 2222 }\n`, join(dir, 'pgs.yaml'));
    shown = { h1: [key(1)], h2: [key(2)], h3: [key(3)] };
    proposals = [];
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const known = () => readFileSync(inventory.ssh.knownHostsPath, 'utf8');
  const trust = (names: string[], answer = true, replace = false) =>
    trustHosts(inventory, names, {
      replace,
      confirm: (proposal) => {
        proposals.push(proposal);
        return Promise.resolve(answer);
      },
      scan: ({ name }) => {
        const keys = shown[name]!;
        return keys instanceof Error ? Promise.reject(keys) : Promise.resolve(keys);
      },
    });

  test('shows fingerprints, writes what was confirmed, and asks no second time', async () => {
    const outcomes = await trust([]);
    expect(outcomes.map(({ host, outcome }) => `${host} ${outcome}`)).toEqual(['h1 added', 'h2 added', 'h3 added']);
    expect(proposals[1]).toMatchObject({
      name: 'h2',
      keys: [{ type: 'ssh-ed25519', fingerprint: fingerprint(key(2)) }],
      replaces: [],
    });
    expect(findHostKeys(known(), '10.0.0.2', 2222)).toEqual([key(2)]);
    const before = known();
    proposals = [];
    expect((await trust(['h2', 'h1'])).map(({ outcome }) => outcome)).toEqual(['already-trusted', 'already-trusted']);
    expect(proposals).toEqual([]);
    expect(known()).toBe(before);
  });

  test('writes nothing when the answer is no', async () => {
    expect(await trust(['h1'], false)).toMatchObject([{ host: 'h1', outcome: 'declined' }]);
    expect(() => known()).toThrow('ENOENT');
  });

  test('refuses a changed key without asking, and takes it only with replace', async () => {
    await trust([]);
    shown.h1 = [key(9)];
    proposals = [];
    const before = known();
    await expect(trust(['h1'])).rejects.toMatchObject({ code: 'unreachable', details: { host: 'h1' } });
    expect(proposals).toEqual([]);
    expect(known()).toBe(before);
    expect(await trust(['h1'], true, true)).toMatchObject([{ outcome: 'replaced' }]);
    expect(proposals).toMatchObject([{ name: 'h1', replaces: [fingerprint(key(1))] }]);
    expect(findHostKeys(known(), '10.0.0.1', 2222)).toEqual([key(9)]);
    expect(findHostKeys(known(), '10.0.0.2', 2222)).toEqual([key(2)]);
  });

  test('refuses a host known by one kind that shows only another, as an impostor would', async () => {
    await trust(['h1']);
    shown.h1 = [rsa];
    await expect(trust(['h1'])).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('asks for a further kind of key beside the known one, and keeps both', async () => {
    await trust(['h1']);
    shown.h1 = [key(1), rsa];
    expect(await trust(['h1'])).toMatchObject([{ outcome: 'added' }]);
    expect(findHostKeys(known(), '10.0.0.1', 2222)).toEqual([key(1), rsa]);
  });

  test('never takes a revoked key', async () => {
    await trust(['h2']);
    writeFileSync(inventory.ssh.knownHostsPath, `@revoked * ${key(1).type} ${key(1).key}\n`);
    await expect(trust(['h1'], true, true)).rejects.toThrow('@revoked');
  });

  test('deals with the other hosts before it reports the one that is down', async () => {
    shown.h1 = new PgsError('unreachable', { doing: 'asking', host: 'h1', found: 'no answer' });
    await expect(trust([])).rejects.toMatchObject({ code: 'unreachable', details: { host: 'h1' } });
    expect(findHostKeys(known(), '10.0.0.3', 2222)).toEqual([key(3)]);
  });

  test('refuses a name that is no host', async () => {
    await expect(trust(['h9'])).rejects.toMatchObject({
      code: 'usage',
      details: { hint: expect.stringContaining('h1, h2, h3') as string },
    });
  });
});

describe('asking a machine for its keys', () => {
  const place = (port: number) => ({ name: 'h1', address: '127.0.0.1', port });

  test('finds every kind that sshd has, and never logs in', async () => {
    const pairs = [ssh2.utils.generateKeyPairSync('ed25519'), ssh2.utils.generateKeyPairSync('ecdsa', { bits: 256 })];
    let logins = 0;
    const server = new ssh2.Server({ hostKeys: pairs.map((pair) => pair.private) }, (client) => {
      client.on('authentication', (context) => {
        logins += 1;
        context.reject();
      });
      client.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const keys = await scanHostKeys(place((server.address() as AddressInfo).port), 5000);
      const expected = pairs.map((pair) => pair.public.split(' ')).map(([type, blob]) => ({ type, key: blob }));
      expect(keys).toEqual(expected);
      expect(logins).toBe(0);
    } finally {
      server.close();
    }
  });

  test('says so when nothing listens, when nothing answers, and when it is no sshd', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const talker = createServer((socket) => socket.resume().end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => talker.listen(0, '127.0.0.1', resolve));
    const port = (server: typeof silent) => (server.address() as AddressInfo).port;
    await expect(scanHostKeys(place(port(silent)), 200)).rejects.toMatchObject({
      code: 'unreachable',
      details: { host: 'h1' },
    });
    await expect(scanHostKeys(place(port(talker)), 2000)).rejects.toMatchObject({ code: 'unreachable' });
    const free = port(talker);
    silent.close();
    await new Promise((resolve) => talker.close(resolve));
    await expect(scanHostKeys(place(free), 2000)).rejects.toThrow('ECONNREFUSED');
  });
});
