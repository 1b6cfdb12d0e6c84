// Minor versions of packages that run, on real machines while clients write: a repository on each machine offers what is installed
// there under a higher version.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addresses,
  destroyQuietly,
  environment,
  on,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  psqlOk,
  root,
  statusOf,
  until,
  untilHealthy,
} from '../machines.js';
import { underLoad, unfelt } from '../under-load.js';

const tenant = 'updated';
const hosts = () => Object.keys(addresses());
let ports: { postgres: number };

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  ports = (await pgsJson<{ ports: typeof ports }>(['cluster', 'show', tenant])).ports;
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(async () => {
  await destroyQuietly(tenant);
});

/** Run on a machine: SUFFIX PACKAGE…; what is installed, with the suffix behind its version, in a repository of its own. */
const offerScript = `set -eu
suffix=$1; shift
repo=/var/local/pgs-repo
mkdir -p $repo/work; cd $repo/work
for name in "$@"; do
  installed=$(dpkg-query -W -f '\${Version}' "$name"); base=\${installed%+pgs*}
  ls "$name"_*.deb >/dev/null 2>&1 || apt-get -q download "$name=$base" >/dev/null
  rm -rf x; dpkg-deb -R "$name"_*.deb x
  sed -i "s/^Version: .*/Version: $base$suffix/" x/DEBIAN/control
  dpkg-deb -Zgzip -z1 --root-owner-group -b x "$repo/$name$suffix.deb" >/dev/null
done
rm -rf x; cd $repo; : >Packages
for deb in ./*.deb; do
  { dpkg-deb -f "$deb"; echo "Filename: $deb"; echo "Size: $(stat -c %s "$deb")"; echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"; echo; } >>Packages
done
echo "deb [trusted=yes] file:$repo ./" >/etc/apt/sources.list.d/pgs-test.list
`;

async function offer(suffix: string, packages: string[], where = hosts()): Promise<void> {
  await Promise.all(
    where.map(async (host) => {
      const ran = await on(host, `sh -s -- ${suffix} ${packages.join(' ')}`, offerScript);
      if (ran.code !== 0) throw new Error(`${host}: ${ran.stdout}\n${ran.stderr}`);
    }),
  );
}

async function versions(name: string): Promise<Record<string, string>> {
  const asked = hosts().map(
    async (host) => [host, await onOk(host, `dpkg-query -W -f '\${Version}' ${name}`)] as const,
  );
  return Object.fromEntries(await Promise.all(asked));
}

/** Start of each member's postmaster. */
async function starts(): Promise<Record<string, string>> {
  const { members } = await statusOf(tenant);
  const local = `-h /run/pgs/${tenant} -p ${ports.postgres} -U postgres -d postgres`;
  const asked = members.map(async ({ name, host }) => {
    const answer = await onOk(
      host,
      `runuser -u pgs-${tenant} -- psql -XqAt ${local} -c "SELECT pg_postmaster_start_time()"`,
    );
    return [name, answer.trim()] as const;
  });
  return Object.fromEntries(await Promise.all(asked));
}

const everywhere = (found: Record<string, string>, suffix: string) =>
  expect(Object.values(found).map((version) => version.endsWith(suffix))).toEqual(hosts().map(() => true));

/** Nothing that runs is older than what is installed, and all is held. */
async function isSettled(): Promise<void> {
  expect((await pgs(['update', tenant])).stdout).toMatch(/as new as the hosts' sources/);
  const report = JSON.parse((await pgs(['doctor', tenant, '-o', 'json'])).stdout) as { findings: { id: string }[] };
  expect(report.findings).toEqual([]);
}

const server = ['postgresql-17', 'postgresql-client-17', 'patroni'];

describe('an update of PostgreSQL and Patroni', () => {
  test('is refused before anything changes while one host does not have the packages', async () => {
    await untilHealthy(tenant);
    const before = await starts();
    await offer('+pgs1', server, hosts().slice(0, 2));
    const ran = await pgs(['update', tenant]);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/different versions of postgresql-17/);
    everywhere(await versions('patroni'), (await versions('patroni'))[hosts()[2]!]!);
    expect(await starts()).toEqual(before);
  });

  test('is felt by no client, leaves nothing old running, and once more changes nothing', async () => {
    await offer('+pgs1', server);
    const planned = await pgs(['update', tenant, '--dry-run']);
    expect(planned.code).toBe(3);
    const before = await starts();
    expect(await underLoad(tenant, () => pgsOk(['update', tenant]))).toMatchObject(unfelt);
    for (const name of server) everywhere(await versions(name), '+pgs1');
    const after = await starts();
    expect(Object.keys(before).filter((name) => before[name] === after[name])).toEqual([]);
    await isSettled();
    expect(await starts()).toEqual(after);
  }, 300_000);

  test('that was killed is finished by the same command', async () => {
    await untilHealthy(tenant);
    await offer('+pgs2', ['patroni']);
    const before = await starts();
    const verdict = await underLoad(tenant, async () => {
      const child = spawn(`${root}bin/pgs`, ['update', tenant], { env: environment, cwd: root });
      const ended = new Promise((resolve) => child.on('close', resolve));
      await until('one has restarted', async () => {
        const now = await starts().catch(() => before);
        return Object.keys(before).some((name) => now[name] !== before[name]);
      });
      child.kill('SIGKILL');
      await ended;
      await until('it is finished', async () => (await pgs(['update', tenant])).code === 0);
    });
    expect(verdict).toMatchObject(unfelt);
    everywhere(await versions('patroni'), '+pgs2');
    await isSettled();
  }, 300_000);

  test('waits for no transaction that is open for long', async () => {
    await untilHealthy(tenant);
    await offer('+pgs3', ['patroni']);
    const { leader, members } = await statusOf(tenant);
    const host = members.find((m) => m.name === leader)!.host;
    const local = `-h /run/pgs/${tenant} -p ${ports.postgres} -U postgres -d postgres`;
    const open = on(host, `runuser -u pgs-${tenant} -- psql -Xq ${local} -c 'BEGIN' -c 'SELECT pg_sleep(25)'`);
    await new Promise((resolve) => setTimeout(resolve, 6000));
    const ran = await pgs(['update', tenant]);
    expect(ran.code).toBe(5);
    expect(ran.stderr).toMatch(/open for longer than 5 s/);
    everywhere(await versions('patroni'), '+pgs2');
    await open;
    await pgsOk(['update', tenant]);
    everywhere(await versions('patroni'), '+pgs3');
  }, 300_000);
});

test('an update of PgBouncer loses nothing, and is felt by who is at a pooler in the moment when it stops', async () => {
  await untilHealthy(tenant);
  await offer('+pgs1', ['pgbouncer']);
  const verdict = await underLoad(tenant, () => pgsOk(['update', tenant]));
  everywhere(await versions('pgbouncer'), '+pgs1');
  expect(verdict).toMatchObject({ lost: [], duplicated: [], risen: [] });
  // One session that stays at each pooler, and at the most two clients that come just then.
  expect(verdict.failed + verdict.indeterminate).toBeLessThanOrEqual(3 * hosts().length);
  await isSettled();
}, 300_000);

test('an update of etcd and HAProxy is felt by no client, and what runs is new', async () => {
  await untilHealthy(tenant);
  const shared = ['haproxy', 'etcd-server', 'etcd-client'];
  await offer('+pgs1', shared);
  expect((await pgs(['update', '--fleet', '--dry-run'])).code).toBe(3);
  expect(await underLoad(tenant, () => pgsOk(['update', '--fleet']))).toMatchObject(unfelt);
  for (const name of shared) everywhere(await versions(name), '+pgs1');
  for (const host of hosts()) {
    const line = `for unit in pgs-etcd pgs-haproxy; do readlink /proc/$(systemctl show -P MainPID $unit.service)/exe; done`;
    expect(await onOk(host, line)).not.toContain('deleted');
  }
  expect((await pgs(['update', '--fleet', '--dry-run'])).code).toBe(0);
  await isSettled();
}, 300_000);

test('what somebody installed by hand is found by the doctor, and mended by its command', async () => {
  await untilHealthy(tenant);
  await offer('+pgs2', ['pgbouncer']);
  const [host] = hosts();
  await onOk(
    host!,
    'apt-get -q update >/dev/null; apt-get -q -y --allow-change-held-packages install pgbouncer >/dev/null',
  );
  const found = JSON.parse((await pgs(['doctor', tenant, '-o', 'json'])).stdout) as {
    findings: { id: string; mend: { command: string } }[];
  };
  const replaced = found.findings.find(({ id }) => id === 'program-replaced');
  expect(replaced?.mend.command).toBe(`pgs update ${tenant}`);
  expect(found.findings.map(({ id }) => id)).toContain('packages-differ');
  await pgsOk(['update', tenant]);
  await isSettled();
}, 300_000);
