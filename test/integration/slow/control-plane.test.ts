// The control plane lost, on real machines: all data of etcd, the operator's machine, and both, while clients write. Every tenant comes
// back under control, no data directory is touched, and the leaders go on.

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { destroyQuietly, fleetDir, onOk, pgs, pgsJson, pgsOk, psqlOk, statusOf, untilHealthy } from '../machines.js';
import { underLoad, unfelt } from '../under-load.js';

const tenant = 'kept';
const neighbour = 'beside';
const hosts = ['h1', 'h2', 'h3'];
const work = mkdtempSync(join(tmpdir(), 'pgs-control-'));
const passphrase = join(work, 'passphrase');

beforeAll(async () => {
  for (const name of [tenant, neighbour]) await pgsOk(['cluster', 'create', name, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
  writeFileSync(passphrase, 'correct horse battery staple\n', { mode: 0o600 });
  await pgsOk(['state', 'passphrase', '--passphrase-file', passphrase]);
}, 300_000);

afterAll(async () => {
  for (const name of [tenant, neighbour]) await destroyQuietly(name);
  rmSync(work, { recursive: true });
});

const exportsOf = (directory: string) =>
  readdirSync(join(directory, '.pgs/exports')).filter((n) => n.endsWith('.json'));
const newest = (directory: string) => join(directory, '.pgs/exports', exportsOf(directory).sort().at(-1)!);

/** What tells that nobody restarted and nobody's data was copied anew. */
async function identities(): Promise<Record<string, string>> {
  const look = `stat -c %i:%W /var/lib/pgs/${tenant}/data; pgrep -o -u pgs-${tenant} -f 'postgres -D'`;
  const found = hosts.map(async (host) => [host, await onOk(host, look)] as const);
  return Object.fromEntries(await Promise.all(found));
}

/** A directory with the operator's ssh key, which no export holds. */
function elsewhere(name: string): string {
  const directory = join(work, name);
  mkdirSync(directory);
  copyFileSync(join(fleetDir, 'ssh_key'), join(directory, 'ssh_key'));
  return directory;
}

async function loseEtcd(): Promise<void> {
  await Promise.all(hosts.map((host) => onOk(host, 'systemctl stop pgs-etcd; rm -rf /var/lib/pgs-etcd/data')));
}

interface Imported {
  files: string[];
  etcd: string;
  tenants: { tenant: string; leader: string; kept: boolean }[];
}

const importInto = (directory: string, file: string, ...more: string[]) =>
  pgsJson<Imported>(['state', 'import', file, '--dir', directory, '--yes', ...more]);

test('after each change that is one there is an export that only its owner can read, and no more than ten', async () => {
  const before = exportsOf(fleetDir).length;
  await pgsOk(['cluster', 'set', tenant, 'work_mem=5MB']);
  const after = exportsOf(fleetDir);
  expect(after.length).toBe(Math.min(10, before + 1));
  expect(statSync(newest(fleetDir)).mode & 0o777).toBe(0o600);
  await pgsOk(['apply', tenant]);
  await pgsOk(['cluster', 'status', tenant]);
  expect(exportsOf(fleetDir)).toEqual(after);
}, 120_000);

test('all data of etcd is lost: it is filled again, unfelt by any client, and every leader leads on', async () => {
  const { leader } = await untilHealthy(tenant);
  await untilHealthy(neighbour);
  const before = await identities();
  let done: Imported | null = null;
  const verdict = await underLoad(tenant, async () => {
    await loseEtcd();
    expect((await pgs(['cluster', 'status', tenant])).code).toBe(1);
    done = await importInto(fleetDir, newest(fleetDir));
  });
  expect(verdict).toMatchObject(unfelt);
  expect(done).toMatchObject({ files: [], etcd: 'lost' });
  expect(done!.tenants.find((t) => t.tenant === tenant)).toEqual({ tenant, leader, kept: true });
  expect(done!.tenants.map((t) => t.tenant).sort()).toEqual([neighbour, tenant]);
  expect(await identities()).toEqual(before);
  for (const name of [tenant, neighbour]) {
    expect((await untilHealthy(name)).warnings).toEqual([]);
    expect((await pgs(['plan', name])).code).toBe(0);
  }
  expect((await pgs(['dcs', 'create', '--dry-run'])).code).toBe(0);
  await pgsOk(['switchover', tenant]);
}, 400_000);

test('an import where nothing is lost changes nothing', async () => {
  await untilHealthy(tenant);
  expect(await importInto(fleetDir, newest(fleetDir))).toEqual({ files: [], etcd: 'whole', tenants: [] });
  expect((await pgs(['plan', tenant])).code).toBe(0);
}, 60_000);

describe("the operator's machine is lost", () => {
  test('with a passphrase an export brings all of it back elsewhere', async () => {
    const directory = elsewhere('elsewhere');
    const refused = await pgs(['state', 'import', newest(fleetDir), '--dir', directory]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/--passphrase-file/);
    const done = await importInto(directory, newest(fleetDir), '--passphrase-file', passphrase);
    expect(done).toMatchObject({ etcd: 'whole', tenants: [] });
    expect(done.files.length).toBe(4);
    const env = { PGS_CONFIG: join(directory, 'pgs.yaml') };
    expect((await pgs(['plan', tenant], { env })).code).toBe(0);
    await pgsOk(['cluster', 'set', tenant, 'work_mem=6MB'], { env });
  }, 120_000);

  test('and the data of etcd with it: the same command brings both back, unfelt', async () => {
    const { leader } = await untilHealthy(tenant);
    const file = join(work, 'whole.json');
    await pgsOk(['state', 'export', file]);
    const before = await identities();
    const directory = elsewhere('both');
    let done: Imported | null = null;
    const verdict = await underLoad(tenant, async () => {
      await loseEtcd();
      done = await importInto(directory, file, '--passphrase-file', passphrase);
    });
    expect(verdict).toMatchObject(unfelt);
    expect(done!.tenants.find((t) => t.tenant === tenant)).toEqual({ tenant, leader, kept: true });
    expect(await identities()).toEqual(before);
    const env = { PGS_CONFIG: join(directory, 'pgs.yaml') };
    expect((await pgs(['plan', tenant], { env })).code).toBe(0);
    expect((await statusOf(tenant)).healthy).toBe(true);
  }, 400_000);
});

test('an export of another fleet is refused, and one member that lost its data is no loss of etcd', async () => {
  const other = join(work, 'other');
  const hostsOfOther = [1, 2, 3].flatMap((n) => ['--host', `x${n}=10.9.9.${n}`]);
  await pgsOk(['init', '--dir', other, '--fleet', 'other', ...hostsOfOther]);
  const refused = await pgs(['state', 'import', newest(fleetDir), '--dir', other, '--passphrase-file', passphrase]);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toMatch(/another fleet/);
  await onOk('h1', 'systemctl stop pgs-etcd');
  expect((await importInto(fleetDir, newest(fleetDir))).etcd).toBe('whole');
  await onOk('h2', 'systemctl stop pgs-etcd');
  const half = await pgs(['state', 'import', newest(fleetDir), '--dir', fleetDir, '--yes']);
  expect(half.code).toBe(5);
  expect(half.stderr).toMatch(/there is data on h1, h2, h3/);
  await Promise.all(['h1', 'h2'].map((host) => onOk(host, 'systemctl start pgs-etcd')));
  await untilHealthy(tenant);
}, 180_000);
