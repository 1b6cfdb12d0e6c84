import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderAptCacheConfiguration } from '../../../src/sandbox/apt-cache.js';
import { machineFiles, renderKnownHosts, type MachineIdentity } from '../../../src/sandbox/identity.js';
import { layerPath } from '../../../src/sandbox/layer.js';
import { forgetIdentity } from '../../../src/sandbox/machine.js';
import { sandboxPaths } from '../../../src/sandbox/paths.js';
import { abandonedStaging, processStartTicks, stagingDirectory } from '../../../src/sandbox/staging.js';
import type { SandboxState } from '../../../src/sandbox/state.js';

const identity: MachineIdentity = {
  name: 'h2',
  address: '10.213.9.12',
  subnet: '10.213.9.0/24',
  machineId: '0123456789abcdef0123456789abcdef',
  hostKey: { private: 'PRIVATE HALF\n', public: 'ssh-ed25519 AAAAhost h2\n' },
  authorizedKey: 'ssh-ed25519 AAAAoperator pgs sandbox x\n',
  peers: [
    { name: 'h1', address: '10.213.9.11' },
    { name: 'h2', address: '10.213.9.12' },
  ],
  aptProxy: 'http://10.213.9.1:3142',
};

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'pgs-sandbox-test-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function put(root: string, path: string, content: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

describe('the identity of a machine', () => {
  it('keeps the private key to root', () => {
    const files = machineFiles(identity).filter((file) => file.content.includes('PRIVATE'));
    expect(files.map((file) => file.mode)).toEqual([0o600]);
  });

  it('has no way out of the sandbox but the package cache', () => {
    const text = machineFiles(identity)
      .map((file) => file.content)
      .join('');
    expect(text).toContain('Address=10.213.9.12/24');
    expect(text).not.toMatch(/^\s*(Gateway|DNS)=/m);
  });

  it('is gone from what becomes a layer, and nothing else is', () => {
    for (const file of machineFiles(identity)) put(directory, file.path, file.content);
    put(directory, '/var/log/journal/0123/system.journal', 'logged');
    put(directory, '/usr/bin/patroni', 'program');
    put(directory, '/etc/ssh/sshd_config', 'PermitRootLogin no');
    forgetIdentity(directory);
    const left = readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length));
    expect(left.sort()).toEqual(['/etc/ssh/sshd_config', '/usr/bin/patroni']);
  });

  it('is known beforehand: host keys by address, without comments', () => {
    const line = renderKnownHosts([{ address: '10.213.9.12', publicKey: 'ssh-ed25519 AAAAhost root@h2\n' }]);
    expect(line).toBe('10.213.9.12 ssh-ed25519 AAAAhost\n');
  });
});

describe('the cache', () => {
  it('has another layer for another base and for other packages', () => {
    const paths = [
      layerPath('/c', '/c/base-1', 'a'),
      layerPath('/c', '/c/base-2', 'a'),
      layerPath('/c', '/c/base-1', 'b'),
    ];
    expect(new Set(paths).size).toBe(3);
    expect(layerPath('/c', '/c/base-1', 'a')).toBe(paths[0]);
  });

  it('takes for abandoned what a dead process was making, and nothing of a living one', () => {
    const mine = stagingDirectory(directory, 'base-trixie');
    mkdirSync(mine);
    const reused = join(directory, `.making-base.${process.pid}-${(processStartTicks(process.pid) ?? 0) + 1}`);
    mkdirSync(reused);
    mkdirSync(join(directory, '.making-prepared.4194999-1'));
    mkdirSync(join(directory, 'base-trixie-0123'));
    expect(abandonedStaging(directory).sort()).toEqual([join(directory, '.making-prepared.4194999-1'), reused].sort());
  });

  it('reads the start of a process whose name has brackets and blanks in it', () => {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    expect(processStartTicks(process.pid)).toBe(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]));
    expect(processStartTicks(2 ** 22 + 1)).toBeNull();
  });
});

it('lets machines reach packages only by the bridge, and through to PGDG only', () => {
  const state: SandboxState = {
    version: 1,
    name: 'x',
    release: 'trixie',
    bridge: 'pgs-x',
    bridgeMac: '02:00:00:00:00:01',
    subnet: '10.213.9.0/24',
    layers: null,
    hosts: [],
  };
  const text = renderAptCacheConfiguration({ paths: sandboxPaths('x', '/r'), state }, '/cache/apt');
  expect(text).toMatch(/^BindAddress: 10\.213\.9\.1$/m);
  const through = /^PassThroughPattern: (.*)$/m.exec(text)?.[1] ?? '';
  expect(new RegExp(through).test('apt.postgresql.org:443')).toBe(true);
  expect(new RegExp(through).test('aptXpostgresql.org:443')).toBe(false);
  expect(new RegExp(through).test('example.com:443')).toBe(false);
});
