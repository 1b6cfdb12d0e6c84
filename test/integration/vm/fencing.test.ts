// Promise 2 on a real kernel: where status says fenced, an old leader that hangs is dead before its key can expire. The preset is `safe`:
// an emulated machine spends most of its processor on the TLS of the checks, and needs the time.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { fireUnderLoad, letLead, recordTrial } from '../fencing-trial.js';
import { destroyQuietly, pgs, pgsOk, untilHealthy } from '../machines.js';

const tenant = 'fenced';
const vm = 'h4';

interface WatchdogStatus {
  fenced: boolean;
  members: { name: string; host: string; verdict: string; reason: string; armed: boolean; kind: string | null }[];
}

async function watchdogOn(host: string): Promise<WatchdogStatus['members'][number]> {
  const { stdout } = await pgs(['watchdog', 'status', tenant, '-o', 'json']);
  return (JSON.parse(stdout) as WatchdogStatus).members.find((m) => m.host === host)!;
}

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'safe', '--hosts', `h2,h3,${vm}`]);
  await pgsOk(['cluster', 'url', tenant]);
});

afterAll(() => destroyQuietly(tenant));

test('a required watchdog refuses hosts that cannot have one, and says why', async () => {
  const { code, stderr } = await pgs(['cluster', 'create', 'refused', '--watchdog', 'required', '--hosts', 'h1,h2,h3']);
  expect(code).toBe(1);
  expect(stderr).toContain('h1: is a container and has no kernel watchdog, but the watchdog is required');
});

test('status tells a fenced member from those on containers, and says so by its exit code', async () => {
  expect(await watchdogOn(vm)).toMatchObject({ verdict: 'fenced', kind: 'softdog' });
  expect(await watchdogOn('h2')).toMatchObject({ verdict: 'not fenced', kind: null });
  expect((await pgs(['watchdog', 'status', tenant])).code).toBe(1);
});

test('a leader whose Patroni hangs is dead before its key can expire, and no two members take writes', async () => {
  const member = await letLead(tenant, vm);
  await untilHealthy(tenant);
  expect(await watchdogOn(vm)).toMatchObject({ verdict: 'fenced', armed: true });
  const trial = await fireUnderLoad(tenant, member);
  recordTrial('fencing-vm-pipe', trial);
  expect(trial.result).toMatchObject({ passed: true, machineReset: false, mechanism: 'pipe' });
  expect(trial.result.marginS).toBeGreaterThan(0);
  expect(trial.result.keepaliveToKillS).toBeGreaterThanOrEqual(trial.result.timeoutS);
  expect(trial.overlapMs).toBe(0);
  expect(trial.ledger).toMatchObject({ lost: [], risen: [], duplicated: [] });
  expect(trial.result.back).toMatchObject({ role: 'replica', fencing: 'fenced' });
}, 400_000);
