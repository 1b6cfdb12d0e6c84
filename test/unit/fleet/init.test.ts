import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { initFleet } from '../../../src/fleet/init.js';
import { editInventory } from '../../../src/inventory/edit.js';
import { loadInventory } from '../../../src/inventory/load.js';
import { loadFleetKey } from '../../../src/secrets/fleet-key.js';
import { loadFleetSecrets } from '../../../src/secrets/fleet-secrets.js';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pgs-init-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const hosts = [1, 2, 3].map((n) => ({ name: `h${n}`, address: `10.0.0.${n}` }));
const all = ['.pgs/.gitignore', '.pgs/fleet.key', '.pgs/fleet-secrets.json', 'pgs.yaml'];
const content = (root: string) => Object.fromEntries(all.map((name) => [name, readFileSync(join(root, name), 'utf8')]));

async function open(root: string) {
  const inventory = await loadInventory(join(root, 'pgs.yaml'));
  return loadFleetSecrets(inventory, await loadFleetKey(inventory.stateDir));
}

test('makes everything that a fleet needs, once', async () => {
  const first = await initFleet({ dir, fleet: 'main', hosts });
  expect(first.created).toEqual(all.map((name) => join(dir, name)));
  expect(first.inventory?.hosts.map((host) => host.name)).toEqual(['h1', 'h2', 'h3']);
  expect(Object.keys((await open(dir)).secrets.hosts)).toEqual(['h1', 'h2', 'h3']);
  expect(readFileSync(join(dir, '.pgs/.gitignore'), 'utf8').split('\n')).toContain('fleet.key');
  expect(statSync(join(dir, '.pgs/fleet.key')).mode & 0o777).toBe(0o600);
  const before = content(dir);
  expect(await initFleet({ dir, fleet: 'other', hosts: [] })).toMatchObject({ created: [] });
  expect(content(dir)).toEqual(before);
});

test('interrupted after any file, a second run makes the rest and changes none that is there', async () => {
  await initFleet({ dir, fleet: 'main', hosts });
  for (let made = 0; made < all.length; made += 1) {
    const broken = join(dir, `broken-${made}`);
    for (const name of all.slice(0, made)) cpSync(join(dir, name), join(broken, name));
    const before = Object.fromEntries(
      all.slice(0, made).map((name) => [name, readFileSync(join(broken, name), 'utf8')]),
    );
    const { created } = await initFleet({ dir: broken, fleet: 'main', hosts });
    expect(created).toEqual(all.slice(made).map((name) => join(broken, name)));
    expect(content(broken)).toMatchObject(before);
    expect((await open(broken)).changed).toBe(false);
  }
});

test('without hosts leaves them to be filled in, and makes their certificates then', async () => {
  expect(await initFleet({ dir, fleet: 'main', hosts: [] })).toMatchObject({ inventory: null });
  await expect(loadInventory(join(dir, 'pgs.yaml'))).rejects.toMatchObject({ code: 'configuration' });
  await expect(initFleet({ dir, hosts: [] })).rejects.toMatchObject({ code: 'configuration' });
});

test('makes certificates for hosts that were added to pgs.yaml', async () => {
  await initFleet({ dir, fleet: 'main', hosts });
  await editInventory(join(dir, 'pgs.yaml'), (document) => document.setIn(['hosts', 'h4'], { address: '10.0.0.4' }));
  expect(await open(dir)).toMatchObject({ changed: true });
  expect(Object.keys((await open(dir)).secrets.hosts)).toContain('h4');
});

test('never makes a new key for secrets that are sealed with a lost one', async () => {
  await initFleet({ dir, fleet: 'main', hosts });
  rmSync(join(dir, '.pgs/fleet.key'));
  await expect(initFleet({ dir, fleet: 'main', hosts })).rejects.toThrow('fleet.key does not exist');
  expect(existsSync(join(dir, '.pgs/fleet.key'))).toBe(false);
});

test.each([
  ['a bad host name', { hosts: [{ name: 'h1; id', address: '10.0.0.1' }, ...hosts] }],
  ['a bad address', { hosts: [{ name: 'h9', address: '$(id)' }, ...hosts] }],
  ['YAML in a zone', { hosts: [{ name: 'h9', address: '10.0.0.9', zone: 'a }\nhosts: {' }, ...hosts] }],
  ['YAML in the user', { hosts, ssh: { user: 'root\npackages: pgdg' } }],
  ['too few hosts', { hosts: hosts.slice(1) }],
  ['a bad fleet name', { hosts, fleet: 'Main' }],
])('writes nothing for %s', async (_, init) => {
  await expect(initFleet({ dir, fleet: 'main', ...init })).rejects.toMatchObject({ name: 'PgsError' });
  expect(readdirSync(dir)).toEqual([]);
});
