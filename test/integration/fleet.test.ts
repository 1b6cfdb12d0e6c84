// The way of the README, from an empty directory to a cluster, on a sandbox of its own; and that a sandbox is made, repaired and
// removed whole, beside another one that nobody touches.

import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fleetDir, pgs, pgsJson, pgsOk, run, sandboxName, type RunOptions, type Status } from './machines.js';

const name = `${sandboxName}-own`;
const ownDir = fleetDir.replace(/[^/]*$/, name);
let dir: string;
/** In the empty directory, with nothing in the environment that would point to a fleet. */
const here = (): RunOptions => ({ cwd: dir, env: { PGS_CONFIG: '', PGS_SANDBOX: name } });

interface SandboxStatus {
  hosts: { name: string; address: string; power: string; ssh: boolean }[];
  bridge: string;
}

beforeAll(async () => {
  await pgsOk(['sandbox', 'down'], { env: { PGS_SANDBOX: name } });
  dir = await realpath(await mkdtemp(join(tmpdir(), 'pgs-readme-')));
});

afterAll(async () => {
  await pgs(['sandbox', 'down'], { env: { PGS_SANDBOX: name } });
  await rm(dir, { recursive: true, force: true });
});

const sandbox = (words: string[]) => pgsJson<SandboxStatus>(['sandbox', ...words], here());
const stateOf = (directory: string) => readFileSync(join(directory, 'sandbox.json'), 'utf8');

describe('a sandbox', () => {
  test('that is not there is no fleet, and says how to make one', async () => {
    for (const words of [
      ['sandbox', 'status'],
      ['sandbox', 'ssh', 'h1', '--', 'true'],
    ]) {
      const ran = await pgs(words, here());
      expect(ran.code).toBe(2);
      expect(ran.stderr).toMatch(/pgs sandbox up/);
    }
    expect((await pgs(['cluster', 'list'], here())).stderr).toMatch(/`pgs init`.*`pgs sandbox up`/);
  });

  test('comes up with machines that answer, and a second `up` changes nothing', async () => {
    const { hosts } = await sandbox(['up']);
    expect(hosts.map((h) => [h.name, h.power, h.ssh])).toEqual(['h1', 'h2', 'h3'].map((h) => [h, 'on', true]));
    const [state, yaml] = [stateOf(ownDir), readFileSync(join(ownDir, 'pgs.yaml'), 'utf8')];
    const boots = () =>
      Promise.all(
        hosts.map((h) =>
          pgsOk(['sandbox', 'ssh', h.name, '--', 'stat -c %Y /proc/1 && ip -o link show host0'], here()),
        ),
      );
    const before = await boots();
    expect((await sandbox(['up'])).hosts).toEqual(hosts);
    expect(await boots()).toEqual(before);
    expect([stateOf(ownDir), readFileSync(join(ownDir, 'pgs.yaml'), 'utf8')]).toEqual([state, yaml]);
  });

  test('passes on exit codes, input and output of ssh', async () => {
    expect((await pgs(['sandbox', 'ssh', 'h2', '--', 'exit 7'], here())).code).toBe(7);
    expect(await pgsOk(['sandbox', 'ssh', 'h2', '--', 'cat'], { ...here(), input: 'a b\n' })).toBe('a b\n');
    expect(await pgsOk(['sandbox', 'ssh', 'h2', '--', 'echo', '$(id) a  b'], here())).toBe('$(id) a  b\n');
    expect((await pgs(['sandbox', 'ssh', 'h9', '--', 'true'], here())).code).toBe(2);
  });

  test('switches machines off and on, each as often as asked', async () => {
    for (const state of ['off', 'off', 'on', 'on'] as const) {
      await pgsOk(['sandbox', 'power', 'h3', state], here());
      const { hosts } = await sandbox(['status']);
      expect(hosts.find((h) => h.name === 'h3')).toMatchObject({ power: state, ssh: state === 'on' });
      expect(hosts.find((h) => h.name === 'h1')).toMatchObject({ power: 'on', ssh: true });
    }
  });

  test('is repaired by `up` when a machine is off', async () => {
    await pgsOk(['sandbox', 'power', 'h2', 'off'], here());
    expect((await sandbox(['up'])).hosts.every((h) => h.power === 'on' && h.ssh)).toBe(true);
  });
});

describe('the way of the README', () => {
  test('begins with `pgs init`, which writes a fleet and writes nothing over', async () => {
    const { hosts } = await sandbox(['status']);
    const words = [
      'init',
      '--key',
      join(ownDir, 'ssh_key'),
      '--watchdog',
      'off',
      ...hosts.flatMap((h) => ['--host', `${h.name}=${h.address},${h.name}`]),
    ];
    const made = await pgsJson<{ created: string[]; hosts: string[] }>(words, here());
    expect(made.hosts).toEqual(['h1', 'h2', 'h3']);
    expect(made.created).toContain(join(dir, 'pgs.yaml'));
    const [yaml, key] = [
      readFileSync(join(dir, 'pgs.yaml'), 'utf8'),
      readFileSync(join(dir, '.pgs/fleet.key'), 'utf8'),
    ];
    expect(await pgsJson<{ created: string[] }>(words, here())).toMatchObject({ created: [] });
    expect(readFileSync(join(dir, 'pgs.yaml'), 'utf8')).toBe(yaml);
    expect(readFileSync(join(dir, '.pgs/fleet.key'), 'utf8')).toBe(key);
  });

  test('refuses to talk to hosts whose keys nobody has compared', async () => {
    const ran = await pgs(['host', 'check'], here());
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/Run `pgs host trust h1`/);
    const asked = await pgs(['host', 'trust'], here());
    expect(asked.code).toBe(2);
    const own = await pgsOk(['sandbox', 'ssh', 'h1', '--', 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub'], here());
    expect(asked.stderr).toContain(own.split(' ')[1]);
  });

  test('goes on with trust, check and prepare', async () => {
    expect(await pgsOk(['host', 'trust', '--yes'], here())).toMatch(/h3 +trusted/);
    expect(await pgsOk(['host', 'trust'], here())).toMatch(/h3 +known already/);
    await pgsOk(['host', 'prepare'], here());
    expect(await pgsOk(['host', 'prepare'], here())).toMatch(/h2: fit, nothing to do/);
    expect(await pgsOk(['host', 'check'], here())).toMatch(/h1: fit/);
  });

  test('says what is missing when a step was left out', async () => {
    const ran = await pgs(['cluster', 'create', 'demo'], here());
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/pgs dcs (create|status)/);
  });

  test('ends with etcd and a cluster that answers', async () => {
    await pgsOk(['dcs', 'create'], here());
    const status = await pgsJson<Status>(['cluster', 'create', 'demo', '--replicas', '2', '--rto', 'fast'], here());
    expect(status).toMatchObject({ tenant: 'demo', healthy: true, rpo: { verdict: 'holds' } });
    const url = (await pgsOk(['cluster', 'url', '--service', 'primary'], here())).trim();
    expect(await run('psql', ['-XqAt', url, '-c', 'SELECT 41 + 1'])).toMatchObject({ code: 0, stdout: '42\n' });
    await pgsOk(['switchover'], here());
    expect(await run('psql', ['-XqAt', url, '-c', 'SELECT 41 + 1'])).toMatchObject({ code: 0, stdout: '42\n' });
  });
});

describe('sandbox down', () => {
  const traces = async () => {
    const [links, mounts, processes] = await Promise.all([
      run('ip', ['-o', 'link']),
      run('cat', ['/proc/self/mounts']),
      run('ps', ['-eo', 'args']),
    ]);
    const of = (text: string) => text.split('\n').filter((line) => line.includes(name));
    return [
      ...of(links.stdout),
      ...of(mounts.stdout),
      ...of(processes.stdout).filter((line) => !line.startsWith('node')),
    ];
  };

  test('removes everything that `up` made, and nothing else', async () => {
    const other = stateOf(fleetDir);
    expect((await traces()).length).toBeGreaterThan(0);
    await pgsOk(['sandbox', 'down'], here());
    expect(await traces()).toEqual([]);
    expect(existsSync(ownDir)).toBe(false);
    expect(stateOf(fleetDir)).toBe(other);
    const { hosts } = await pgsJson<SandboxStatus>(['sandbox', 'status']);
    expect(hosts.every((h) => h.power === 'on' && h.ssh)).toBe(true);
    expect(existsSync(join(dir, 'pgs.yaml'))).toBe(true);
  });

  test('again does nothing', async () => {
    await pgsOk(['sandbox', 'down'], here());
    expect((await pgs(['sandbox', 'status'], here())).code).toBe(2);
  });
});
