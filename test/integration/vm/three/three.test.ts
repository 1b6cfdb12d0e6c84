// A tenant whose hosts all have a kernel of their own: the default, `watchdog: required`, creates a cluster there, status says fenced of
// every member, and a leader that hangs is dead before its key can expire. The preset is `wide`: three emulated machines share this box.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { fireUnderLoad, recordTrial } from '../../fencing-trial.js';
import { destroyQuietly, pgs, pgsJson, pgsOk, untilHealthy } from '../../machines.js';

const tenant = 'fenced';
const hosts = ['h4', 'h5', 'h6'];

interface WatchdogStatus {
  fenced: boolean;
  members: { host: string; verdict: string; armed: boolean; kind: string | null }[];
}

/** Each look is work for the three machines that it looks at, which have to get some rest to be healthy. */
const untilRested = () => untilHealthy(tenant, 400_000, 20_000);

beforeAll(async () => {
  // Three emulated machines that start everything at once are slower than the limits of some steps: the same command goes on, as it says.
  const create = ['cluster', 'create', tenant, '--rto', 'wide', '--watchdog', 'required', '--hosts', hosts.join(',')];
  const first = await pgs(create);
  if (first.code !== 0) {
    expect(first.stderr).toMatch(/run the same command again/);
    await pgsOk(create);
  }
  await pgsOk(['cluster', 'url', tenant]);
});

afterAll(() => destroyQuietly(tenant));

test('every member is fenced, and status says so by its exit code', async () => {
  await untilRested();
  const { code, stdout } = await pgs(['watchdog', 'status', tenant, '-o', 'json']);
  const { fenced, members } = JSON.parse(stdout) as WatchdogStatus;
  expect({ code, fenced }).toEqual({ code: 0, fenced: true });
  expect(members.map(({ host, verdict, kind }) => [host, verdict, kind])).toEqual(
    hosts.map((host) => [host, 'fenced', 'softdog']),
  );
}, 500_000);

test('a leader whose Patroni hangs is dead before its key can expire, and no two members take writes', async () => {
  const { leader } = await untilRested();
  const trial = await fireUnderLoad(tenant, leader!);
  recordTrial('fencing-three-vms', trial);
  expect(trial.result).toMatchObject({ passed: true, machineReset: false, mechanism: 'pipe' });
  expect(trial.result.marginS).toBeGreaterThan(0);
  expect(trial.overlapMs).toBe(0);
  expect(trial.ledger).toMatchObject({ lost: [], risen: [], duplicated: [] });
  expect(trial.result.back).toMatchObject({ role: 'replica', fencing: 'fenced' });
  await untilRested();
  expect((await pgsJson<WatchdogStatus>(['watchdog', 'status', tenant])).fenced).toBe(true);
}, 1_500_000);
