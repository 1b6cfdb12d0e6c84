// Our side of an ssh connection against a real server in this process: who is trusted, what a result is, what an error says.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PgsError } from '../../../src/errors.js';
import { gatherHostFacts } from '../../../src/host/gather.js';
import { connectHost, openHosts, type HostPool } from '../../../src/host/ssh-host.js';
import type { SshSettings } from '../../../src/inventory/inventory.js';
import { Secret } from '../../../src/secrets/secret.js';
import { endsAtOnce, startSshServer, type TestServer } from './ssh-server.js';

let server: TestServer;
let dir: string;
let ssh: SshSettings;
let pool: HostPool;
const host = { name: 'h1', address: '127.0.0.1', zone: 'h1' };

beforeAll(async () => {
  server = await startSshServer();
});
afterAll(() => server.close());

beforeEach(() => {
  dir = mkdtempSync(`${tmpdir()}/pgs-ssh-`);
  writeFileSync(`${dir}/key`, server.clientKey, { mode: 0o600 });
  ssh = { user: 'root', port: server.port, keyPath: `${dir}/key`, knownHostsPath: `${dir}/known_hosts` };
  trust(server.hostKey);
  Object.assign(server, { commands: [], connections: 0, channelsMax: 0 });
  pool = openHosts({ hosts: [host], ssh });
});
afterEach(async () => {
  await pool.close();
  rmSync(dir, { recursive: true });
});

function trust(hostKey: string): void {
  writeFileSync(`${dir}/known_hosts`, `[127.0.0.1]:${server.port} ${hostKey}\n`);
}

async function failureOf(promise: Promise<unknown>): Promise<PgsError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(PgsError);
  return error as PgsError;
}

const run = (argv: string[], more: { stdin?: string | Secret; timeoutMs?: number } = {}) =>
  pool.get('h1').run({ argv, timeoutMs: 5_000, ...more });

describe('running a command', () => {
  it('hands arguments over unchanged, whatever is in them', async () => {
    const odd = [`it's`, '"', '$HOME', '`id`', '!', '\\', 'a\nb', '*', '', '{}', '🐘', '; rm -rf /tmp/x'];
    const { stdout } = await run(['printf', '%s|', ...odd]);
    expect(stdout).toBe(`${odd.join('|')}|`);
  });

  it('gives the code, standard output and standard error, and takes a failure as a result', async () => {
    expect(await run(['sh', '-c', 'echo out; echo err >&2; exit 7'])).toEqual({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('feeds some MB and reads them back, characters that span packets whole', async () => {
    const text = 'é🐘x'.repeat(700_000);
    const { stdout } = await run(['cat'], { stdin: new Secret(text) });
    expect(stdout === text).toBe(true);
  });

  it('takes the exit code of a command that does not read its input', async () => {
    expect(await run(['false'], { stdin: 'x'.repeat(3_000_000) })).toMatchObject({ code: 1 });
  });

  it('ends a command on the host at its time limit; the result is unknown', async () => {
    const error = await failureOf(run(['sleep', '20'], { timeoutMs: 300 }));
    expect(error.code).toBe('unknown-result');
    expect(error.details.found).toContain('0.3 s');
  });

  it('calls the result unknown when the connection is lost, and connects again for the next command', async () => {
    const running = run(['sleep', '20'], { timeoutMs: 30_000 });
    await expect.poll(() => server.commands.length).toBe(1);
    server.cut();
    expect((await failureOf(running)).code).toBe('unknown-result');
    expect(await run(['true'])).toMatchObject({ code: 0 });
    expect(server.connections).toBe(2);
  });

  it('shares one connection and stays within the channels that sshd allows', async () => {
    await Promise.all(Array.from({ length: 30 }, () => run(['sleep', '0.02'])));
    expect(server.connections).toBe(1);
    expect(server.channelsMax).toBe(6);
  });

  it('gets the exit code of a command that ends at once', async () => {
    for (let i = 0; i < 20; i++) expect(await run([endsAtOnce])).toMatchObject({ code: 3 });
  });

  it('runs in the C locale whatever the login has', async () => {
    expect((await run(['sh', '-c', 'echo $LC_ALL'])).stdout).toBe('C.UTF-8\n');
  });

  it('streams lines until told to stop', async () => {
    const lines: string[] = [];
    const stop = new AbortController();
    const script = 'echo one; printf "two"; echo; echo bad >&2; while sleep 0.05; do echo more; done';
    const code = await pool.get('h1').stream(
      ['sh', '-c', script],
      (line) => {
        lines.push(line);
        if (lines.length === 5) stop.abort();
      },
      stop.signal,
    );
    expect(code).toBeNull();
    expect(lines.slice(0, 3).sort()).toEqual(['bad', 'one', 'two']);
    expect(await pool.get('h1').stream(['echo', 'no line end'], (line) => lines.push(line))).toBe(0);
    expect(lines.at(-1)).toBe('no line end');
  });
});

describe('connecting', () => {
  const otherKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnEyKsz8H6LwJKTvUUUvwu2Wm8B+YLVnSDVKNUFSWqe';

  it('refuses a host whose key is not known and says how to trust it', async () => {
    rmSync(`${dir}/known_hosts`);
    const error = await failureOf(connectHost(host, ssh));
    expect(error.code).toBe('unreachable');
    expect(error.details.hint).toContain('pgs host trust h1');
  });

  it('refuses a host whose key changed and shows both fingerprints', async () => {
    trust(otherKey);
    const error = await failureOf(connectHost(host, ssh));
    expect(error.code).toBe('unreachable');
    expect(error.details.found.match(/SHA256:[A-Za-z0-9+/]{43}/g)).toHaveLength(2);
    expect(error.details.hint).toContain('pgs host trust');
    expect(server.commands).toEqual([]);
  });

  it('accepts a host that is known by several keys', async () => {
    writeFileSync(
      `${dir}/known_hosts`,
      [otherKey, server.hostKey].map((key) => `[127.0.0.1]:${server.port} ${key}\n`).join(''),
    );
    await (await connectHost(host, ssh)).close();
  });

  it('says whose login is refused with which key', async () => {
    const other = await startSshServer();
    await other.close();
    writeFileSync(`${dir}/key`, other.clientKey);
    const error = await failureOf(connectHost(host, ssh));
    expect(error.details.found).toContain(`does not let root in with ${dir}/key`);
  });

  it.each([
    ['is missing', null, 'cannot be read'],
    ['is damaged', 'not a key', 'damaged or needs a passphrase'],
  ])('names a key file that %s', async (_what, content, found) => {
    if (content === null) rmSync(`${dir}/key`);
    else writeFileSync(`${dir}/key`, content);
    expect((await failureOf(connectHost(host, ssh))).details.found).toContain(found);
  });

  it('says that nothing listens', async () => {
    const closed = await startSshServer();
    await closed.close();
    writeFileSync(`${dir}/known_hosts`, `[127.0.0.1]:${closed.port} ${server.hostKey}\n`);
    const error = await failureOf(connectHost(host, { ...ssh, port: closed.port }));
    expect(error.details.found).toContain('nothing listens');
  });

  it('remembers that it failed: ten steps do not wait ten times', async () => {
    let tries = 0;
    const closing = createServer((socket) => {
      tries++;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await expect.poll(() => closing.address()).not.toBeNull();
    const { port } = closing.address() as AddressInfo;
    writeFileSync(`${dir}/known_hosts`, `[127.0.0.1]:${port} ${server.hostKey}\n`);
    const broken = openHosts({ hosts: [host], ssh: { ...ssh, port } });
    for (let i = 0; i < 10; i++) {
      expect((await failureOf(broken.get('h1').run({ argv: ['true'], timeoutMs: 1_000 }))).code).toBe('unreachable');
    }
    expect(tries).toBe(1);
    await broken.close();
    closing.close();
  });

  it('says that sudo wants a password, before anything is run', async () => {
    const bin = `${dir}/bin`;
    // The server's PATH is ours; a user that is not root gets a sudo that refuses.
    const asUser = openHosts({ hosts: [host], ssh: { ...ssh, user: 'admin' } });
    const path = process.env.PATH;
    mkdirSync(bin);
    writeFileSync(`${bin}/sudo`, '#!/bin/sh\necho "sudo: a password is required" >&2\nexit 1\n', { mode: 0o755 });
    process.env.PATH = `${bin}:${path}`;
    try {
      const error = await failureOf(asUser.get('h1').run({ argv: ['id'], timeoutMs: 1_000 }));
      expect(error.code).toBe('unfit');
      expect(error.details).toMatchObject({ host: 'h1', found: 'sudo: a password is required' });
      expect(error.details.hint).toContain('NOPASSWD');
      expect(server.commands.every((command) => command.startsWith('sudo -n -- '))).toBe(true);
      expect(server.commands.some((command) => command.endsWith(' id'))).toBe(false);
      const facts = await gatherHostFacts(asUser.get('h1'), { users: [], paths: [], units: [] });
      expect(facts).toMatchObject({ reachable: false });
      expect(!facts.reachable && facts.why).toContain('sudo: a password is required');
    } finally {
      process.env.PATH = path;
      await asUser.close();
    }
  });

  it('names the hosts there are when asked for another', () => {
    expect(() => pool.get('h9')).toThrow(/pgs.yaml has no such host/);
  });
});
