// The fencing service itself, run on this machine with directories of its own: a pipe is written as Patroni writes it, and what would
// be killed is a file that plays the cgroup. Nothing runs as the user `games`, so no process is touched.

import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

const program = fileURLToPath(new URL('../../../templates/watchdog/fence.py', import.meta.url));
let root: string;
let service: ChildProcess | null = null;
let output = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pgs-fence-'));
  output = '';
  for (const directory of ['etc/pgs/fence.d', 'run/pgs', 'cgroup/acme', 'cgroup/bolt']) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  register('acme');
});

afterEach(async () => {
  await end('SIGKILL');
  await rm(root, { recursive: true });
});

function register(tenant: string): void {
  const entry = JSON.stringify({ user: 'games', slice: tenant, timeoutS: 30 });
  writeFileSync(join(root, `etc/pgs/fence.d/${tenant}.json`), entry);
}

const pipeOf = (tenant: string) => join(root, `run/pgs/fence/${tenant}/pipe`);
const killed = (tenant: string) => existsSync(join(root, `cgroup/${tenant}/cgroup.kill`));

function run(args: string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn('python3', ['-I', program, ...args], {
    env: { ...process.env, PGS_FENCE_ROOT: root, PGS_FENCE_CGROUPS: join(root, 'cgroup'), ...env },
  });
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return child;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > deadlineMs) throw new Error(`${what}: not in 20 s\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function begin(): Promise<void> {
  service = run([]);
  await until('the pipe is there', () => existsSync(pipeOf('acme')));
}

async function end(signal: NodeJS.Signals): Promise<void> {
  const child = service;
  service = null;
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGCONT');
  child.kill(signal);
  await ended;
}

async function stopped(env: Record<string, string>): Promise<void> {
  const child = run(['--stopped'], env);
  await new Promise((resolve) => child.once('exit', resolve));
}

/** As Patroni opens it. */
function open(tenant = 'acme'): number {
  return openSync(pipeOf(tenant), constants.O_WRONLY | constants.O_NONBLOCK);
}

const state = (tenant = 'acme') =>
  (
    JSON.parse(readFileSync(join(root, 'run/pgs/fence.json'), 'utf8')) as {
      tenants: Record<
        string,
        { armed: boolean; timeoutS: number; fenced: { reason: string; afterKeepaliveS: number } | null }
      >;
    }
  ).tenants[tenant]!;
const armed = (tenant = 'acme') => existsSync(join(root, 'run/pgs/fence.json')) && state(tenant)?.armed;

test('kills the tenant whose keepalives end, after the time-out that it set, and nobody else', async () => {
  register('bolt');
  await begin();
  await until('the second pipe is there', () => existsSync(pipeOf('bolt')));
  const [acme, bolt] = [open('acme'), open('bolt')];
  writeSync(acme, 'Ctimeout=1\n');
  writeSync(bolt, 'Ctimeout=60\n1');
  await until('acme is fenced', () => killed('acme'));
  await until('it is noted', () => state().fenced !== null);
  expect(killed('bolt')).toBe(false);
  expect(state().fenced!.afterKeepaliveS).toBeGreaterThanOrEqual(1);
  expect(armed('bolt')).toBe(true);
  [acme, bolt].forEach(closeSync);
});

test('a tenant that goes on sending is left alone', async () => {
  await begin();
  const pipe = open();
  writeSync(pipe, 'Ctimeout=1\n');
  for (let i = 0; i < 30; i++) {
    writeSync(pipe, '1');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(killed('acme')).toBe(false);
  closeSync(pipe);
});

test('V and a close disarm; a close without V does not', async () => {
  await begin();
  const first = open();
  writeSync(first, 'Ctimeout=1\n1V');
  closeSync(first);
  await until('it was disarmed', () => output.includes('acme: disarmed'));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(killed('acme')).toBe(false);
  const second = open();
  writeSync(second, 'Ctimeout=1\n1V1');
  closeSync(second);
  await until('acme is fenced', () => killed('acme'));
});

test('a Patroni that comes back in time goes on where the last one was', async () => {
  await begin();
  const first = open();
  writeSync(first, 'Ctimeout=2\n');
  closeSync(first);
  await until('the loss was seen', () => output.includes('gone without disarming'));
  const second = open();
  for (let i = 0; i < 30; i++) {
    writeSync(second, '1');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect(killed('acme')).toBe(false);
  closeSync(second);
});

test('a command that comes in pieces is understood, and one that means nothing changes nothing', async () => {
  await begin();
  const pipe = open();
  for (const piece of ['Ctime', 'out=4', '1\nCcolour=red\nCtimeout=0\n']) {
    writeSync(pipe, piece);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await until('it is armed', () => armed() === true);
  expect(state().timeoutS).toBe(41);
  expect(output).toContain('does not understand');
  closeSync(pipe);
});

test('a service that is killed and comes back keeps the deadline of the last one', async () => {
  await begin();
  const pipe = open();
  writeSync(pipe, 'Ctimeout=3\n');
  await until('it is armed', () => armed() === true);
  await end('SIGKILL');
  await stopped({});
  expect(killed('acme')).toBe(false);
  service = run([]);
  await until('acme is fenced', () => killed('acme') && state().fenced !== null);
  expect(state().fenced!.reason).toBe('no keepalive for 3 s');
  closeSync(pipe);
});

test('a service that was away longer than the deadline fences as soon as it is back', async () => {
  await begin();
  const pipe = open();
  writeSync(pipe, 'Ctimeout=1\n');
  await until('it is armed', () => armed() === true);
  await end('SIGKILL');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  service = run([]);
  await until('acme is fenced', () => killed('acme'));
  closeSync(pipe);
});

test('a pipe that is open while nothing is known of it counts as armed', async () => {
  await begin();
  await end('SIGKILL');
  const reader = openSync(pipeOf('acme'), constants.O_RDONLY | constants.O_NONBLOCK);
  const pipe = open();
  await rm(join(root, 'run/pgs/fence.json'));
  service = run([]);
  await until('it is armed', () => armed() === true);
  expect(state().timeoutS).toBe(30);
  [reader, pipe].forEach(closeSync);
});

test('after a stop that is final, who was armed is killed and no pipe is left', async () => {
  register('bolt');
  await begin();
  await until('the second pipe is there', () => existsSync(pipeOf('bolt')));
  const pipe = open();
  writeSync(pipe, 'Ctimeout=60\n');
  await until('it is armed', () => armed() === true);
  await end('SIGTERM');
  await stopped({ PGS_FENCE_FINAL: 'yes' });
  expect([killed('acme'), killed('bolt')]).toEqual([true, false]);
  expect([existsSync(pipeOf('acme')), existsSync(pipeOf('bolt'))]).toEqual([false, false]);
  closeSync(pipe);
});

test('one that armed while the service was away is killed by a stop that is final', async () => {
  await begin();
  const reader = openSync(pipeOf('acme'), constants.O_RDONLY | constants.O_NONBLOCK);
  await end('SIGKILL');
  const pipe = open();
  await stopped({ PGS_FENCE_FINAL: 'yes' });
  expect(killed('acme')).toBe(true);
  [reader, pipe].forEach(closeSync);
});

test('a new version of the program takes over with what is armed', async () => {
  await begin();
  const pipe = open();
  writeSync(pipe, 'Ctimeout=2\n');
  await until('it is armed', () => armed() === true);
  service!.kill('SIGHUP');
  await until('acme is fenced', () => killed('acme'));
  closeSync(pipe);
});

test('a tenant that leaves loses its pipe, but not while it is armed', async () => {
  await begin();
  const pipe = open();
  writeSync(pipe, 'Ctimeout=60\n1');
  await until('it is armed', () => armed() === true);
  await rm(join(root, 'etc/pgs/fence.d/acme.json'));
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(existsSync(pipeOf('acme'))).toBe(true);
  writeSync(pipe, 'V');
  closeSync(pipe);
  await until('the pipe is gone', () => !existsSync(pipeOf('acme')));
});

test('a tenant whose directory goes with it leaves the others guarded by the same run', async () => {
  register('bolt');
  await begin();
  await until('the second pipe is there', () => existsSync(pipeOf('bolt')));
  const { pid } = service!;
  await rm(join(root, 'etc/pgs/fence.d/bolt.json'));
  await rm(join(root, 'run/pgs/fence/bolt'), { recursive: true });
  await until('bolt is forgotten', () => state('bolt') === undefined);
  expect(service).toMatchObject({ pid, exitCode: null, signalCode: null });
});

test('the directory of a pipe can be entered, whatever the umask of who makes it', async () => {
  const child = spawn('sh', ['-c', 'umask 077; exec python3 -I "$0" --wait acme', program], {
    env: { ...process.env, PGS_FENCE_ROOT: root },
  });
  await until('the directory is there', () => existsSync(join(root, 'run/pgs/fence/acme')));
  expect((statSync(join(root, 'run/pgs/fence/acme')).mode & 0o777).toString(8)).toBe('755');
  child.kill('SIGKILL');
});

test('a tenant that is root is not guarded, since all its processes would be killed', async () => {
  writeFileSync(join(root, 'etc/pgs/fence.d/evil.json'), JSON.stringify({ user: 'root', slice: 'x', timeoutS: 1 }));
  await begin();
  await until('it is refused', () => output.includes('evil: cannot be guarded'));
  expect(existsSync(pipeOf('evil'))).toBe(false);
});
