// What befalls machines, each caused on a real one: not fit, not reachable, not trusted, full, switched off, killed. The cluster of
// this file is made, looked at and destroyed by an operator who logs in as an ordinary user with sudo.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  destroyQuietly,
  fleetDir,
  on,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  power,
  psql,
  psqlOk,
  statusOf,
  until,
  untilHealthy,
  type Ran,
  type Status,
} from '../machines.js';

const tenant = 'storm';
const hosts = ['h1', 'h2', 'h3'];
/** The fleet as it is known to an operator who logs in as `ops`. */
let opsDir: string;
const asOps = () => ({ env: { PGS_CONFIG: join(opsDir, 'pgs.yaml') } });

beforeAll(async () => {
  opsDir = await mkdtemp(join(tmpdir(), 'pgs-ops-'));
  await cp(fleetDir, opsDir, {
    recursive: true,
    filter: (path) => !/\/(machines|logs|apt-cacher-ng)(\/|$)/.test(path),
  });
  const yaml = await readFile(join(opsDir, 'pgs.yaml'), 'utf8');
  await writeFile(join(opsDir, 'pgs.yaml'), yaml.replace(/^( *user:) root$/m, '$1 ops'));
});

afterAll(async () => {
  for (const host of hosts) await power(host, 'on');
  for (const host of hosts) await on(host, 'userdel -rf ops; rm -f /etc/sudoers.d/ops');
  await destroyQuietly(tenant);
  await rm(opsDir, { recursive: true, force: true });
});

interface Checked {
  hosts: {
    host: string;
    fit: boolean;
    items: { item: string; verdict: string; found: string; hint: string | null }[];
  }[];
}

/** `pgs host check` of one host: what it says about one item. */
async function checkItem(host: string, item: string, options = {}) {
  const ran = await pgs(['host', 'check', host, '-o', 'json'], options);
  const found = (JSON.parse(ran.stdout) as Checked).hosts[0]!.items.find((i) => i.item === item);
  return { code: ran.code, ...found };
}

async function expectNothingMade(name: string): Promise<void> {
  const { clusters } = await pgsJson<{ clusters: { tenant: string }[] }>(['cluster', 'list']);
  expect(clusters.map((c) => c.tenant)).not.toContain(name);
}

describe('hosts that are not fit', () => {
  let refused: Ran;

  beforeAll(async () => {
    await onOk(
      'h1',
      `rm /etc/os-release; sed 's/^ID=.*/ID=ubuntu/; s/trixie/noble/; s/^PRETTY_NAME=.*/PRETTY_NAME="Ubuntu 24.04"/' /usr/lib/os-release > /etc/os-release`,
    );
    await onOk('h2', 'mount -t tmpfs -o size=64m tmpfs /var/lib/pgs');
    await onOk('h3', 'dpkg -r --force-depends socat');
    refused = await pgs(['cluster', 'create', tenant]);
  });

  test('are refused by create, all at once, and nothing is begun', async () => {
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/0 of 3 are fit/);
    await expectNothingMade(tenant);
  });

  test('because of another release', async () => {
    expect(refused.stderr).toMatch(/h1: release: Ubuntu 24\.04 \(Install one of: Debian 13/);
    expect(await checkItem('h1', 'release')).toMatchObject({ code: 1, verdict: 'unfit', found: 'Ubuntu 24.04' });
  });

  test('because of a full disk', async () => {
    expect(refused.stderr).toMatch(/h2: disk: 0\.\d GiB of 0\.\d GiB free under \/var\/lib\/pgs/);
    expect(await checkItem('h2', 'disk')).toMatchObject({ code: 1, verdict: 'unfit' });
  });

  test('because packages are missing: `pgs host prepare` is named, and mends it', async () => {
    expect(refused.stderr).toMatch(/h3: packages: missing: socat .*`pgs host prepare h3`/);
    await pgsOk(['host', 'prepare', 'h3']);
    expect(await checkItem('h3', 'packages')).toMatchObject({ verdict: 'fit' });
  });

  afterAll(async () => {
    await onOk('h1', 'ln -sf ../usr/lib/os-release /etc/os-release');
    await onOk('h2', 'umount /var/lib/pgs');
    if ((await on('h3', 'command -v socat')).code !== 0) await pgsOk(['host', 'prepare', 'h3']);
  });
});

describe('an ordinary user on the hosts', () => {
  beforeAll(async () => {
    for (const host of hosts) {
      await onOk(
        host,
        'useradd -m -s /bin/bash ops && install -d -o ops -m 700 ~ops/.ssh && install -o ops -m 600 ~/.ssh/authorized_keys ~ops/.ssh/',
      );
    }
  });

  test('without sudo is told how to get it', async () => {
    const ran = await pgs(['host', 'prepare', 'h1'], asOps());
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(
      /becoming root by sudo on h1\n {2}found: sudo: .*\n {2}next: .*ops ALL=\(ALL\) NOPASSWD: ALL/,
    );
    await onOk('h1', 'mv /usr/bin/sudo /usr/bin/sudo.away');
    const gone = await pgs(['host', 'prepare', 'h1'], asOps());
    await onOk('h1', 'mv /usr/bin/sudo.away /usr/bin/sudo');
    expect(gone.code).toBe(1);
    expect(gone.stderr).toMatch(/becoming root by sudo on h1\n {2}found: .*sudo: .*not found/);
  });

  test('whose sudo asks for a password is told the same, and is not asked for ever', async () => {
    await onOk('h1', `echo 'ops ALL=(ALL) ALL' > /etc/sudoers.d/ops`);
    expect(await checkItem('h1', 'sudo', asOps())).toMatchObject({
      code: 1,
      verdict: 'unfit',
      found: expect.stringMatching(/password is required/) as string,
    });
  });

  test('with sudo can do everything: here it makes the cluster, on ports that no stranger has', async () => {
    for (const host of hosts) await onOk(host, `echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops`);
    await onOk('h2', 'systemd-run -q --unit=stranger socat TCP-LISTEN:20005,fork,reuseaddr /dev/null');
    expect(await pgsOk(['host', 'prepare'], asOps())).toMatch(/h1: fit/);
    await pgsOk(['cluster', 'create', tenant, '--rto', 'fast'], asOps());
    const status = await pgsJson<Status>(['cluster', 'status', tenant], asOps());
    expect(status.healthy).toBe(true);
    expect(status.services[0]!.port).toBe(20010);
    expect(await pgsOk(['dcs', 'status'], asOps())).toMatch(/quorum healthy/);
    expect(await pgsOk(['cluster', 'psql', tenant, '--superuser', '--command', 'SELECT 41 + 1'], asOps())).toBe('42\n');
    await onOk('h2', 'systemctl stop stranger');
    await psqlOk(tenant, 'primary', 'CREATE TABLE kept (n int)');
  });
});

describe('host keys', () => {
  test('that are not known are refused, with the way to trust them', async () => {
    const config = join(opsDir, 'stranger.yaml');
    const yaml = await readFile(join(opsDir, 'pgs.yaml'), 'utf8');
    await writeFile(config, yaml.replace(/^ssh:\n/m, 'ssh:\n  known_hosts: nobody\n'));
    const ran = await pgs(['-c', config, 'host', 'prepare', 'h1']);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/is not in .*nobody\n {2}next: .*`pgs host trust h1`/);
  });

  test('that changed are refused with both fingerprints and the fix, until they are replaced', async () => {
    const shown = 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d " " -f 2';
    const renew =
      'mkdir /root/keys && mv /etc/ssh/ssh_host_* /root/keys/ && ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key && systemctl restart ssh';
    const [before, after] = (await onOk('h2', `${shown}; ${renew}; ${shown}`)).trim().split('\n');
    try {
      const ran = await pgs(['host', 'prepare', 'h2']);
      expect(ran.code).toBe(1);
      for (const text of [before!, after!, 'pgs host trust h2 --replace']) expect(ran.stderr).toContain(text);
      expect((await statusOf(tenant)).warnings.join('\n')).toMatch(/h2 could not be looked at/);
      expect((await pgs(['host', 'trust', 'h2', '--yes'])).code).toBe(1);
      expect((await pgs(['host', 'trust', 'h2', '--replace'])).code).toBe(2);
      await pgsOk(['host', 'trust', 'h2', '--replace', '--yes']);
      expect((await statusOf(tenant)).warnings).toEqual([]);
    } finally {
      await pgs(['host', 'trust', 'h2', '--replace', '--yes']);
      await onOk('h2', 'rm /etc/ssh/ssh_host_*; mv /root/keys/* /etc/ssh/; rmdir /root/keys; systemctl restart ssh');
      await pgsOk(['host', 'trust', 'h2', '--replace', '--yes']);
    }
  });
});

/** The hosts of the leader and of the replicas, in the order of their names. */
async function roles(): Promise<{ leader: string; replicas: string[] }> {
  const { members, leader } = await untilHealthy(tenant);
  const hostOf = (name: string) => members.find((m) => m.name === name)!.host;
  return {
    leader: hostOf(leader!),
    replicas: members.filter((m) => m.name !== leader).map((m) => m.host),
  };
}

const patroniUnit = `pgs-patroni@${tenant}.service`;
const count = () => psqlOk(tenant, 'primary', 'SELECT count(*) FROM kept').then(Number);

describe('killed processes come back, and apply finds nothing to do', () => {
  test('Patroni, a postmaster, HAProxy and etcd, all at once', async () => {
    const { leader, replicas } = await roles();
    await Promise.all([
      onOk(replicas[0]!, `systemctl kill -s KILL --kill-whom=main ${patroniUnit}`),
      onOk(replicas[1]!, `kill -9 $(head -1 /var/lib/pgs/${tenant}/data/postmaster.pid)`),
      onOk(leader, 'systemctl kill -s KILL pgs-haproxy.service'),
      onOk(replicas[0]!, 'systemctl kill -s KILL pgs-etcd.service'),
    ]);
    await until('etcd is whole', async () => /quorum healthy/.test((await pgs(['dcs', 'status'])).stdout));
    expect((await roles()).leader).toBe(leader);
    await until('nothing differs', async () => (await pgs(['plan', tenant])).code === 0);
  });

  test('the leader’s postmaster: another leads, and no row is lost', async () => {
    const { leader } = await roles();
    const before = await count();
    await psqlOk(tenant, 'primary', 'INSERT INTO kept VALUES (1)');
    await onOk(leader, `kill -9 $(head -1 /var/lib/pgs/${tenant}/data/postmaster.pid)`);
    await until('writes go on', async () => (await psql(tenant, 'primary', 'INSERT INTO kept VALUES (2)')).code === 0);
    await untilHealthy(tenant);
    expect(await count()).toBe(before + 2);
    expect((await pgs(['plan', tenant])).code).toBe(0);
  });
});

describe('a stranger on a port of a stopped member', () => {
  test('is named with port and process, and apply goes on when it is gone', async () => {
    const [host] = (await roles()).replicas;
    await onOk(
      host!,
      `systemctl stop ${patroniUnit}; systemd-run -q --unit=stranger socat TCP-LISTEN:20014,fork,reuseaddr /dev/null`,
    );
    const ran = await pgs(['apply', tenant]);
    await onOk(host!, 'systemctl stop stranger');
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(
      new RegExp(`on ${host}\\n.*port 20014 \\(PostgreSQL of ${tenant}-\\d\\) is taken by socat`),
    );
    await pgsOk(['apply', tenant]);
    expect((await statusOf(tenant)).healthy).toBe(true);
  });
});

describe('the leader’s host loses its power', () => {
  let lost: string;
  let rest: string[];
  let before: number;

  beforeAll(async () => {
    const { leader, replicas } = await roles();
    [lost, rest] = [leader, replicas];
    await psqlOk(tenant, 'primary', 'INSERT INTO kept VALUES (4)');
    before = await count();
    await power(lost, 'off');
  });

  test('another member takes over, nothing acknowledged is lost, and writes go on', async () => {
    await until('writes go on', async () => (await psql(tenant, 'primary', 'INSERT INTO kept VALUES (5)')).code === 0);
    expect(await count()).toBe(before + 1);
  });

  test('status says what is true and what is not known', async () => {
    const covered = async () => (await statusOf(tenant)).rpo.verdict === 'holds';
    await until('the other standby covers', covered);
    const status = await statusOf(tenant);
    expect(status.healthy).toBe(false);
    expect(status.leader).toBe(status.members.find((m) => m.role === 'leader')!.name);
    expect(status.members.find((m) => m.host === lost)).toMatchObject({ role: 'unknown' });
    expect(status.services[0]!.routes[lost]).toBeNull();
    expect(status.warnings.join('\n')).toContain(`${lost} could not be looked at`);
    expect((await pgs(['cluster', 'status', tenant])).code).toBe(1);
  });

  test('with the last standby gone too, RPO 0 is SUSPENDED and writes go on', async () => {
    const { leader, members } = await statusOf(tenant);
    const standby = rest.find((host) => host !== members.find((m) => m.name === leader)!.host)!;
    await onOk(standby, `systemctl stop ${patroniUnit}`);
    await until('it is said', async () => (await statusOf(tenant)).rpo.verdict === 'suspended');
    expect((await pgs(['cluster', 'status', tenant])).stdout).toMatch(/RPO 0 SUSPENDED/);
    expect((await psql(tenant, 'primary', 'INSERT INTO kept VALUES (6)')).code).toBe(0);
    await onOk(standby, `systemctl start ${patroniUnit}`);
    await until('it holds again', async () => (await statusOf(tenant)).rpo.verdict === 'holds');
  });

  test('create names the host and begins nothing', async () => {
    const ran = await pgs(['cluster', 'create', 'late']);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(new RegExp(`${lost}: cannot be looked at: `));
    await expectNothingMade('late');
  });

  test('plan and apply leave the host as it is, and say so', async () => {
    const said = new RegExp(`${lost} could not be looked at and is left as it is`);
    expect((await pgs(['plan', tenant])).stdout).toMatch(said);
    const applied = await pgs(['apply', tenant]);
    expect(applied.stderr).toMatch(said);
    expect(applied.code).toBe(4);
  });

  test('host check and dcs status name it', async () => {
    expect(await checkItem(lost, 'ssh')).toMatchObject({ code: 1, verdict: 'unfit' });
    expect((await pgs(['dcs', 'status'])).stdout).toMatch(new RegExp(`quorum degraded; .* answer, ${lost} does not`));
  });

  test('destroy is refused, and nothing is removed', async () => {
    const ran = await pgs(['cluster', 'destroy', tenant, '--yes', '--purge-data']);
    expect(ran.code).toBe(5);
    expect(ran.stderr).toMatch(new RegExp(`${lost} could not be looked at`));
    expect((await psql(tenant, 'primary', 'INSERT INTO kept VALUES (7)')).code).toBe(0);
    expect(await pgsJson<{ phase: string }>(['cluster', 'show', tenant])).toMatchObject({ phase: 'ready' });
  });

  test('when it is back, everything on it comes up by itself and nothing is lost', async () => {
    await power(lost, 'on');
    const status = await untilHealthy(tenant);
    expect(status.warnings).toEqual([]);
    expect(await count()).toBe(before + 3);
    await until('nothing differs', async () => (await pgs(['plan', tenant])).code === 0);
    expect((await pgs(['dcs', 'status'])).stdout).toMatch(/quorum healthy/);
  });
});

describe('a destroy that is cut short by a host’s power', () => {
  test('is finished by the same command when the host is back, also by a user with sudo', async () => {
    await power('h3', 'off');
    expect((await pgs(['cluster', 'destroy', tenant, '--yes', '--purge-data'], asOps())).code).toBe(5);
    await power('h3', 'on');
    await pgsOk(['cluster', 'destroy', tenant, '--yes', '--purge-data'], asOps());
    await expectNothingMade(tenant);
    for (const host of hosts) expect((await on(host, `getent passwd pgs-${tenant}`)).code).not.toBe(0);
  });
});
