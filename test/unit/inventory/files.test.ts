import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { editInventory } from '../../../src/inventory/edit.js';
import { findInventoryPath, loadInventory } from '../../../src/inventory/load.js';
import { parseInventory } from '../../../src/inventory/parse.js';
import { renderInventory } from '../../../src/inventory/render.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pgs-inventory-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const hosts = [1, 2, 3].map((n) => ({ name: `h${n}`, address: `10.0.0.${n}` }));

describe('finding pgs.yaml', () => {
  const put = (path: string) => {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), '');
    return join(dir, path);
  };
  const find = (explicit: string | undefined, env: NodeJS.ProcessEnv, cwd = 'a/b') => {
    mkdirSync(join(dir, cwd), { recursive: true });
    return findInventoryPath(explicit, env, join(dir, cwd), join(dir, 'sandboxes'));
  };

  test('takes --config, then PGS_CONFIG, then the nearest upwards, then the sandbox', async () => {
    const sandbox = put('sandboxes/pgs/pgs.yaml');
    expect(await find(undefined, {})).toEqual({ path: sandbox, source: 'sandbox' });
    const above = put('pgs.yaml');
    expect(await find(undefined, {})).toEqual({ path: above, source: 'directory' });
    const nearer = put('a/pgs.yaml');
    expect(await find(undefined, {})).toEqual({ path: nearer, source: 'directory' });
    expect(await find(undefined, { PGS_CONFIG: '/x/pgs.yaml' })).toEqual({
      path: '/x/pgs.yaml',
      source: 'environment',
    });
    expect(await find('c.yaml', { PGS_CONFIG: '/x' })).toEqual({ path: join(dir, 'a/b/c.yaml'), source: 'option' });
  });

  test('looks at the sandbox that PGS_SANDBOX names, and at no other place', async () => {
    const other = put('sandboxes/two/pgs.yaml');
    expect(await find(undefined, { PGS_SANDBOX: 'two' })).toEqual({ path: other, source: 'sandbox' });
    await expect(find(undefined, { PGS_SANDBOX: '../two' })).rejects.toMatchObject({ code: 'usage' });
  });

  test('says how to make one where there is none', async () => {
    await expect(find(undefined, {})).rejects.toMatchObject({
      code: 'configuration',
      details: { hint: expect.stringContaining('pgs init') as string },
    });
    await expect(loadInventory(join(dir, 'none.yaml'))).rejects.toMatchObject({ code: 'configuration' });
  });
});

describe('a new pgs.yaml', () => {
  test('is read back as what was asked for', () => {
    const text = renderInventory({
      fleet: 'main',
      domain: 'db.example.com',
      hosts: [
        { name: 'on', address: '10.0.0.1', zone: '7' },
        { name: 'h2', address: 'fd00::2', zone: 'off' },
        hosts[2]!,
      ],
      ssh: { user: 'admin', port: 2222, key: '~/.ssh/a, b: {c}', knownHosts: 'known #1' },
      packages: 'pgdg',
      defaults: { watchdog: 'off', postgres: 17, rto: 'fast', rpoBytes: 1048576 },
      notes: { watchdog: 'containers share\nwatchdog: required\nthe kernel' },
    });
    expect(parseInventory(text, '/f/pgs.yaml', '/home/op')).toMatchObject({
      fleet: 'main',
      domain: 'db.example.com',
      hosts: [
        { name: 'on', address: '10.0.0.1', zone: '7' },
        { name: 'h2', address: 'fd00::2', zone: 'off' },
        { name: 'h3', address: '10.0.0.3', zone: 'h3' },
      ],
      ssh: { user: 'admin', port: 2222, keyPath: '/home/op/.ssh/a, b: {c}', knownHostsPath: '/f/known #1' },
      packages: 'pgdg',
      defaults: { watchdog: 'off', postgres: 17, rto: 'fast', rpoBytes: 1048576 },
    });
    expect(text).toContain('\n  watchdog: off\n');
    expect(text).toContain('# containers share watchdog: required the kernel');
  });

  test('without hosts is valid as soon as the examples in it are uncommented', () => {
    const text = renderInventory({ fleet: 'main', hosts: [] });
    expect(() => parseInventory(text, '/f/pgs.yaml')).toThrow('hosts');
    const filled = text.replace(/^#( {2}h\d: )/gm, '$1');
    expect(parseInventory(filled, '/f/pgs.yaml').hosts.map((host) => host.name)).toEqual(['h1', 'h2', 'h3']);
  });

  test('has examples in its comments that are right', () => {
    const text = renderInventory({ fleet: 'main', hosts });
    const optional = text.replace(/^( *)# (domain|port|key|known_hosts|members|postgres):/gm, '$1$2:');
    expect(parseInventory(optional, '/f/pgs.yaml', '/h')).toEqual({
      ...parseInventory(text, '/f/pgs.yaml', '/h'),
      ssh: { user: 'root', port: 22, keyPath: '/h/.ssh/id_ed25519', knownHostsPath: '/f/.pgs/known_hosts' },
      defaults: { ...parseInventory(text, '/f/pgs.yaml').defaults, postgres: 17 },
    });
  });
});

describe('editing pgs.yaml', () => {
  const write = () => {
    const path = join(dir, 'pgs.yaml');
    writeFileSync(path, renderInventory({ fleet: 'main', hosts }));
    return path;
  };

  test('keeps every comment and the mode, and leaves nothing else behind', async () => {
    const path = write();
    chmodSync(path, 0o640);
    const before = readFileSync(path, 'utf8');
    const edited = await editInventory(path, (document) => {
      document.setIn(['hosts', 'h4'], document.createNode({ address: '10.0.0.4' }, { flow: true }));
    });
    expect(edited.hosts.map((host) => host.name)).toEqual(['h1', 'h2', 'h3', 'h4']);
    const lines = readFileSync(path, 'utf8').split('\n');
    expect(lines.filter((line) => !before.split('\n').includes(line))).toEqual(['  h4: { address: 10.0.0.4 }']);
    expect(before.split('\n').filter((line) => !lines.includes(line))).toEqual([]);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(readdirSync(dir)).toEqual(['pgs.yaml']);
  });

  test('leaves the file as it was if the result would be invalid', async () => {
    const path = write();
    const before = readFileSync(path, 'utf8');
    await expect(editInventory(path, (document) => document.deleteIn(['hosts', 'h1']))).rejects.toMatchObject({
      code: 'configuration',
    });
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(readdirSync(dir)).toEqual(['pgs.yaml']);
  });

  test('does not write when nothing changes, and keeps a symbolic link', async () => {
    const path = write();
    const link = join(dir, 'link.yaml');
    symlinkSync(path, link);
    const { mtimeNs, ino } = statSync(path, { bigint: true });
    await editInventory(link, () => undefined);
    expect(statSync(path, { bigint: true })).toMatchObject({ mtimeNs, ino });
    await editInventory(link, (document) => document.set('packages', 'pgdg'));
    expect((await loadInventory(path)).packages).toBe('pgdg');
    expect(
      readdirSync(dir, { withFileTypes: true })
        .find((entry) => entry.name === 'link.yaml')
        ?.isSymbolicLink(),
    ).toBe(true);
  });

  test('by several at once loses no change', async () => {
    const path = write();
    await Promise.all(
      [4, 5, 6, 7].map((n) =>
        editInventory(path, (document) => document.setIn(['hosts', `h${n}`], { address: `10.0.0.${n}` })),
      ),
    );
    expect((await loadInventory(path)).hosts).toHaveLength(7);
  });
});
