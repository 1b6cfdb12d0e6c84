// Scheduled drills on real machines: what is due runs, what is missed is on record, what may not run is refused and said, and what went
// wrong is told to somebody and stays to be seen.

import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Notification } from '../../../src/daemon/notify.js';
import type { DrillRun, Trend } from '../../../src/drills/run.js';
import { endDaemons, nextMinute, startDaemon } from '../daemon-process.js';
import {
  addresses,
  destroyQuietly,
  fleetDir,
  leftOfDrills,
  onOk,
  pgs,
  pgsJson,
  pgsOk,
  statusOf,
  until,
  untilHealthy,
  type Ran,
} from '../machines.js';

/** The second one is marked production. */
const [tenant, guarded] = ['drill-a', 'drill-b'] as const;
const folder = mkdtempSync(join(tmpdir(), 'pgs-drills-'));
const toldPath = join(folder, 'told.json');
/** In the sandbox's own directory, so that the fleet is the same one; with somebody to be told. */
const config = `${fleetDir}/drills-test.yaml`;
const env = { PGS_CONFIG: config };
const webhooks: Notification[] = [];
let server: Server;

const scenarios = {
  'quick-switch': `family: life-cycle
severity: safe
method: [{ fault: switchover }]
expect: { failover: required, timelines: 1 }`,
  // What it expects is not what a switchover does: a drill that fails, with nothing broken.
  'must-fail': `family: life-cycle
severity: safe
method: [{ fault: switchover }]
expect: { failover: forbidden }`,
  'cut-leader': `family: network
severity: disruptive
method: [{ fault: isolate-member, on: { role: leader }, for: 60s }]
expect: { failover: allowed }`,
  'two-gone': `family: host
severity: disruptive
method: [{ fault: lose-member, on: { role: replica, count: 2 }, for: 60s }]
expect: { failover: allowed }`,
};

beforeAll(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      webhooks.push(JSON.parse(body) as Notification);
      response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const notify = `notify: { webhook: "http://127.0.0.1:${port}/", command: [sh, -c, "cat > ${toldPath}"] }\n`;
  writeFileSync(config, `${readFileSync(`${fleetDir}/pgs.yaml`, 'utf8')}\n${notify}`, { mode: 0o600 });
  for (const [name, text] of Object.entries(scenarios)) {
    const quick = 'workload: { before: 500ms, after: 500ms }';
    writeFileSync(join(folder, `${name}.yaml`), `name: ${name}\ntitle: ${name}\n${quick}\n${text}\n`);
  }
  await pgsOk(['cluster', 'create', tenant, '--rto', 'fast']);
  await pgsOk(['cluster', 'create', guarded, '--rto', 'fast', '--production']);
});

afterAll(async () => {
  await endDaemons();
  await pgs(['drill', 'incident', '--clear']);
  for (const name of [tenant, guarded]) {
    await pgs(['chaos', 'heal', name]);
    await destroyQuietly(name);
  }
  server.close();
});

const drill = (words: string[]) => pgs(['drill', ...words], { env });
const drillOk = (words: string[]) => pgsOk(['drill', ...words], { env });
const runNow = (suite: string, ...more: string[]) =>
  drill(['run-now', tenant, '--suite', suite, '--folder', folder, '-o', 'json', ...more]);
const runOf = ({ stdout }: Ran) => JSON.parse(stdout) as DrillRun;
const historyOf = (name: string) => pgsJson<{ runs: DrillRun[]; trends: Trend[] }>(['drill', 'history', name], { env });
const acknowledge = () => drillOk(['ack', tenant]);

describe('schedules', () => {
  test('are made, listed, paused, resumed and cancelled', async () => {
    const words = ['--suite', 'weekly', '--cron', '0 3 * * 1', '--tz', 'Europe/Berlin', '--window', '02:00-05:00'];
    expect(await drillOk(['schedule', tenant, ...words])).toMatch(/drill-a\/weekly: weekly, next \d{4}-.* 03:00/);
    const listed = await pgsJson<{ daemon: null; schedules: { name: string; next: string | null }[] }>(
      ['drill', 'list', tenant],
      { env },
    );
    expect(listed.daemon).toBeNull();
    expect(listed.schedules).toMatchObject([{ tenant, name: 'weekly', paused: false, job: { suite: 'weekly' } }]);
    expect(new Date(listed.schedules[0]!.next!).getUTCDay()).toBe(1);
    expect(await drillOk(['list', tenant])).toContain('NONE IS ACTIVE');
    await drillOk(['pause', tenant]);
    expect(await drillOk(['list', tenant])).toContain('paused');
    await drillOk(['resume', tenant, '--name', 'weekly']);
    expect(await drillOk(['list', tenant])).not.toContain('paused');
    await drillOk(['cancel', tenant, 'weekly']);
    expect(await drillOk(['list', tenant])).toContain('no schedule');
  });

  test('of what a tenant does not take are refused: production takes safe ones, and disruptive ones after consent', async () => {
    const schedule = (suite: string, ...more: string[]) =>
      drill(['schedule', guarded, '--cron', '0 3 * * 1', '--suite', suite, '--folder', folder, ...more]);
    expect(await schedule('cut-leader')).toMatchObject({ code: 5 });
    expect((await schedule('cut-leader')).stderr).toContain('marked production');
    expect(await schedule('member-corrupted', '--consent', 'disruptive')).toMatchObject({ code: 5 });
    expect(await schedule('quick-switch')).toMatchObject({ code: 0 });
    expect(await schedule('cut-leader', '--consent', 'disruptive')).toMatchObject({ code: 0 });
    // Nor by hand.
    const byHand = await drill(['run-now', guarded, '--suite', 'cut-leader', '--folder', folder]);
    expect(byHand).toMatchObject({ code: 5 });
    for (const name of ['quick-switch', 'cut-leader']) await drillOk(['cancel', guarded, name]);
  });
});

describe('a run', () => {
  test('that passes is in the history, with its RTO and their trend', async () => {
    for (let n = 0; n < 2; n++) {
      const ran = await runNow('quick-switch');
      expect(runOf(ran)).toMatchObject({ tenant, outcome: 'pass', results: [{ verdict: 'pass', ackedLost: 0 }] });
      expect(ran.code).toBe(0);
      await untilHealthy(tenant);
    }
    const { runs, trends } = await historyOf(tenant);
    expect(runs).toHaveLength(2);
    const measured = runs.map((r) => r.results[0]!.rtoMs).reverse();
    expect(trends).toMatchObject([{ scenario: 'quick-switch', rtoMs: measured }]);
    expect(await drillOk(['history', tenant])).toMatch(/RTO over time\n {2}quick-switch {2}[▁-█]{2} {2}2 runs/);
    expect(webhooks).toEqual([]);
  });

  test('that fails exits 1, is told, and stays in the status until it is acknowledged', async () => {
    const ran = await runNow('must-fail');
    expect(ran.code).toBe(1);
    const run = runOf(ran);
    expect(run).toMatchObject({ outcome: 'fail', results: [{ scenario: 'must-fail', verdict: 'fail' }] });
    expect(webhooks).toMatchObject([{ tenant, run: { id: run.id, outcome: 'fail' } }]);
    expect(webhooks[0]!.text).toContain('drill must-fail fail');
    expect(JSON.parse(readFileSync(toldPath, 'utf8'))).toMatchObject({ run: { id: run.id } });
    expect((await pgs(['cluster', 'status', tenant])).stdout).toContain('1 did not pass');
    await acknowledge();
    expect((await pgs(['cluster', 'status', tenant])).stdout).not.toContain('did not pass');
    expect((await historyOf(tenant)).runs[0]!.acknowledged).not.toBeNull();
    await untilHealthy(tenant);
  });

  test('is aborted and healed when the outage passes its limit', async () => {
    const ran = await runNow('cut-leader', '--outage-limit', '3s');
    expect(ran.code).toBe(4);
    expect(runOf(ran)).toMatchObject({ outcome: 'unknown' });
    expect(runOf(ran).why).toContain('no write was acknowledged for');
    expect(await leftOfDrills()).toBe('');
    await untilHealthy(tenant);
    await acknowledge();
  });

  test('is aborted and healed when a second member fails', async () => {
    const ran = await runNow('two-gone');
    expect(ran.code).toBe(4);
    expect(runOf(ran).why).toContain('2 members do not answer');
    expect(await leftOfDrills()).toBe('');
    await untilHealthy(tenant);
    await acknowledge();
  });

  test('is alone in the fleet: of two that are begun at once one is refused', async () => {
    const other = drill(['run-now', guarded, '--suite', 'quick-switch', '--folder', folder, '-o', 'json']);
    const codes = (await Promise.all([runNow('quick-switch'), other])).map((r) => r.code);
    expect(codes.sort()).toEqual([0, 6]);
    await untilHealthy(tenant);
    await untilHealthy(guarded);
  });
});

describe('guardrails', () => {
  async function refused(why: string): Promise<void> {
    const ran = await runNow('quick-switch');
    expect(ran.code).toBe(1);
    expect(runOf(ran)).toMatchObject({ outcome: 'refused', results: [] });
    expect((await historyOf(tenant)).runs[0]!.why).toContain(why);
    expect(await drillOk(['history', tenant])).toContain(why);
    await acknowledge();
  }

  test('refuse during an incident', async () => {
    await drillOk(['incident', '--raise', 'rack 2 is losing packets']);
    await refused('rack 2 is losing packets');
    await drillOk(['incident', '--clear']);
  });

  test('refuse a cluster that is paused', async () => {
    const patronictl = (word: string) =>
      onOk('h1', `patronictl -c /etc/pgs/tenants/${tenant}/patroni.yml ${word} --wait`);
    await patronictl('pause');
    await refused('Patroni is paused');
    await patronictl('resume');
  });

  test('refuse a cluster with a member down', async () => {
    const { members } = await untilHealthy(tenant);
    const { host } = members.find((m) => m.role !== 'leader')!;
    await onOk(host, `systemctl stop pgs-patroni@${tenant}`);
    await refused('1 of 2 replicas stream');
    await onOk(host, `systemctl start pgs-patroni@${tenant}`);
    await untilHealthy(tenant);
  });
});

test('a machine that its drills would break is refused: it is a host of the fleet', async () => {
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find((i) => i.family === 'IPv4' && !i.internal)!.address;
  const path = `${fleetDir}/drills-own-host.yaml`;
  const text = readFileSync(`${fleetDir}/pgs.yaml`, 'utf8').replace(addresses().h3!, own);
  writeFileSync(path, text, { mode: 0o600 });
  for (const words of [['daemon'], ['daemon', '--print-unit'], ['drill', 'run-now', tenant, '--suite', 'weekly']]) {
    const ran = await pgs(words, { env: { PGS_CONFIG: path } });
    expect(ran).toMatchObject({ code: 5 });
    expect(ran.stderr).toContain('this machine is a host of the fleet');
  }
});

test('the daemon catches up what it may, records what is too late, and does a timed switchover', async () => {
  const before = webhooks.length;
  const { leader } = await untilHealthy(tenant);
  const due = nextMinute(5000);
  const schedule = (name: string, deadline: string) =>
    drillOk([
      ...['schedule', tenant, '--cron', due.cron, '--tz', 'UTC', '--suite', 'quick-switch', '--folder', folder],
      ...['--name', name, '--deadline', deadline],
    ]);
  await schedule('caught-up', '20m');
  await schedule('too-late', '1s');
  // Nobody is there when they are due.
  await new Promise((resolve) => setTimeout(resolve, due.inMs + 2000));
  const daemon = startDaemon(env);
  await daemon.says(`drill quick-switch of ${tenant}: pass`);
  expect(daemon.log()).toContain(`${tenant}/too-late missed`);
  const { runs } = await historyOf(tenant);
  expect(runs.find((r) => r.schedule === 'caught-up')).toMatchObject({ outcome: 'pass' });
  const missed = runs.find((r) => r.schedule === 'too-late')!;
  expect(missed).toMatchObject({ outcome: 'missed', why: 'nothing began it within 1 s', results: [] });
  await until('somebody was told', () => Promise.resolve(webhooks.length > before));
  expect(webhooks.at(-1)!.run.outcome).toBe('missed');
  expect((await pgs(['cluster', 'status', tenant])).stdout).toContain('nothing began it within 1 s');

  const now = await untilHealthy(tenant);
  expect(now.leader).not.toBe(leader);
  const target = now.members.find((m) => m.role !== 'leader')!.name;
  await pgsOk(['switchover', tenant, '--to', target, '--at', new Date(Date.now() + 3000).toISOString()]);
  await daemon.says(`switchover of ${tenant}: pass`);
  expect((await statusOf(tenant)).leader).toBe(target);
  expect((await historyOf(tenant)).runs[0]).toMatchObject({ kind: 'switchover', what: target, outcome: 'pass' });
  // It was for once; what comes back every day stays.
  const { schedules } = await pgsJson<{ schedules: { name: string }[] }>(['drill', 'list', tenant], { env });
  expect(schedules.map((s) => s.name).sort()).toEqual(['caught-up', 'too-late']);
  daemon.signal('SIGTERM');
  expect(await daemon.ended).toBe(0);
  expect(await drillOk(['list'])).toContain('NONE IS ACTIVE');
}, 300_000);
