// The scripts that hold and release clients, run as they are, with a systemctl, systemd-run, runuser and timeout that note what they are
// asked and answer as told.

import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseHeld, parsePause, pausePooler, resumePooler } from '../../../src/pgbouncer/pause.js';
import { undoAfterMs } from '../../../src/pgbouncer/pause.js';
import { poolerPort } from '../../../src/topology/cluster.js';
import { pauseLimitMs } from '../../../src/topology/rto.js';
import { clusterOf } from '../../fixtures/fleet.js';

const cluster = clusterOf();
const takenAway = 'systemctl stop --no-block pgs-resume-ab12@acme.timer pgs-resume-ab12@acme.service';
let bin: string;

beforeEach(() => {
  bin = mkdtempSync(join(tmpdir(), 'pgs-pause-'));
  answer('systemctl', '');
  answer('systemd-run', '');
  answer('runuser', '');
  // `timeout -k 1 N command…`: runs the command.
  answer('timeout', 'shift 3; exec "$@"', 'silent');
});

afterEach(() => rmSync(bin, { recursive: true }));

/** A command of the host that writes down its arguments and then does `script`. */
function answer(name: string, script: string, noted: 'noted' | 'silent' = 'noted'): void {
  const note = noted === 'noted' ? `echo "${name} $*" | cut -c 1-160 | head -1 >> ${bin}/log\n` : '';
  writeFileSync(join(bin, name), `#!/bin/sh\n${note}${script}\n`);
  chmodSync(join(bin, name), 0o755);
}

function run(command: ReturnType<typeof pausePooler>) {
  const [program, ...args] = command.argv;
  const ran = spawnSync(program!, args, { env: { PATH: `${bin}:/usr/bin:/bin` }, encoding: 'utf8' });
  const result = { code: ran.status ?? -1, stdout: ran.stdout, stderr: ran.stderr };
  let log: string[] = [];
  try {
    log = readFileSync(join(bin, 'log'), 'utf8').trim().split('\n');
  } catch {
    // Nothing was run.
  }
  return { result, log };
}

describe('holding clients', () => {
  test('arms the undo before it pauses', () => {
    const { result, log } = run(pausePooler(cluster, 'ab12'));
    expect(parsePause(result)).toEqual({ state: 'paused', said: '' });
    const armed = log.findIndex((line) => /^systemd-run .*--unit=pgs-resume-ab12@acme --on-active=8 /.test(line));
    const paused = log.findIndex((line) => /^runuser -u pgs-acme -- psql .*-c PAUSE/.test(line));
    expect(armed).toBeGreaterThanOrEqual(0);
    expect(paused).toBeGreaterThan(armed);
  });

  test('does not pause when the undo cannot be armed', () => {
    answer('systemd-run', 'echo no bus >&2; exit 1');
    const { result, log } = run(pausePooler(cluster, 'ab12'));
    expect(parsePause(result)).toEqual({ state: 'failed', said: 'no bus' });
    expect(log.join()).not.toMatch(/PAUSE/);
  });

  test('takes the timer of a run that was killed away, after its own is armed', () => {
    answer('systemctl', 'case "$1" in list-units) echo "pgs-resume-old1@acme.timer loaded active waiting x";; esac');
    const { log } = run(pausePooler(cluster, 'ab12'));
    const stopped = log.findIndex((line) => line === 'systemctl stop pgs-resume-old1@acme.timer');
    expect(stopped).toBeGreaterThan(log.findIndex((line) => line.startsWith('systemd-run')));
  });

  test('lets everybody go at once when transactions do not end', () => {
    answer('timeout', 'case "$*" in *PAUSE*) exit 124;; esac; shift 3; exec "$@"', 'silent');
    const { result, log } = run(pausePooler(cluster, 'ab12'));
    expect(parsePause(result).state).toBe('busy');
    expect(log.some((line) => line.includes('-c RESUME'))).toBe(true);
    expect(log.at(-1)).toBe(takenAway);
  });

  test('says what the pooler said, and lets everybody go, when it refuses', () => {
    answer('runuser', 'case "$*" in *PAUSE*) echo "psql: error: no socket" >&2; exit 2;; esac');
    const { result, log } = run(pausePooler(cluster, 'ab12'));
    expect(parsePause(result)).toEqual({ state: 'failed', said: 'psql: error: no socket' });
    expect(log.some((line) => line.includes('-c RESUME'))).toBe(true);
  });

  test.each([
    ['absent', 'case "$1" in is-active|is-enabled) exit 3;; esac'],
    ['stopped', 'case "$1" in is-active) exit 3;; esac'],
  ])('a pooler that is %s is told apart, and nothing is armed', (state, systemctl) => {
    answer('systemctl', systemctl);
    const { result, log } = run(pausePooler(cluster, 'ab12'));
    expect(parsePause(result).state).toBe(state);
    expect(log.join()).not.toMatch(/systemd-run|PAUSE/);
  });
});

describe('letting clients go', () => {
  test('takes its timer away', () => {
    const { result, log } = run(resumePooler(cluster, 'ab12'));
    expect(result).toMatchObject({ code: 0, stdout: 'resumed\n' });
    expect(log.at(-1)).toBe(takenAway);
  });

  test('of a pooler that is not paused is as good', () => {
    answer('runuser', 'echo "ERROR:  pooler is not paused/suspended" >&2; exit 1');
    expect(run(resumePooler(cluster, 'ab12')).result).toMatchObject({ code: 0, stdout: 'not paused\n' });
  });

  test('keeps the timer when the pooler does not answer, whose service then comes again', async () => {
    answer('runuser', 'exit 2');
    answer('sleep', '', 'silent');
    const here = { ...cluster, paths: { ...cluster.paths, run: bin } };
    const socket = createServer().listen(`${bin}/.s.PGSQL.${poolerPort(cluster.ports, 'primary')}`);
    await once(socket, 'listening');
    const { result, log } = run(resumePooler(here, 'ab12'));
    socket.close();
    expect(result).toMatchObject({ code: 1, stdout: 'silent\n' });
    expect(log.join()).not.toMatch(/systemctl stop/);
    const { log: armed } = run(pausePooler(cluster, 'ab12'));
    expect(armed.find((line) => line.startsWith('systemd-run'))).toMatch(/-p Restart=on-failure/);
  });

  test('of a pooler that is stopped is done: it holds nobody', () => {
    answer('runuser', 'exit 2');
    answer('sleep', '', 'silent');
    const { result, log } = run(resumePooler({ ...cluster, paths: { ...cluster.paths, run: bin } }, 'ab12'));
    expect(result).toMatchObject({ code: 0, stdout: 'not paused\n' });
    expect(log.at(-1)).toBe(takenAway);
  });
});

test('the undo comes within the 10 s that are promised, and after the time that transactions get', () => {
  // The first try of RESUME takes 2 s at the worst; they go on until one is answered.
  expect(undoAfterMs + 2000).toBeLessThanOrEqual(10_000);
  expect(undoAfterMs).toBeGreaterThan(pauseLimitMs + 1000);
});

test('the scripts are sound shell', () => {
  for (const name of ['pause', 'resume']) execFileSync('sh', ['-n', `templates/pgbouncer/${name}.sh`]);
});

test('a pooler that holds its clients is told from one that does not, and from one that does not answer', () => {
  const answer = (code: number, stdout: string) => parseHeld({ code, stdout, stderr: '' });
  expect(answer(0, 'active|no\npaused|yes\nsuspended|no\n')).toBe(true);
  expect(answer(0, 'active|yes\npaused|no\nsuspended|no\n')).toBe(false);
  expect(answer(2, '')).toBe(null);
  expect(answer(0, 'what is this')).toBe(null);
});
