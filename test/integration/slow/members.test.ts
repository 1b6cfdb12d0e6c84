// Members that come and go on real machines, while clients write through `primary`: nothing acknowledged is lost. Clients that come meanwhile
// feel nothing; a session through the pooler of a host that a member leaves ends once, between two transactions.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { judgeLedger } from '../../../chaos/ledger.js';
import { startWriter } from '../../../chaos/writer.js';
import {
  addresses,
  freshSandbox,
  on,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  power,
  psqlOk,
  serviceConnector,
  statusOf,
  until,
  untilHealthy,
  type Status,
} from '../machines.js';
import { underLoad, unfelt } from '../under-load.js';

const tenant = 'moving';
let port: number;

beforeAll(async () => {
  await freshSandbox(4);
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  port = (await pgsJson<{ ports: { primary: number } }>(['cluster', 'show', tenant])).ports.primary;
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(() => freshSandbox(3));

const hostsOf = (status: Status) => status.members.map((m) => m.host).sort();
const freeHost = (status: Status) => Object.keys(addresses()).find((host) => !hostsOf(status).includes(host))!;
const planned = async () => (await pgs(['plan', tenant])).code;

test('a replica more and one less is felt by no client, restarts nobody, and a second time changes nothing', async () => {
  const before = await untilHealthy(tenant);
  const stays = hostsOf(before);
  const starts = () =>
    Promise.all(stays.map((host) => onOk(host, `head -1 /var/lib/pgs/${tenant}/data/postmaster.pid`)));
  const started = await starts();
  const added = freeHost(before);
  const job = async () => {
    await pgsOk(['cluster', 'scale', tenant, '--replicas', '3']);
    expect((await statusOf(tenant)).members).toHaveLength(4);
    expect(await pgsJson(['cluster', 'scale', tenant, '--replicas', '3'])).toMatchObject({ changes: 0 });
    await pgsOk(['cluster', 'scale', tenant, '--replicas', '2']);
  };
  const verdict = await underLoad(tenant, job, stays);
  expect(verdict).toMatchObject({ lost: [], duplicated: [], risen: [] });
  expect(await starts()).toEqual(started);
  expect(hostsOf(await untilHealthy(tenant))).toEqual(stays);
  expect(await planned()).toBe(0);
  expect((await on(added, `test -d /var/lib/pgs/${tenant}/data`)).code).toBe(0);
  expect((await onOk(added, `pgrep -c -u pgs-${tenant} || true`)).trim()).toBe('0');
  expect(verdict).toMatchObject(unfelt);
}, 400_000);

test('the leader is replaced after it handed over, and its key, slot and access are gone', async () => {
  const before = await untilHealthy(tenant);
  const old = before.members.find((m) => m.name === before.leader)!;
  const stays = hostsOf(before).filter((host) => host !== old.host);
  const dry = await pgs(['cluster', 'replace', old.name, '--dry-run']);
  expect(dry.code).toBe(3);
  expect(dry.stdout).toContain(`let another member than ${old.name} lead`);
  const job = async () => {
    await pgsOk(['cluster', 'replace', old.name]);
    expect(await pgsJson(['cluster', 'replace', old.name])).toMatchObject({ changes: 0 });
  };
  const verdict = await underLoad(tenant, job, stays);
  expect(verdict).toMatchObject(unfelt);
  const after = await untilHealthy(tenant);
  expect(after.members.map((m) => m.name)).not.toContain(old.name);
  expect(after.members).toHaveLength(3);
  const address = addresses()[old.host]!;
  for (const host of hostsOf(after)) {
    expect(await onOk(host, `cat /var/lib/pgs/${tenant}/data/pg_hba.conf`)).not.toContain(address);
    expect(await onOk(host, `cat /etc/pgs/haproxy/conf.d/tenant-${tenant}.cfg`)).not.toContain(`${old.name} `);
  }
  expect(await planned()).toBe(0);
}, 400_000);

test('a lost member is replaced, and what comes back on its host cannot take part until an apply removes it', async () => {
  const before = await untilHealthy(tenant);
  const lost = before.members.find((m) => m.name !== before.leader)!;
  const other = before.members.find((m) => m.name !== before.leader && m !== lost)!;
  await power(lost.host, 'off');
  await until('its loss is seen', async () => !(await statusOf(tenant)).healthy);
  const refused = await pgs(['cluster', 'replace', other.name]);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain(`pgs cluster replace ${lost.name}`);
  const writer = startWriter({
    connect: serviceConnector(tenant, [addresses()[before.members.find((m) => m.name === before.leader)!.host]!], port),
    table: 'ledger',
    intervalMs: 50,
    kind: 'session',
    firstKey: 1,
  });
  expect((await pgs(['cluster', 'replace', lost.name])).code).toBe(4);
  const journal = await writer.stop();
  const rows = await psqlOk(tenant, 'primary', 'SELECT key FROM ledger');
  expect(journal.length).toBeGreaterThan(20);
  expect(judgeLedger(journal, rows.split('\n').map(Number))).toMatchObject({ ...unfelt, risen: [] });
  const after = await untilHealthy(tenant);
  expect(after.warnings.join('\n')).toContain('its login to etcd works no more');
  await power(lost.host, 'on');
  await until('its Patroni tried', async () =>
    /waiting on etcd/.test((await on(lost.host, `journalctl -b -u pgs-patroni@${tenant} --no-pager`)).stdout),
  );
  expect((await statusOf(tenant)).members.map((m) => m.name)).not.toContain(lost.name);
  await pgsOk(['apply', tenant]);
  expect((await onOk(lost.host, `pgrep -c -u pgs-${tenant} || true`)).trim()).toBe('0');
  expect(await planned()).toBe(0);
}, 500_000);
