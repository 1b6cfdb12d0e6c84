// No secret of a fleet or a tenant is seen anywhere but in the files meant to hold it: not in what a whole run prints, nor in process
// lists, journals, logs or temporary files. And the search finds a leak that is planted.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allSecretTexts } from '../../src/secrets/shape.js';
import { openFleetKeys, openTenantKeys } from './fleet-keys.js';
import { addresses, destroyQuietly, fleetDir, on, onOk, pgs } from './machines.js';
import { SecretSearch, watchProcesses, type Leak } from './secret-search.js';

const tenant = 'acme';
const printed: string[] = [];
let secrets: string[];
let search: SecretSearch;
let processes: string[];
const otherFleet = mkdtempSync(join(tmpdir(), 'pgs-secret-search-'));

/** The files of a machine that are meant to hold secrets, and whose they must be. */
const places: [RegExp, string][] = [
  [/^\/etc\/pgs\/tenants\/[^/]+\/(patroni\.yml|tls\/(rest|sql|etcd|pooler)\.key)$/, `pgs-${tenant}`],
  [/^\/run\/pgs\/[^/]+\/pgpass$/, `pgs-${tenant}`],
  // SCRAM verifiers, as PostgreSQL keeps them.
  [/^\/var\/lib\/pgs\/[^/]+\/data\/(base|global|pg_wal)\//, `pgs-${tenant}`],
  [/^\/etc\/pgs\/haproxy\/tls\/([^/]+-client|[^/]+-door|door)\.pem$/, 'pgs-haproxy'],
  [/^\/etc\/pgs\/etcd\/tls\/(server|peer)\.key$/, 'pgs-etcd'],
  [/^\/etc\/pgs\/etcd-defrag\.env$/, 'root'],
];

async function run(...args: string[]): Promise<void> {
  const ran = await pgs(args, { env: { PGS_DEBUG: '1' } });
  printed.push(ran.stdout, ran.stderr);
}

beforeAll(async () => {
  const watch = watchProcesses();
  await run('init', '--dir', otherFleet, ...Object.entries(addresses()).flatMap(([n, a]) => ['--host', `${n}=${a}`]));
  await run('host', 'check');
  await run('host', 'prepare');
  await run('dcs', 'create');
  await run('cluster', 'create', tenant, '--replicas', '2', '--dry-run');
  await run('cluster', 'create', tenant, '--replicas', '2', '-o', 'json');
  await run('cluster', 'create', tenant, '--replicas', '2');
  await onOk(
    'h1',
    `echo '# edited' >>/etc/pgs/tenants/${tenant}/patroni.yml; echo >>/etc/pgs/haproxy/tls/${tenant}-client.pem`,
  );
  for (const output of ['text', 'json', 'yaml']) {
    await run('plan', tenant, '-o', output);
    await run('cluster', 'status', tenant, '-o', output);
    await run('cluster', 'show', tenant, '-o', output);
    await run('cluster', 'url', tenant, '-o', output);
    await run('cluster', 'rto', tenant, '-o', output);
    await run('watchdog', 'status', tenant, '-o', output);
    await run('dcs', 'status', '-o', output);
  }
  await run('apply', tenant, '--dry-run');
  await run('apply', tenant, '-o', 'json');
  await run('switchover', tenant);
  await run('cluster', 'logs', tenant);
  await run('cluster', 'psql', tenant, '--command', 'SELECT nonsense');
  await run('cluster', 'psql', tenant, '--superuser', '--command', 'SELECT nonsense');
  await run('cluster', 'create', tenant, '--rto', 'fast');
  await run('switchover', tenant, '--to', 'nobody');
  await run('cluster', 'status', 'nobody');
  const fleet = await openFleetKeys();
  const other = await openFleetKeys(join(otherFleet, 'pgs.yaml'));
  const keys = await openTenantKeys(fleet, tenant);
  secrets = [...allSecretTexts([fleet.secrets, other.secrets, keys.secrets]), fleet.keyText, other.keyText];
  search = new SecretSearch(secrets);
  processes = await watch.stop();
});

afterAll(async () => {
  rmSync(otherFleet, { recursive: true });
  await destroyQuietly(tenant);
});

describe('a whole run', () => {
  test('has secrets to look for, and was watched', () => {
    expect(search.size).toBeGreaterThan(200);
    expect(printed.filter((text) => text.length > 0).length).toBeGreaterThan(20);
    expect(processes.some((text) => text.includes(`/etc/pgs/tenants/${tenant}/patroni.yml`))).toBe(true);
  });

  test('prints none', () => {
    expect(printed.flatMap((text, n) => search.inText(`output ${n}`, text))).toEqual([]);
  });

  test('shows none in arguments or environments', () => {
    expect(processes.flatMap((text) => search.inText(text.slice(0, 60), text))).toEqual([]);
  });

  test.each(['h1', 'h2', 'h3'])('leaves none on %s but in the files meant to hold one, 0600', async (host) => {
    const found = await search.onMachine(host);
    const paths = [...new Set(found.map((leak) => leak.where.slice(host.length + 1)))];
    const ownerOf = (path: string) => places.find(([pattern]) => pattern.test(path))?.[1];
    expect(paths.filter((path) => ownerOf(path) === undefined)).toEqual([]);
    expect(paths.length).toBeGreaterThan(5);
    const said = await onOk(host, `stat -c '%n %U %a' ${paths.join(' ')}`);
    expect(said.trim().split('\n').sort()).toEqual(paths.map((path) => `${path} ${ownerOf(path)} 600`).sort());
  });

  test("leaves none in the operator's directory but the fleet key and the password file", () => {
    for (const directory of [join(fleetDir, '.pgs'), otherFleet]) {
      const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      const leaks = files.flatMap((entry) => {
        const path = join(entry.parentPath, entry.name);
        return search.inText(path, readFileSync(path, 'utf8'));
      });
      expect(
        leaks.map((leak) => leak.where).filter((path) => !/\/(fleet\.key|tenants\/[^/]+\/pgpass)$/.test(path)),
      ).toEqual([]);
    }
  });

  test('leaves none after a destroy', async () => {
    const before = printed.length;
    await run('cluster', 'destroy', tenant, '--purge-data', '--yes');
    expect(printed.slice(before).flatMap((text) => search.inText('destroy', text))).toEqual([]);
    const found = await search.onMachine('h1');
    const paths = found.map((leak) => leak.where.slice('h1:'.length));
    const isOfFleet = (path: string) =>
      !path.includes(tenant) && places.some(([pattern, owner]) => pattern.test(path) && !owner.endsWith(tenant));
    expect(paths.filter((path) => !isOfFleet(path))).toEqual([]);
  });
});

describe('a planted leak is found', () => {
  const forms: [Leak['form'], (text: string) => string][] = [
    ['raw', (text) => text],
    ['url', (text) => encodeURIComponent(text)],
    ['base64', (text) => Buffer.from(text).toString('base64')],
    ['base64', (text) => Buffer.from(`x${text}y`).toString('base64')],
    ['base64', (text) => Buffer.from(`user:${text}`).toString('base64')],
  ];
  /** Has characters that a URL encodes: of the fleet that is on no machine, so that planting it spoils nothing else. */
  const planted = () => secrets.at(-1)!;

  test.each(forms)('in the journal, %s', async (form, encode) => {
    const tag = `planted-${Math.random().toString(36).slice(2)}`;
    await on('h2', `logger -t ${tag}`, encode(planted()));
    const found = await search.onMachine('h2');
    expect(found).toContainEqual({ where: 'h2:journal', secret: secrets.length - 1, form });
  });

  test.each(forms)('in an argument, %s', async (form, encode) => {
    const watch = watchProcesses();
    await onOk('h3', `sh -c 'sleep 1; : "$0"' '${encode(planted())}'`);
    const leaks = (await watch.stop()).flatMap((text) => search.inText('arguments', text));
    expect(leaks).toContainEqual({ where: 'arguments', secret: secrets.length - 1, form });
  });

  test('in a file', async () => {
    await on('h2', 'cat >/tmp/planted', planted());
    expect((await search.onMachine('h2')).map((leak) => leak.where)).toContain('h2:/tmp/planted');
    await onOk('h2', 'rm /tmp/planted');
  });
});
