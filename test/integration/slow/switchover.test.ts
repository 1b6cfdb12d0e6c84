// `pgs switchover` on real machines while clients write through `primary`, and the bad days of one. Each leaves the cluster serving and
// says what happened.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addresses,
  destroyQuietly,
  environment,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  power,
  psqlOk,
  root,
  run,
  serviceClient,
  statusOf,
  until,
  untilHealthy,
  type Ran,
} from '../machines.js';
import { underLoad } from '../under-load.js';

const tenant = 'swap';

interface Switched {
  from: string;
  to: string;
  phases: { phase: string; tookMs: number; note: string }[];
  probe: { writeGapMs: number; lost: number; errors: Record<string, number> } | null;
  heldMs: number | null;
  fork: string | null;
}

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'url', tenant]);
  await psqlOk(tenant, 'primary', 'CREATE TABLE ledger (key bigint)');
});

afterAll(async () => {
  for (const host of ['h1', 'h2', 'h3']) await power(host, 'on');
  await destroyQuietly(tenant);
});

const hostOf = async (member: string) => (await statusOf(tenant)).members.find((m) => m.name === member)!.host;

/** `pgs switchover` as a process of its own, to be killed or watched. `reached` resolves when it has printed the phase. */
function startSwitchover(args: string[] = []) {
  const child = spawn(`${root}bin/pgs`, ['switchover', tenant, ...args], { env: environment, cwd: root });
  let printed = '';
  const note = (chunk: Buffer) => (printed += chunk.toString());
  child.stdout.on('data', note);
  child.stderr.on('data', note);
  const ended = new Promise<{ code: number | null; printed: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, printed })),
  );
  const reached = (phase: string) =>
    until(`it is at ${phase}`, () => Promise.resolve(new RegExp(`^ *[\\d.]+s ${phase}`, 'm').test(printed)), 60_000);
  return { child, ended, reached };
}

const nothingLost = { lost: [], duplicated: [], risen: [] };

describe('a switchover under load', () => {
  test('is felt by no client, staying or coming: no error, nothing lost', async () => {
    for (let round = 0; round < 3; round++) {
      await untilHealthy(tenant);
      let done: Switched | null = null;
      const verdict = await underLoad(tenant, async () => (done = await pgsJson<Switched>(['switchover', tenant])));
      const { phases, probe, heldMs, fork } = done!;
      process.stdout.write(
        `gap ${verdict.writeGapMs.toFixed(0)} ms, probe ${probe?.writeGapMs} ms, held ${heldMs} ms, ${JSON.stringify(verdict.errors)} of ${verdict.acknowledged}\n`,
      );
      expect(verdict, JSON.stringify(phases)).toMatchObject({
        ...nothingLost,
        failed: 0,
        indeterminate: 0,
        errors: {},
      });
      expect(phases.map((p) => p.phase)).toEqual([
        'preflight',
        'checkpoint',
        'pause',
        'switchover',
        'resume',
        'verify',
        'settle',
      ]);
      expect(probe).toMatchObject({ lost: 0, errors: {} });
      expect(fork).toBe('at the shutdown');
      expect(heldMs).toBeGreaterThan(0);
    }
  });

  test('goes to the member that was named', async () => {
    const { members, leader } = await untilHealthy(tenant);
    for (const { name } of members.filter((m) => m.name !== leader)) {
      const { to } = await pgsJson<Switched>(['switchover', tenant, '--to', name]);
      expect(to).toBe(name);
      expect((await statusOf(tenant)).leader).toBe(name);
    }
  });

  test('a dry run shows the phases and changes nothing', async () => {
    const { leader } = await untilHealthy(tenant);
    const ran = await pgs(['switchover', tenant, '--dry-run']);
    expect(ran.code).toBe(3);
    expect(ran.stdout).toMatch(/^preflight[^]*^checkpoint[^]*^pause .*by itself after 8 s[^]*^switchover[^]*^verify/m);
    expect((await statusOf(tenant)).leader).toBe(leader);
  });
});

describe('a bad day', () => {
  test('pgs is killed while clients are held: they go on by themselves, and nothing is lost', async () => {
    await untilHealthy(tenant);
    let killedAtMs = 0;
    let resumedAtMs = 0;
    const verdict = await underLoad(tenant, async () => {
      const { child, ended, reached } = startSwitchover();
      await reached('pause');
      child.kill('SIGKILL');
      killedAtMs = performance.now();
      await ended;
      await psqlOk(tenant, 'primary', 'INSERT INTO ledger VALUES (0)');
      resumedAtMs = performance.now();
    });
    // Promised: 10 s; the rest is for the switchover that Patroni may have begun meanwhile.
    expect(resumedAtMs - killedAtMs).toBeLessThan(15_000);
    expect(verdict).toMatchObject({ ...nothingLost, errors: {} });
    await untilHealthy(tenant);
    for (const host of ['h1', 'h2', 'h3']) {
      expect((await onOk(host, `systemctl list-timers --all --no-legend 'pgs-resume-*'`)).trim()).toBe('');
    }
  });

  test('Ctrl-C before Patroni is asked: nothing is changed, and nobody is held', async () => {
    const { leader } = await untilHealthy(tenant);
    const { child, ended, reached } = startSwitchover();
    await reached('preflight');
    child.kill('SIGINT');
    const { code, printed } = await ended;
    expect(code, printed).toBe(4);
    expect(printed).toMatch(/nothing was changed, and nobody is held/);
    expect((await statusOf(tenant)).leader).toBe(leader);
    await psqlOk(tenant, 'primary', 'SELECT 1');
  });

  test('a second switchover at the same time is refused', async () => {
    await untilHealthy(tenant);
    const first = startSwitchover();
    await first.reached('preflight');
    const second = await pgs(['switchover', tenant]);
    expect(second.code, second.stderr).toBe(6);
    expect(second.stderr).toMatch(/switchover swap/);
    expect((await first.ended).code).toBe(0);
  });

  test('a transaction is open for long: refused by name, and ended with --force', async () => {
    const { leader } = await untilHealthy(tenant);
    const url = (await pgsOk(['cluster', 'url', tenant, '--service', 'primary'])).trim();
    const sleeping = run('psql', ['-XqAt', url, '-c', 'SELECT pg_sleep(90)']);
    await until('it is open for long', async () =>
      (await pgs(['switchover', tenant, '--dry-run'])).stdout.includes('1 transactions are older'),
    );
    const refused = await pgs(['switchover', tenant]);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toMatch(/app in app.*open for \d+ s/);
    expect((await statusOf(tenant)).leader).toBe(leader);
    await pgsOk(['switchover', tenant, '--force']);
    expect((await sleeping).stderr).toMatch(/terminat|closed|lost|shut ?down/i);
  });

  test('a replica lags: it is refused by name, and the other one takes over', async () => {
    const { members, leader } = await untilHealthy(tenant);
    const [slow, fit] = members.filter((m) => m.name !== leader);
    await onOk(slow!.host, `for p in $(pgrep -u pgs-${tenant} -f 'walreceiver'); do kill -STOP $p; done`);
    try {
      await psqlOk(
        tenant,
        'direct',
        'CREATE TABLE bulk AS SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 120000) g',
      );
      const refused = await pgs(['switchover', tenant, '--to', slow!.name]);
      expect(refused.code, refused.stdout).toBe(5);
      expect(refused.stderr).toMatch(new RegExp(slow!.name));
      expect((await pgs(['switchover', tenant, '--dry-run'])).stdout).toMatch(new RegExp(`hands over to ${fit!.name}`));
    } finally {
      await onOk(slow!.host, `for p in $(pgrep -u pgs-${tenant} -f 'walreceiver'); do kill -CONT $p; done`);
    }
    await psqlOk(tenant, 'direct', 'DROP TABLE bulk');
  });

  test('PgBouncer is killed while it holds clients: the switchover goes through, and it serves again', async () => {
    await untilHealthy(tenant);
    const verdict = await underLoad(tenant, async () => {
      const { ended, reached } = startSwitchover();
      await reached('pause');
      await onOk('h2', `systemctl kill -s KILL pgs-pgbouncer@${tenant}.service`);
      const { code, printed } = await ended;
      expect(code, printed).toBe(0);
    });
    expect(verdict).toMatchObject(nothingLost);
    expect((await onOk('h2', `systemctl is-active pgs-pgbouncer@${tenant}.service`)).trim()).toBe('active');
  });

  test('PgBouncer hangs while it holds clients, for longer than the undo tries: it lets them go when it runs again', async () => {
    const { members, leader } = await untilHealthy(tenant);
    const { host } = members.find((m) => m.name !== leader)!;
    const unit = `pgs-pgbouncer@${tenant}.service`;
    const { ended, reached } = startSwitchover();
    await reached('pause');
    await onOk(host, `systemctl kill -s STOP ${unit}`);
    await ended;
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    await onOk(host, `systemctl kill -s CONT ${unit}`);
    const address = addresses()[host]!;
    const port = (await statusOf(tenant)).services.find((s) => s.service === 'primary')!.port + 6;
    await until('its clients are served', async () => {
      const client = serviceClient(tenant, address, port, { query_timeout: 1000 });
      const served = client.connect().then(async () => (await client.query('SELECT 1')).rowCount === 1);
      return served.catch(() => false).finally(() => void client.end().catch(() => undefined));
    });
    await untilHealthy(tenant);
  }, 240_000);

  test("etcd's leader dies during a switchover: it goes through or is given up, and writes go on", async () => {
    await untilHealthy(tenant);
    const { leaders } = await pgsJson<{ leaders: string[] }>(['dcs', 'status']);
    const verdict = await underLoad(tenant, async () => {
      const { ended, reached } = startSwitchover();
      await reached('pause');
      await onOk(leaders[0]!, 'systemctl kill -s KILL pgs-etcd.service');
      const { printed } = await ended;
      expect(printed).toMatch(/leads/);
    });
    expect(verdict).toMatchObject(nothingLost);
    await untilHealthy(tenant);
  });

  test('the candidate dies half way: somebody leads, nothing is lost, and it is said who', async () => {
    const { members, leader } = await untilHealthy(tenant);
    const candidate = members.find((m) => m.name !== leader)!;
    // Waits on its host for the word, so that it comes within milliseconds.
    const line = `read -r go && systemctl kill -s KILL --kill-whom=all pgs-patroni@${tenant}.service`;
    const killer = spawn(`${root}bin/pgs`, ['sandbox', 'ssh', candidate.host, '--', line], { env: environment });
    const verdict = await underLoad(tenant, async () => {
      const { ended, reached } = startSwitchover(['--to', candidate.name]);
      await reached('pause');
      killer.stdin.end('go\n');
      const { code, printed } = await ended;
      process.stdout.write(printed);
      const outcome =
        code === 0 ? `${candidate.name} leads ${tenant}` : 'leads again|did not take over|led and was lost';
      expect(printed).toMatch(new RegExp(outcome));
    });
    expect(verdict).toMatchObject(nothingLost);
    await untilHealthy(tenant);
  });

  test('an entry host is lost: the others switch over without it', async () => {
    const { members, leader } = await untilHealthy(tenant);
    const [candidate, lost] = members.filter((m) => m.name !== leader);
    await power(lost!.host, 'off');
    await until('it is noticed', async () => {
      const status = await statusOf(tenant);
      return status.members.find((m) => m.name === lost!.name)!.role === 'unknown' && status.rpo.verdict === 'holds';
    });
    const ran = await pgs(['switchover', tenant, '--to', candidate!.name]);
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stderr).toMatch(new RegExp(`every entry but ${lost!.host}`));
    await power(lost!.host, 'on');
    await untilHealthy(tenant);
    expect(await hostOf(candidate!.name)).toBe(candidate!.host);
  });

  test('a session that does not end: PostgreSQL is killed after its time, and the candidate takes over with everything', async () => {
    const { members, leader } = await untilHealthy(tenant);
    const host = members.find((m) => m.name === leader)!.host;
    const client = serviceClient(tenant, addresses()[host]!, (await statusOf(tenant)).services[2]!.port);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await onOk(host, `kill -STOP ${rows[0]!.pid}`);
    let ran: Ran | null = null;
    const verdict = await underLoad(tenant, async () => (ran = await pgs(['switchover', tenant])));
    expect(ran!.code, ran!.stderr).toBe(0);
    expect(verdict).toMatchObject(nothingLost);
    expect((await untilHealthy(tenant)).leader).not.toBe(leader);
    await client.end().catch(() => undefined);
  }, 240_000);

  test('a member that is not there is refused', async () => {
    expect((await pgs(['switchover', tenant, '--to', 'swap-9'])).code).toBe(2);
  });
});

test('a tenant that may lose bytes in a failover loses none in a switchover, and no client feels it', async () => {
  const loose = 'loose';
  try {
    await pgsOk(['cluster', 'create', loose, '--rto', 'fast', '--rpo', '16777216']);
    await pgsOk(['cluster', 'url', loose]);
    await psqlOk(loose, 'primary', 'CREATE TABLE ledger (key bigint)');
    const { leader } = await untilHealthy(loose);
    const verdict = await underLoad(loose, () => pgsOk(['switchover', loose]));
    expect(verdict).toMatchObject({ ...nothingLost, failed: 0, indeterminate: 0, errors: {} });
    expect((await untilHealthy(loose)).leader).not.toBe(leader);
  } finally {
    await destroyQuietly(loose);
  }
}, 240_000);
