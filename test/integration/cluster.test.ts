// The main job on real machines: a tenant's cluster from nothing to served, changed, and gone; and a second one beside it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addresses,
  destroyQuietly,
  on,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  psql,
  psqlOk,
  serviceClient,
  statusOf,
  until,
  untilHealthy,
  type Status,
} from './machines.js';

const tenant = 'acme';
const other = 'acme-co';

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--replicas', '2']);
});

afterAll(async () => {
  await destroyQuietly(tenant);
  await destroyQuietly(other);
});

describe('a created cluster', () => {
  test('is healthy, says NOT FENCED, and RPO 0 holds', async () => {
    const status = await statusOf(tenant);
    expect(status).toMatchObject({
      healthy: true,
      fencing: { verdict: 'not fenced' },
      rpo: { verdict: 'holds' },
      drift: [],
      warnings: [],
    });
    expect(status.members.map((m) => m.state).sort()).toEqual(['running', 'streaming', 'streaming']);
    expect(await pgsOk(['cluster', 'status', tenant])).toMatch(/NOT FENCED/);
  });

  test('takes a write through `primary` and shows it through `replica`, with TLS verified', async () => {
    await psqlOk(tenant, 'primary', 'CREATE TABLE first (n int); INSERT INTO first VALUES (1)');
    await until(
      'the row is on a replica',
      async () => (await psqlOk(tenant, 'replica', 'SELECT count(*) FROM first')) === '1',
    );
    expect(await psqlOk(tenant, 'replica', 'SELECT pg_is_in_recovery()')).toBe('t');
    expect(await psqlOk(tenant, 'primary', 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).toBe('t');
  });

  test.each(['primary', 'replica', 'direct', 'direct-ro'])('answers for %s on every entry host', async (service) => {
    const port = (await statusOf(tenant)).services.find((s) => s.service === service)!.port;
    for (const address of Object.values(addresses())) {
      const client = serviceClient(tenant, address, port);
      await client.connect();
      const { rows } = await client.query<{ replica: boolean }>('SELECT pg_is_in_recovery() AS replica');
      await client.end();
      expect(rows[0]!.replica).toBe(service === 'replica' || service === 'direct-ro');
    }
  });

  test('refuses a client without TLS', async () => {
    const url = (await pgsOk(['cluster', 'url', tenant, '--service', 'primary']))
      .trim()
      .replace('sslmode=verify-full', 'sslmode=disable');
    const { run } = await import('./machines.js');
    const ran = await run('psql', ['-XqAt', url, '-c', 'SELECT 1']);
    expect(ran.code).not.toBe(0);
    expect(ran.stderr).toMatch(/SSL required|no encryption|no pg_hba.conf entry/);
  });

  test('has checksums, SCRAM passwords only, and no superuser password', async () => {
    const show = (sql: string) =>
      pgsOk(['cluster', 'psql', tenant, '--superuser', '--command', sql]).then((t) => t.trim());
    expect(await show('SHOW data_checksums')).toBe('on');
    expect(
      await show(
        "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL AND rolpassword NOT LIKE 'SCRAM-SHA-256$%'",
      ),
    ).toBe('0');
    expect(await show("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'postgres'")).toBe('t');
  });

  test('runs as its own OS user in 0700 directories', async () => {
    const owner = await onOk(
      'h1',
      `stat -c '%U %a' /var/lib/pgs/${tenant} /run/pgs/${tenant} /etc/pgs/tenants/${tenant}`,
    );
    expect(owner.trim().split('\n')).toEqual(Array(3).fill(`pgs-${tenant} 700`));
    expect(await onOk('h1', `ps -o user= -C postgres | sort -u`)).toMatch(/pgs-acme|pgs-ac/);
  });

  test('a second create of the same finds nothing to do and restarts nothing', async () => {
    const before = await unitStarts();
    const plan = await pgsJson<{ changes: number }>(['apply', tenant]);
    expect(plan.changes).toBe(0);
    await pgsOk(['cluster', 'create', tenant, '--replicas', '2']);
    expect(await unitStarts()).toBe(before);
    expect((await pgs(['plan', tenant])).code).toBe(0);
  });

  test('refuses a create of the same name with another spec, and says what differs', async () => {
    const ran = await pgs(['cluster', 'create', tenant, '--replicas', '2', '--rto', 'fast']);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/rto: "norm" there, "fast" asked for/);
  });

  test('may be left out of a command when it is the only one', async () => {
    expect((await pgsJson<Status>(['cluster', 'status'])).tenant).toBe(tenant);
  });

  test('shows a spec that applies to nothing', async () => {
    const file = `/tmp/pgs-ci-${tenant}.yaml`;
    const { writeFileSync, rmSync } = await import('node:fs');
    writeFileSync(file, await pgsOk(['cluster', 'show', tenant, '-o', 'yaml']));
    expect((await pgs(['plan', '-f', file])).code).toBe(0);
    rmSync(file);
  });
});

async function unitStarts(): Promise<string> {
  const units = `pgs-patroni@${tenant}.service pgs-haproxy.service pgs-etcd.service`;
  const all = await Promise.all(
    ['h1', 'h2', 'h3'].map((h) => onOk(h, `systemctl show -p ActiveEnterTimestampMonotonic -p MainPID ${units}`)),
  );
  return all.join('\n');
}

/** Fails with the plan's own words. */
async function expectNothingToDo(): Promise<void> {
  const plan = await pgs(['plan', tenant]);
  expect(plan, plan.stdout).toMatchObject({ code: 0 });
}

describe('drift', () => {
  test('of an edited file and a stopped unit is shown and mended, without touching PostgreSQL', async () => {
    const postmaster = await onOk('h2', `head -1 /var/lib/pgs/${tenant}/data/postmaster.pid`);
    await onOk('h2', `echo '# edited' >> /etc/pgs/haproxy/conf.d/tenant-${tenant}.cfg; systemctl stop pgs-haproxy`);
    const plan = await pgs(['plan', tenant]);
    expect(plan.code).toBe(3);
    expect(plan.stdout).toMatch(/- # edited/);
    expect((await statusOf(tenant)).drift.length).toBeGreaterThan(0);
    await pgsOk(['apply', tenant]);
    await expectNothingToDo();
    expect(await onOk('h2', `head -1 /var/lib/pgs/${tenant}/data/postmaster.pid`)).toBe(postmaster);
  });

  test('written but not loaded, as when pgs was killed in between, is still seen', async () => {
    const file = `/etc/pgs/haproxy/conf.d/tenant-${tenant}.cfg`;
    await onOk('h1', `sed -i 's|^[0-9a-f]*  ${file}$|${'0'.repeat(64)}  ${file}|' /run/pgs/stamps/pgs-haproxy.service`);
    const plan = await pgs(['plan', tenant]);
    expect(plan.code).toBe(3);
    expect(plan.stdout).toMatch(/reload pgs-haproxy[^]*has not loaded .*tenant-acme.cfg/);
    await pgsOk(['apply', tenant]);
    await expectNothingToDo();
  });

  test('of the settings in the DCS is put back', async () => {
    await onOk(
      'h1',
      `runuser -u pgs-${tenant} -- patronictl -c /etc/pgs/tenants/${tenant}/patroni.yml edit-config --force -s ttl=77 -q`,
    );
    expect((await pgs(['plan', tenant])).stdout).toMatch(/ttl/);
    await pgsOk(['apply', tenant]);
    await expectNothingToDo();
  });
});

describe('switchover', () => {
  test('moves the leader, and the same strings go on working', async () => {
    const before = await statusOf(tenant);
    const result = await pgsJson<{ from: string; to: string }>(['switchover', tenant]);
    expect(result.from).toBe(before.leader);
    const after = await untilHealthy(tenant);
    expect(after.leader).toBe(result.to);
    await psqlOk(tenant, 'primary', 'INSERT INTO first VALUES (2)');
    expect(await psqlOk(tenant, 'primary', 'SELECT count(*) FROM first')).toBe('2');
  });

  test.each([
    [['--to', 'nobody-1'], 2, /no member nobody-1/],
    [['--to', 'acme-9'], 2, /acme has acme-1, acme-2, acme-3/],
  ])('to %j is refused', async (args, code, message) => {
    const ran = await pgs(['switchover', tenant, ...args]);
    expect(ran.code).toBe(code);
    expect(ran.stderr).toMatch(message);
  });

  test('to the leader is refused', async () => {
    const { leader } = await statusOf(tenant);
    expect((await pgs(['switchover', tenant, '--to', leader!])).code).toBe(2);
  });
});

describe('a second tenant on the same hosts', () => {
  test('works beside the first, whose processes and leader do not change', async () => {
    const before = await unitStarts();
    const { leader } = await statusOf(tenant);
    const session = await openSession();
    await pgsOk(['cluster', 'create', other, '--rto', 'fast', '--set', 'work_mem=3MB']);
    expect((await statusOf(other)).healthy).toBe(true);
    expect(await psqlOk(other, 'primary', 'SHOW work_mem')).toBe('3MB');
    expect(await unitStarts()).toBe(before);
    expect((await statusOf(tenant)).leader).toBe(leader);
    // A session that was open through the reloads of HAProxy is still the same one.
    expect((await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows).toHaveLength(1);
    await session.end();
  });

  test('shares nothing with the first: no table, port, member or user', async () => {
    const tables = await psqlOk(other, 'primary', "SELECT count(*) FROM pg_tables WHERE tablename = 'first'");
    expect(tables).toBe('0');
    const list = await pgsJson<{ clusters: { tenant: string; ports: { from: number } }[] }>(['cluster', 'list']);
    expect(new Set(list.clusters.map((c) => c.ports.from)).size).toBe(list.clusters.length);
    const slice = await onOk('h1', `systemctl show -p Slice --value pgs-patroni@${other}.service`);
    expect(slice.trim()).toBe('pgs-acme\\x2dco.slice');
  });

  test('makes a command without a name ask which one, until `pgs use` says', async () => {
    const ran = await pgs(['cluster', 'status']);
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(/acme, acme-co/);
    await pgsOk(['use', other]);
    expect((await pgsJson<Status>(['cluster', 'status'])).tenant).toBe(other);
    await pgsOk(['use', tenant]);
  });

  test('is changed by a spec file: settings and timing, without a restart', async () => {
    const { writeFileSync, rmSync } = await import('node:fs');
    const file = `/tmp/pgs-ci-${other}.yaml`;
    writeFileSync(file, `tenant: ${other}\nrto: safe\nsettings:\n  work_mem: 5MB\n`);
    const postmaster = await onOk('h1', `head -1 /var/lib/pgs/${other}/data/postmaster.pid`);
    expect((await pgs(['plan', '-f', file])).code).toBe(3);
    await pgsOk(['apply', '-f', file]);
    await until('the setting is in force', async () => (await psqlOk(other, 'primary', 'SHOW work_mem')) === '5MB');
    expect(await onOk('h1', `head -1 /var/lib/pgs/${other}/data/postmaster.pid`)).toBe(postmaster);
    rmSync(file);
  });

  test('is destroyed only with its name confirmed, and leaves the first alone', async () => {
    expect((await pgs(['cluster', 'destroy', other])).code).toBe(2);
    expect((await statusOf(other)).healthy).toBe(true);
    const session = await openSession();
    await pgsOk(['cluster', 'destroy', other, '--yes']);
    expect((await session.query('SELECT 1')).rows).toHaveLength(1);
    await session.end();
    expect((await statusOf(tenant)).healthy).toBe(true);
  });

  test('keeps its data unless purged: refused to a new one, taken over with --reuse-data', async () => {
    expect((await onOk('h1', `ls /var/lib/pgs/${other}/data/PG_VERSION`)).trim()).not.toBe('');
    const ran = await pgs(['cluster', 'create', other]);
    expect(ran.code).toBe(5);
    expect(ran.stderr).toMatch(/--reuse-data/);
    await pgsOk(['cluster', 'create', other, '--reuse-data']);
    expect((await statusOf(other)).healthy).toBe(true);
    expect(await psqlOk(other, 'primary', 'SHOW work_mem')).toBe('5MB');
  });

  test('purged, leaves no file, user, unit, port or key', async () => {
    await pgsOk(['cluster', 'destroy', other, '--purge-data', '--yes']);
    for (const host of ['h1', 'h2', 'h3']) {
      expect((await on(host, `getent passwd pgs-${other}`)).code).not.toBe(0);
      expect(
        (
          await onOk(
            host,
            `find / -xdev -name '*${other}*' -not -path '/proc/*' -not -path '/var/log/*' -not -path '/sys/*' 2>/dev/null || true`,
          )
        ).trim(),
      ).toBe('');
      expect((await onOk(host, `systemctl list-units --all --plain --no-legend '*${other}*'`)).trim()).toBe('');
    }
    const list = await pgsJson<{ clusters: { tenant: string }[] }>(['cluster', 'list']);
    expect(list.clusters.map((c) => c.tenant)).toEqual([tenant]);
    expect((await psql(tenant, 'primary', 'SELECT 1')).code).toBe(0);
  });
});

/** A session of the first tenant that stays open while others come and go. */
async function openSession() {
  const port = (await statusOf(tenant)).services[0]!.port;
  const client = serviceClient(tenant, addresses().h2!, port);
  await client.connect();
  return client;
}
