// The fencing service of a shared host on bad days. The machines are containers: what the service does is the same, only the kernel's
// watchdog behind systemd is not there, and status says so.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { fireUnderLoad, letLead, recordTrial } from '../fencing-trial.js';
import {
  addresses,
  destroyQuietly,
  on,
  onOk,
  pgs,
  pgsOk,
  serviceClient,
  statusOf,
  until,
  untilHealthy,
} from '../machines.js';
import { overlapMs, probeWrites } from '../write-probe.js';

const tenant = 'fenced';
const neighbour = 'beside';
const fence = 'pgs-fence.service';
const patroni = `pgs-patroni@${tenant}.service`;

beforeAll(async () => {
  for (const name of [tenant, neighbour]) {
    await pgsOk(['cluster', 'create', name, '--watchdog', 'automatic', '--rto', 'fast']);
    await pgsOk(['cluster', 'url', name]);
  }
});

afterAll(async () => {
  await destroyQuietly(tenant);
  await destroyQuietly(neighbour);
});

async function leaderHost(): Promise<{ member: string; host: string }> {
  const { leader, members } = await untilHealthy(tenant);
  return { member: leader!, host: members.find((m) => m.name === leader)!.host };
}

/** Process id and start of the tenant's postmaster: the same as long as it was not restarted. */
async function postmaster(host: string, of = tenant): Promise<string> {
  return (await on(host, `head -n 3 /var/lib/pgs/${of}/data/postmaster.pid`)).stdout;
}

interface Kept {
  armed: boolean;
  lastS: number;
  fenced: { reason: string; afterKeepaliveS: number } | null;
}

async function kept(host: string, of = tenant): Promise<Kept> {
  const state = JSON.parse(await onOk(host, 'cat /run/pgs/fence.json')) as { tenants: Record<string, Kept> };
  return state.tenants[of]!;
}

async function untilFenced(host: string): Promise<Kept> {
  await until(`${tenant} is fenced on ${host}`, async () => (await kept(host)).fenced !== null);
  return kept(host);
}

test('a Patroni that hangs is killed with its tenant alone, and its neighbour leads on undisturbed', async () => {
  const { host } = await leaderHost();
  await letLead(neighbour, host);
  await untilHealthy(neighbour);
  const before = await postmaster(host, neighbour);
  const trial = await fireUnderLoad(tenant, (await leaderHost()).member);
  recordTrial('fencing-container-pipe', trial);
  expect(trial.result).toMatchObject({ passed: true, machineReset: false });
  expect(trial.result.neighbours).toEqual([{ tenant: neighbour, undisturbed: true }]);
  expect(trial.overlapMs).toBe(0);
  expect(trial.ledger).toMatchObject({ lost: [], risen: [] });
  expect(await postmaster(host, neighbour)).toBe(before);
  expect((await statusOf(neighbour)).members.find((m) => m.host === host)!.role).toBe('leader');
}, 300_000);

test('a Patroni that is killed comes back, takes its PostgreSQL over and arms again: nothing is fenced', async () => {
  const { member, host } = await leaderHost();
  const before = await postmaster(host);
  const { lastS } = await kept(host);
  await onOk(host, `systemctl kill --kill-whom=main --signal=KILL ${patroni}`);
  await until('keepalives go on', async () => (await kept(host)).lastS > lastS + 15);
  expect(await postmaster(host)).toBe(before);
  expect(await kept(host)).toMatchObject({ armed: true, fenced: null });
  expect((await untilHealthy(tenant)).leader).toBe(member);
});

test('a Patroni that is killed and may not come back is fenced', async () => {
  const { member, host } = await leaderHost();
  const dropIn = `/run/systemd/system/${patroni}.d`;
  await onOk(
    host,
    `mkdir -p ${dropIn} && printf '[Service]\\nRestart=no\\n' >${dropIn}/no.conf && systemctl daemon-reload`,
  );
  try {
    await onOk(host, `systemctl kill --kill-whom=main --signal=KILL ${patroni}`);
    expect((await untilFenced(host)).fenced!.reason).toMatch(/no keepalive/);
    // Its poolers come back: they lead nowhere.
    expect((await on(host, `pgrep -l -u pgs-${tenant} 'postgres|patroni'`)).stdout).toBe('');
  } finally {
    await onOk(host, `rm -r ${dropIn} && systemctl daemon-reload && systemctl start ${patroni}`);
  }
  expect((await untilHealthy(tenant)).leader).not.toBe(member);
});

test('a clean restart and a clean stop of Patroni disarm: nothing is fenced', async () => {
  const { host } = await leaderHost();
  await onOk(host, `systemctl restart ${patroni}`);
  await untilHealthy(tenant);
  const again = await leaderHost();
  await onOk(again.host, `systemctl stop ${patroni}`);
  await until('it is disarmed', async () => !(await kept(again.host)).armed);
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  expect((await kept(again.host)).fenced).toBeNull();
  await onOk(again.host, `systemctl start ${patroni}`);
  await untilHealthy(tenant);
  for (const h of [host, again.host])
    expect((await on(h, `journalctl -u ${fence} --since -60s | grep FENCED`)).stdout).toBe('');
}, 200_000);

// Patroni before 4.1.4 disarms when primary_stop_timeout is over, whether sessions still run or not. It sends no keepalive in a stop of
// its own, so the fencing service is first.
test('a stop that a session holds up is fenced before Patroni would disarm with the session still there', async () => {
  const { host } = await leaderHost();
  const { port } = (await statusOf(tenant)).services.find((s) => s.service === 'direct')!;
  const client = serviceClient(tenant, addresses()[host]!, port);
  await client.connect();
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  await onOk(host, `kill -STOP ${rows[0]!.pid} && systemctl stop --no-block ${patroni}`);
  const { fenced } = await untilFenced(host);
  expect(fenced!.reason).toMatch(/no keepalive/);
  expect(fenced!.afterKeepaliveS).toBeLessThan(16);
  await until('the session is gone', async () => (await on(host, `kill -0 ${rows[0]!.pid}`)).code !== 0, 5_000);
  await client.end().catch(() => undefined);
  await until('Patroni is stopped', async () => (await on(host, `systemctl is-active ${patroni}`)).code !== 0);
  await onOk(host, `systemctl start ${patroni}`);
  await untilHealthy(tenant);
}, 200_000);

test.each([
  ['killed', `systemctl kill --kill-whom=main --signal=KILL ${fence}`],
  ['stalled', `systemctl kill --kill-whom=main --signal=STOP ${fence}`],
  ['restarted', `systemctl restart ${fence}`],
  ['reloaded', `systemctl reload ${fence}`],
])(
  'a fencing service that is %s never loses cover: a Patroni that hangs with it is killed in time',
  async (_how, command) => {
    const { member, host } = await leaderHost();
    await onOk(host, `${command}; systemctl kill --kill-whom=main --signal=STOP ${patroni}`);
    const { fenced } = await untilFenced(host);
    // 12 s, and 4 s for a service that stalls (watchdog/policy.ts); the key lives 18 s.
    expect(fenced!.afterKeepaliveS).toBeLessThan(16);
    await until('another member leads', async () => ![null, member].includes((await statusOf(tenant)).leader));
    await untilHealthy(tenant);
  },
  200_000,
);

test('a fencing service that is killed or stalls beside a healthy Patroni disturbs nobody', async () => {
  const { member, host } = await leaderHost();
  const before = [await postmaster(host), await postmaster(host, neighbour)];
  for (const signal of ['KILL', 'STOP']) {
    const { lastS } = await kept(host);
    await onOk(host, `systemctl kill --kill-whom=main --signal=${signal} ${fence}`);
    await until('keepalives are taken again', async () => (await kept(host)).lastS > lastS + 6);
  }
  expect([await postmaster(host), await postmaster(host, neighbour)]).toEqual(before);
  expect((await statusOf(tenant)).leader).toBe(member);
});

test('a fencing service that is stopped fences who was armed; Patroni, which comes back, brings it back too', async () => {
  const { member, host } = await leaderHost();
  await onOk(host, `systemctl stop ${fence}`);
  expect((await kept(host)).fenced!.reason).toBe('the fencing service was stopped');
  await until('another member leads', async () => ![null, member].includes((await statusOf(tenant)).leader));
  await until('it runs again', async () => (await on(host, `systemctl is-active ${fence}`)).stdout.trim() === 'active');
  await untilHealthy(tenant);
}, 200_000);

test('a fencing service that is stopped for good fences who was armed, and nobody can arm without it', async () => {
  const { member, host } = await leaderHost();
  const dropIn = `/run/systemd/system/${fence}.d`;
  await onOk(
    host,
    `mkdir -p ${dropIn} && printf '[Unit]\\nConditionPathExists=/nowhere\\n' >${dropIn}/no.conf && systemctl daemon-reload && systemctl stop ${fence}`,
  );
  expect((await kept(host)).fenced!.reason).toBe('the fencing service was stopped');
  expect((await on(host, `ls /run/pgs/fence/${tenant}/pipe`)).code).not.toBe(0);
  await until('another member leads', async () => ![null, member].includes((await statusOf(tenant)).leader));
  const { stdout } = await pgs(['watchdog', 'status', tenant]);
  expect(stdout).toContain('the fencing service is inactive');
  await onOk(host, `rm -r ${dropIn} && systemctl daemon-reload`);
  await pgsOk(['apply', tenant]);
  expect((await on(host, `systemctl is-active ${fence}`)).stdout.trim()).toBe('active');
  await untilHealthy(tenant);
}, 200_000);

test('a fencing service that cannot be kept running leaves nobody armed', async () => {
  const { member, host } = await leaderHost();
  const program = '/usr/local/lib/pgs/fence';
  await onOk(host, `cp ${program} /root/fence && printf '#!/bin/false\\n' >${program}`);
  try {
    await onOk(host, `systemctl kill --kill-whom=main --signal=KILL ${fence}`);
    await until(
      'it has failed for good',
      async () => (await on(host, `systemctl is-failed ${fence}`)).stdout.trim() === 'failed',
    );
    await until('the last resort has fenced', async () =>
      (await on(host, 'journalctl -u pgs-fence-failed.service')).stdout.includes(`${tenant}: FENCED`),
    );
    expect((await on(host, `ls /run/pgs/fence/${tenant}/pipe`)).code).not.toBe(0);
    await until('another member leads', async () => ![null, member].includes((await statusOf(tenant)).leader));
  } finally {
    await onOk(host, `cp /root/fence ${program}`);
    await pgsOk(['apply', tenant]);
  }
  await untilHealthy(tenant);
}, 200_000);

test('verify refuses a member that does not lead, one that is not there, and a tenant without a watchdog', async () => {
  const { member } = await leaderHost();
  const replica = (await statusOf(tenant)).members.find((m) => m.name !== member)!.name;
  const refused = await pgs(['watchdog', 'verify', tenant, '--member', replica]);
  expect(refused.code).toBe(5);
  expect(refused.stderr).toContain(`pgs switchover ${tenant} --to ${replica}`);
  expect((await pgs(['watchdog', 'verify', tenant, '--member', 'nobody-1'])).code).toBe(2);
});

test('without a watchdog the same hang has two members that take writes', async () => {
  await pgsOk(['cluster', 'create', 'open', '--watchdog', 'off', '--rto', 'fast', '--hosts', 'h1,h2,h3']);
  await pgsOk(['cluster', 'url', 'open']);
  const { leader, members } = await statusOf('open');
  const host = members.find((m) => m.name === leader)!.host;
  const probe = await probeWrites('open');
  const patroni = 'systemctl kill --kill-whom=main pgs-patroni@open.service --signal';
  try {
    await until('the leader takes writes', () => Promise.resolve(probe.writers().length === 1));
    await onOk(host, `${patroni} STOP`);
    await until('two members take writes', () => Promise.resolve(overlapMs(probe.writers()) > 1000));
    recordTrial('fencing-counter-proof', { writers: probe.writers(), overlapMs: overlapMs(probe.writers()) });
    expect((await statusOf('open')).fencing.verdict).toBe('not fenced');
  } finally {
    await onOk(host, `${patroni} CONT`);
    await probe.stop();
    await destroyQuietly('open');
  }
}, 400_000);
