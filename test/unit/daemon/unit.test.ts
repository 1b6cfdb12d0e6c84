// The daemon as a service: its unit, and how credentials take the places of the operator's files.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  credentialPlaces,
  credentialsOf,
  openWithCredentials,
  withCredentials,
} from '../../../src/daemon/credentials.js';
import { daemonDirectory } from '../../../src/daemon/granted-files.js';
import { fleetSecretsForDaemon } from '../../../src/drills/daemon-secrets.js';
import { createFleetKey } from '../../../src/secrets/fleet-key.js';
import { writeFleetSecrets } from '../../../src/secrets/fleet-secrets.js';
import { Secret } from '../../../src/secrets/secret.js';
import { allSecretTexts } from '../../../src/secrets/shape.js';
import { fakeFleetSecrets } from '../../fixtures/fleet-secrets.js';
import { initFleet } from '../../../src/fleet/init.js';
import { renderUnit, unitName } from '../../../src/daemon/unit.js';
import type { Inventory } from '../../../src/inventory/inventory.js';
import { inventory } from '../../fixtures/fleet.js';

const withKey: Inventory = { ...inventory, ssh: { ...inventory.ssh, keyPath: '/fleet/.pgs/ssh_key' } };
const external: Inventory = {
  ...withKey,
  notify: { webhook: null, webhookPath: '/fleet/.pgs/url', command: null },
  etcd: {
    kind: 'external',
    endpoints: ['https://10.9.9.9:2379'],
    caPath: '/fleet/ca.crt',
    certPath: null,
    keyPath: null,
    user: 'root',
    passwordPath: '/fleet/password',
  },
};

describe('the unit', () => {
  it('is one that systemd accepts without a word', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'pgs-unit-')), unitName(inventory));
    writeFileSync(path, renderUnit(withKey, '/usr/local/bin/power', '/bin/true'));
    const said = execFileSync('sh', ['-c', 'systemd-analyze verify "$1" 2>&1', 'sh', path], { encoding: 'utf8' });
    expect(said).toBe('');
  });

  it('refuses paths that mean something else to systemd', () => {
    expect(() => renderUnit({ ...withKey, path: '/my fleet/pgs.yaml' }, null)).toThrow(/characters/);
    expect(() => renderUnit({ ...withKey, path: '/fleet/%h/pgs.yaml' }, null)).toThrow(/characters/);
    expect(() => renderUnit(withKey, '/bin/power;reboot')).toThrow(/characters/);
  });
});

describe('credentials', () => {
  it('are all the files that a daemon of the fleet reads', () => {
    const names = (i: Inventory) => credentialsOf(i).map((c) => `${c.name} ${c.path}`);
    expect(names(withKey)).toEqual([
      'pgs.yaml /fleet/pgs.yaml',
      'fleet.key /fleet/.pgs/daemon/fleet.key',
      'fleet-secrets.json /fleet/.pgs/daemon/fleet-secrets.json',
      'known_hosts /fleet/.pgs/known_hosts',
      'ssh.key /fleet/.pgs/daemon/ssh.key',
    ]);
    expect(names(external).slice(5)).toEqual([
      'webhook-url /fleet/.pgs/url',
      'etcd-ca.crt /fleet/ca.crt',
      'etcd-password /fleet/password',
    ]);
  });

  it('take the places of these files, and of no others', () => {
    const there = withCredentials(external, '/run/credentials/d', '/var/lib/d');
    expect(there).toMatchObject({
      path: external.path,
      stateDir: '/var/lib/d',
      ssh: { keyPath: '/run/credentials/d/ssh.key', knownHostsPath: '/run/credentials/d/known_hosts' },
      notify: { webhookPath: '/run/credentials/d/webhook-url' },
      etcd: {
        caPath: '/run/credentials/d/etcd-ca.crt',
        certPath: null,
        passwordPath: '/run/credentials/d/etcd-password',
      },
    });
    expect(withCredentials(withKey, '/c', '/s').notify.webhookPath).toBeNull();
  });

  it('are used only where systemd gave some', () => {
    const directory = mkdtempSync(join(tmpdir(), 'pgs-cred-'));
    expect(credentialPlaces({})).toBeNull();
    expect(credentialPlaces({ CREDENTIALS_DIRECTORY: directory, STATE_DIRECTORY: '/s' })).toBeNull();
    writeFileSync(join(directory, 'pgs.yaml'), 'fleet: x\n');
    expect(credentialPlaces({ CREDENTIALS_DIRECTORY: directory, STATE_DIRECTORY: '/s' })).toEqual({
      directory,
      stateDir: '/s',
    });
  });

  it('open the fleet where the files themselves cannot be read', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'pgs-fleet-'));
    const host = (n: number) => ({ name: `h${n}`, address: `192.0.2.${n}` });
    const ssh = { key: '.pgs/ssh_key' };
    const { inventory: made } = await initFleet({ dir, fleet: 'lab', hosts: [1, 2, 3].map(host), ssh });
    const granted = daemonDirectory(made!.stateDir);
    const { key } = await createFleetKey(granted);
    const client = { certPem: 'certificate', keyPem: new Secret('key') };
    const own = { client, user: 'pgs.daemon', password: new Secret('its own') };
    await writeFleetSecrets(granted, key, fleetSecretsForDaemon(fakeFleetSecrets(), own));
    writeFileSync(join(granted, 'ssh.key'), 'a key\n');
    writeFileSync(join(dir, '.pgs/known_hosts'), '');
    const [directory, stateDir] = ['c', 's'].map((name) => mkdtempSync(join(tmpdir(), `pgs-${name}-`))) as [
      string,
      string,
    ];
    for (const { name, path } of credentialsOf(made!)) {
      writeFileSync(join(directory, name), readFileSync(path));
      // As systemd's ACLs look to stat.
      chmodSync(join(directory, name), 0o440);
    }
    rmSync(dir, { recursive: true });
    const fleet = await openWithCredentials(join(dir, 'pgs.yaml'), { directory, stateDir });
    expect(fleet.inventory).toMatchObject({ fleet: 'lab', path: join(dir, 'pgs.yaml'), stateDir });
    expect(fleet.rights).toBe('daemon');
    expect(fleet.fleetSecrets.etcdLogin).toMatchObject({ user: 'pgs.daemon' });
    expect(allSecretTexts(fleet.fleetSecrets)).not.toContain(fakeFleetSecrets().etcdRootPassword.reveal());
    // Nothing is written: what it has is in memory of systemd's.
    expect(readdirSync(stateDir)).toEqual([]);
  });
});
