// The watchdog of a host with a kernel of its own, on bad days: what status says each time, and that one command mends it. And that
// the kernel really resets the machine, for systemd (shared host) and for Patroni (a host with one tenant).

import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { fireUnderLoad, letLead, recordTrial } from '../../fencing-trial.js';
import { destroyQuietly, environment, on, onOk, pgs, pgsOk, until, untilHealthy } from '../../machines.js';

const tenant = 'fenced';
const vm = 'h4';
const patroni = `pgs-patroni@${tenant}.service`;
/** A machine that is emulated takes its time to boot. */
const bootLimitMs = 240_000;

interface MemberFencing {
  verdict: string;
  reason: string;
  fix: string | null;
  armed: boolean;
  kind: string | null;
  mechanism: string;
}

async function fencing(): Promise<MemberFencing> {
  const { stdout } = await pgs(['watchdog', 'status', tenant, '-o', 'json']);
  const { members } = JSON.parse(stdout) as { members: (MemberFencing & { host: string })[] };
  return members.find((m) => m.host === vm)!;
}

const bootId = async () => (await on(vm, 'cat /proc/sys/kernel/random/boot_id')).stdout.trim();
const untilFenced = (limitMs = 90_000) =>
  until('status says fenced', async () => (await fencing()).verdict === 'fenced', limitMs);

async function untilRebooted(before: string): Promise<void> {
  await until('the machine has booted anew', async () => !['', before].includes(await bootId()), bootLimitMs);
}

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'wide', '--hosts', `h2,h3,${vm}`]);
  await pgsOk(['cluster', 'url', tenant]);
  await untilFenced();
});

afterAll(() => destroyQuietly(tenant));

describe("a leader's Patroni", () => {
  test('that is killed comes back and arms again: nothing is fenced, nothing is reset', async () => {
    const member = await letLead(tenant, vm);
    await untilHealthy(tenant);
    const before = await bootId();
    await onOk(vm, `systemctl kill --kill-whom=main --signal=KILL ${patroni}`);
    await until('it is armed again', async () => (await fencing()).armed);
    expect((await untilHealthy(tenant)).leader).toBe(member);
    expect(await bootId()).toBe(before);
  }, 400_000);

  test('that is restarted disarms first: nothing is fenced, nothing is reset', async () => {
    const before = await bootId();
    await onOk(vm, `systemctl restart ${patroni}`);
    await untilHealthy(tenant);
    expect((await on(vm, 'journalctl -u pgs-fence.service --since -120s | grep FENCED')).stdout).toBe('');
    expect(await bootId()).toBe(before);
  }, 400_000);
});

describe('the kernel', () => {
  test('resets a machine whose systemd hangs, and the host is armed again without pgs', async () => {
    const before = await bootId();
    // PID 1 cannot be sent SIGSTOP; attached by ptrace and never let go it is as good as hung.
    const attach = 'import ctypes,time; ctypes.CDLL(None).ptrace(16, 1, 0, 0); time.sleep(600)';
    await on(vm, `setsid nohup python3 -c '${attach}' >/dev/null 2>&1 &`);
    const startedMs = performance.now();
    await untilRebooted(before);
    recordTrial('fencing-vm-systemd-hangs', { untilBootedAgainS: Math.round((performance.now() - startedMs) / 1000) });
    await untilFenced(bootLimitMs);
    await untilHealthy(tenant);
  }, 700_000);
});

describe('status names what is wrong with the watchdog, and one command mends it', () => {
  test('softdog held by somebody else', async () => {
    await onOk(vm, 'rm /etc/systemd/system.conf.d/pgs-watchdog.conf && systemctl daemon-reexec');
    // It disarms when it is stopped (`V`), as a well-behaved holder does: otherwise the kernel would reset the machine 15 s later.
    const thief = 'exec 3>/dev/watchdog0; trap "printf V >&3; exit" TERM; while :; do echo >&3; sleep 1; done';
    await onOk(vm, `systemd-run -q --collect --unit=thief sh -c '${thief}'`);
    await until('it is seen', async () => /is held by sh .* instead of systemd/.test((await fencing()).reason));
    const { verdict, fix } = await fencing();
    expect([verdict, fix]).toEqual(['not fenced', `stop that, then pgs host prepare ${vm}`]);
    await onOk(vm, 'systemctl stop thief');
    await pgsOk(['host', 'prepare', vm]);
    await untilFenced();
  }, 400_000);

  test('held by nobody', async () => {
    await onOk(vm, 'rm /etc/systemd/system.conf.d/pgs-watchdog.conf && systemctl daemon-reexec');
    await until('it is seen', async () => (await fencing()).verdict === 'not fenced');
    const { reason, fix } = await fencing();
    expect(reason).toMatch(/systemd does not hold \/dev\/watchdog0/);
    expect(fix).toBe(`pgs host prepare ${vm}`);
    await pgsOk(['host', 'prepare', vm]);
    await untilFenced();
  }, 400_000);

  test('softdog blacklisted as Ubuntu does it, and gone after a reboot', async () => {
    const before = await bootId();
    await onOk(vm, 'systemctl disable pgs-watchdog.service && rm /etc/systemd/system.conf.d/pgs-watchdog.conf');
    await onOk(vm, "echo 'blacklist softdog' > /etc/modprobe.d/blacklist-watchdog.conf");
    await on(vm, 'systemctl reboot');
    await untilRebooted(before);
    await until('it is seen', async () => (await fencing()).verdict === 'not fenced', bootLimitMs);
    const { reason, fix } = await fencing();
    expect(reason).toMatch(/softdog is blacklisted in \/etc\/modprobe.d\/blacklist-watchdog.conf/);
    expect(fix).toBe(`pgs host prepare ${vm}`);
    await pgsOk(['host', 'prepare', vm]);
    await untilFenced();
  }, 700_000);
});

describe('a host with one tenant gives the device to its Patroni', () => {
  beforeAll(async () => {
    const config = parseDocument(readFileSync(environment.PGS_CONFIG, 'utf8'));
    config.setIn(['hosts', vm, 'fencing'], 'device');
    writeFileSync(environment.PGS_CONFIG, String(config));
    await pgsOk(['host', 'prepare', vm]);
    await pgsOk(['apply', tenant]);
    await untilHealthy(tenant);
  }, 400_000);

  test('which holds it, and is named as the holder', async () => {
    await letLead(tenant, vm);
    await untilHealthy(tenant);
    await untilFenced();
    expect(await fencing()).toMatchObject({ mechanism: 'device', armed: true, kind: 'softdog' });
  }, 400_000);

  test('a device that is not writable is named, and apply mends it', async () => {
    await onOk(vm, 'chown root:root /dev/watchdog0 /dev/watchdog');
    await until('it is seen', async () => /belongs to root/.test((await fencing()).reason));
    expect((await fencing()).fix).toBe('pgs apply');
    await pgsOk(['apply', tenant]);
    await untilFenced();
  }, 400_000);

  test('a Patroni that hangs has the machine reset before its key expires; it comes back as a replica, armed', async () => {
    const member = await letLead(tenant, vm);
    await untilHealthy(tenant);
    await until('it is armed', async () => (await fencing()).armed);
    const trial = await fireUnderLoad(tenant, member);
    recordTrial('fencing-vm-device', trial);
    expect(trial.result).toMatchObject({ passed: true, machineReset: true, mechanism: 'device' });
    expect(trial.result.marginS).toBeGreaterThan(0);
    expect(trial.overlapMs).toBe(0);
    expect(trial.ledger).toMatchObject({ lost: [], risen: [], duplicated: [] });
  }, 700_000);
});
