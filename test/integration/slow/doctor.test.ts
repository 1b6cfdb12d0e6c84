// What is wrong, planted on real machines: `pgs doctor` finds it, and the command that it prints mends it.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { armUndo } from '../../../chaos/arm.js';
import { shellLine } from '../../../src/host/shell-words.js';
import { reveal } from '../../../src/secrets/secret.js';
import { destroyQuietly, on, onOk, pgs, pgsJson, pgsOk, power, psqlOk, until, untilHealthy } from '../machines.js';

const tenant = 'ailing';
const patroni = `pgs-patroni@${tenant}.service`;

interface Finding {
  id: string;
  severity: string;
  host: string | null;
  what: string;
  evidence: string;
  mend: { command: string; on: string | null };
}

let replica: { name: string; host: string };
let leader: { name: string; host: string };
let ports: { postgres: number; pooler: number };

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast', '--watchdog', 'automatic']);
  ports = (await pgsJson<{ ports: typeof ports }>(['cluster', 'show', tenant])).ports;
  await lookWhoLeads();
});

afterAll(async () => {
  await pgs(['cluster', 'resume', tenant]);
  await destroyQuietly(tenant);
});

async function lookWhoLeads(): Promise<void> {
  const { members } = await untilHealthy(tenant);
  leader = members.find((m) => m.role === 'leader')!;
  replica = members.find((m) => m.role !== 'leader')!;
}

async function findings(): Promise<Finding[]> {
  const ran = await pgs(['doctor', tenant, '-o', 'json']);
  const report = JSON.parse(ran.stdout) as { findings: Finding[] };
  expect(ran.code).toBe(
    report.findings.length === 0 ? 0 : report.findings.every((f) => f.severity === 'unknown') ? 4 : 1,
  );
  return report.findings;
}

async function untilFound(id: string): Promise<Finding> {
  let found: Finding | undefined;
  await until(`${id} is found`, async () => (found = (await findings()).find((f) => f.id === id)) !== undefined);
  return found!;
}

/** Types what was printed where it was said, and answers what asks. */
async function mend({ mend: { command, on: host } }: Finding): Promise<void> {
  if (host !== null) await onOk(host, command);
  else {
    const asks = /^pgs cluster (reinit|destroy)|^pgs failover/.test(command);
    await pgsOk([...command.split(' ').slice(1), ...(asks ? ['--yes'] : [])]);
  }
}

/** `[id, what is wrong, how it is planted]` */
const planted: [id: string, what: string, plant: () => Promise<unknown>][] = [
  ['patroni-paused', 'a pause that was forgotten', () => pgsOk(['cluster', 'pause', tenant])],
  [
    'pooler-down',
    'a pooler that was stopped',
    () => onOk(replica.host, `systemctl stop pgs-pgbouncer@${tenant}.service`),
  ],
  ['pooler-paused', 'a pooler that holds its clients', () => onOk(replica.host, pooler('PAUSE'))],
  ['haproxy-down', 'HAProxy that was stopped', () => onOk(replica.host, 'systemctl stop pgs-haproxy.service')],
  [
    'fencing-service-down',
    'a fencing service that was stopped',
    () => onOk(replica.host, 'systemctl stop pgs-fence.service'),
  ],
  [
    'process-stopped',
    'a Patroni that was stopped by a signal',
    () => onOk(replica.host, `systemctl kill --signal=STOP --kill-whom=main ${patroni}`),
  ],
  ['member-down', 'a Patroni that was stopped', () => onOk(replica.host, `systemctl stop ${patroni}`)],
  [
    'etcd-member-down',
    'a member of etcd that was stopped',
    () => onOk(replica.host, 'systemctl stop pgs-etcd.service'),
  ],
  ['foreign-key', 'a key that is nobody’s', () => onOk(replica.host, etcdctl(`put /pgs/dcs/${tenant}/notes x`))],
  [
    'failsafe-off',
    'failsafe mode that was switched off',
    () => changeConfig('s/"failsafe_mode": *true/"failsafe_mode":false/'),
  ],
  [
    'restart-pending',
    'a parameter that waits for a restart',
    () => changeConfig('s/"parameters": *{/"parameters":{"wal_buffers":"5MB",/'),
  ],
  ['fault-left', 'an undo that a drill left', leaveUndo],
  [
    'undo-armed',
    'a timer of a change of leader',
    () => onOk(replica.host, `systemd-run --quiet --on-active=900 --unit=pgs-resume-00ff@${tenant} true`),
  ],
  ['distribution-unit-runs', 'a unit of the distribution', distributionUnit],
  ['package-not-held', 'a package that is not held', () => onOk(replica.host, 'apt-mark unhold patroni')],
  ['upgrades-unguarded', 'a guard that was removed', unguard],
  [
    'unit-failed',
    'a unit that failed',
    () => onOk(replica.host, `${failsOnce} && systemctl start pgs-broken.service && sleep 1`),
  ],
  ['drift', 'a file that was edited', () => onOk(replica.host, `echo '# mine' >>/etc/systemd/system/${patroni}`)],
  ['haproxy-stale', 'a configuration that HAProxy has not loaded', staleHaproxy],
  ['second-postmaster', 'a second PostgreSQL of the tenant', secondPostmaster],
  ['slot-holds-wal', 'a slot of a member that is away', slotHoldsWal],
  ['member-does-not-start', 'damaged data', damage],
];

function pooler(command: string): string {
  return `runuser -u pgs-${tenant} -- psql -Xqw -h /run/pgs/${tenant} -p ${ports.pooler} -U pgbouncer -c ${command} pgbouncer`;
}

const unitLines = "'[Service]' 'ExecStart=/bin/sh -c \"test -e /root/tried && sleep 900; touch /root/tried; exit 1\"'";
/** What is well the second time. */
const failsOnce = `rm -f /root/tried; printf '%s\\n' ${unitLines} >/run/systemd/system/pgs-broken.service && systemctl daemon-reload`;

/** As root of etcd, from a member's own files. */
function etcdctl(words: string): string {
  const tls = '/etc/pgs/etcd/tls';
  return `set -a; . /etc/pgs/etcd-defrag.env; ETCDCTL_API=3 ETCDCTL_CACERT=${tls}/client-ca.crt ETCDCTL_CERT=${tls}/server.crt ETCDCTL_KEY=${tls}/server.key; etcdctl --endpoints=https://127.0.0.1:2379 ${words}`;
}

async function changeConfig(expression: string): Promise<void> {
  const key = `/pgs/dcs/${tenant}/config`;
  await onOk(
    replica.host,
    `${etcdctl(`get --print-value-only ${key}`)} | sed '${expression}' >/root/config && ${etcdctl(`put ${key}`)} </root/config`,
  );
}

async function leaveUndo(): Promise<void> {
  const heal = [{ kind: 'host' as const, host: replica.host, command: { argv: ['true'], timeoutMs: 1000 } }];
  const { argv, stdin } = armUndo('left-by-a-test', tenant, heal, 600_000);
  const ran = await on(replica.host, shellLine(argv), reveal(stdin!));
  expect(ran.stderr).toBe('');
}

async function unguard(): Promise<void> {
  // The program itself is not installed here; what counts is that dpkg says so and the guard is gone.
  const status = [
    'Package: needrestart',
    'Status: install ok installed',
    'Maintainer: nobody',
    'Architecture: all',
    'Version: 0',
    'Description: planted',
    '',
  ];
  await onOk(
    replica.host,
    `printf '%s\\n' '${status.join("' '")}' >>/var/lib/dpkg/status && rm -f /etc/needrestart/conf.d/pgs.conf`,
  );
}

async function distributionUnit(): Promise<void> {
  const lines = "'[Service]' 'ExecStart=/usr/bin/sleep 900' '[Install]' 'WantedBy=multi-user.target'";
  const unit = 'postgresql@17-main.service';
  await onOk(
    replica.host,
    `printf '%s\\n' ${lines} >/etc/systemd/system/${unit} && systemctl daemon-reload && systemctl enable --now ${unit}`,
  );
}

async function staleHaproxy(): Promise<void> {
  // What is loaded is another file than what lies there, which is as it should be: as after a kill between the two.
  const file = `/etc/pgs/haproxy/conf.d/tenant-${tenant}.cfg`;
  await onOk(
    replica.host,
    `cp -a ${file} /root/cfg && echo '# other' >>${file} && systemctl reload pgs-haproxy.service && cp -a /root/cfg ${file}`,
  );
}

async function secondPostmaster(): Promise<void> {
  const bin = '/usr/lib/postgresql/17/bin';
  const make = `cd /tmp && ${bin}/initdb -D /tmp/second -A trust >/dev/null && ${bin}/pg_ctl -D /tmp/second -o "-c listen_addresses= -k /tmp -p 5999" -l /tmp/second.log -w start >/dev/null`;
  await onOk(replica.host, `runuser -u pgs-${tenant} -- sh -c '${make}'`);
}

async function slotHoldsWal(): Promise<void> {
  await onOk(replica.host, `systemctl stop ${patroni}`);
  const line = `SELECT count(pg_logical_emit_message(false, 'doctor', repeat('x', 1048576))) FROM generate_series(1, 300)`;
  const local = `-h /run/pgs/${tenant} -p ${ports.postgres} -U postgres -d postgres`;
  await onOk(leader.host, `runuser -u pgs-${tenant} -- psql -XqAt ${local} -c "${line}"`);
}

async function damage(): Promise<void> {
  const map = `/var/lib/pgs/${tenant}/data/global/pg_filenode.map`;
  await onOk(replica.host, `systemctl stop ${patroni} && rm ${map} && systemctl start ${patroni}`);
}

test('of a fleet in which nothing is wrong, nothing is found', async () => {
  expect(await findings()).toEqual([]);
  const text = await pgsOk(['doctor']);
  expect(text).toContain('nothing is wrong');
});

test.each(planted)('%s: %s is found and mended', { timeout: 240_000 }, async (id, _what, plant) => {
  await untilHealthy(tenant);
  await lookWhoLeads();
  await plant();
  const found = await untilFound(id);
  expect(found.evidence).not.toBe('');
  process.stdout.write(`${id}: ${found.what} | ${found.evidence} | ${found.mend.on ?? ''} ${found.mend.command}\n`);
  await mend(found);
  await until(`${id} is gone`, async () => !(await findings()).some((f) => f.id === id));
});

test('nothing is left of all that', async () => {
  await on(replica.host, 'systemctl stop pgs-broken.service');
  await pgsOk(['host', 'prepare']);
  await pgsOk(['apply', tenant]);
  await until('nothing is wrong', async () => (await findings()).length === 0);
  await psqlOk(tenant, 'primary', 'SELECT 1');
});

test('a host that is off is not known to be fine', async () => {
  await lookWhoLeads();
  await power(replica.host, 'off');
  try {
    const found = await untilFound('host-unreachable');
    expect(found).toMatchObject({ severity: 'unknown', host: replica.host });
  } finally {
    await power(replica.host, 'on');
  }
  await untilHealthy(tenant);
});
