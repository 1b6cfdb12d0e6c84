// A disk that fills up under a running member: the cluster goes on without it, pgs tells why, and with space it heals.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { destroyQuietly, onOk, pgsOk, psql, psqlOk, statusOf, until, untilHealthy } from '../machines.js';

const tenant = 'brim';
const patroniUnit = `pgs-patroni@${tenant}.service`;

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await psqlOk(tenant, 'primary', 'CREATE TABLE kept (n int)');
});

afterAll(async () => {
  await destroyQuietly(tenant);
});

test('status and logs tell, the leader writes on, and with space it heals', async () => {
  const { host, name } = (await untilHealthy(tenant)).members.find((m) => m.role !== 'leader')!;
  const home = `/var/lib/pgs/${tenant}`;
  // A file system of its own, which can be shrunk to what is used.
  await onOk(
    host,
    [
      `systemctl stop ${patroniUnit} && cp -a ${home} /root/copy`,
      `mount -t tmpfs -o size=1g,mode=700,uid=$(id -u pgs-${tenant}),gid=$(id -g pgs-${tenant}) tmpfs ${home}`,
      `cp -a /root/copy/. ${home}/ && rm -rf /root/copy && systemctl start ${patroniUnit}`,
    ].join(' && '),
  );
  try {
    await untilHealthy(tenant);
    await onOk(host, `mount -o remount,size=$(($(df -k --output=used ${home} | tail -1) + 512))k ${home}`);
    await psqlOk(
      tenant,
      'primary',
      'CREATE TABLE big AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 60000) n',
    );
    await until('the replica fails', async () => {
      const member = (await statusOf(tenant)).members.find((m) => m.name === name)!;
      return member.state !== 'streaming';
    });
    expect((await statusOf(tenant)).healthy).toBe(false);
    expect(await pgsOk(['cluster', 'logs', tenant, '--member', name, '-n', '200'])).toMatch(/No space left on device/);
    expect((await psql(tenant, 'primary', 'INSERT INTO kept VALUES (3)')).code).toBe(0);
    await onOk(host, `mount -o remount,size=1g ${home}`);
    await untilHealthy(tenant);
  } finally {
    await onOk(host, `systemctl stop ${patroniUnit}; umount -l ${home}; systemctl start ${patroniUnit}`);
    await psql(tenant, 'primary', 'DROP TABLE IF EXISTS big');
    await untilHealthy(tenant);
  }
});
