// Many tenants from one file, one of which cannot be made; pgs killed in the middle; and after a host was down, leaders that are shared
// again. PGS_MANY_TENANTS (default 20) of them.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  until,
} from '../machines.js';
import { balance, type Balance } from '../balance.js';

const count = Number(process.env.PGS_MANY_TENANTS ?? 20);
const tenants = Array.from({ length: count }, (_, i) => `many-${i + 1}`);
const late = tenants.slice(-2);
/** Needs ten hosts, and there are three. */
const wide = 'wide';

let dir: string;

const specOf = (tenant: string) => `tenant: ${tenant}\nreplicas: ${tenant === wide ? 9 : 1}\nrto: norm\n`;

function fileOf(names: string[]): string {
  const file = join(dir, 'tenants.yaml');
  writeFileSync(file, names.map(specOf).join('---\n'));
  return file;
}

interface Summary {
  tenants: { tenant: string; outcome: string; tookMs: number; error: { found: string; hint: string } | null }[];
  created: number;
  changed: number;
  unchanged: number;
  failed: number;
  notBegun: number;
  tookMs: number;
}

async function applied(names: string[]): Promise<{ code: number | null; summary: Summary }> {
  const ran = await pgs(['apply', '-f', fileOf(names), '-o', 'json']);
  return { code: ran.code, summary: JSON.parse(ran.stdout) as Summary };
}

const say = (line: string) => process.stdout.write(`${line}\n`);

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'pgs-many-'));
});

afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  const rest = [...tenants, wide];
  const worker = async () => {
    for (let tenant = rest.shift(); tenant !== undefined; tenant = rest.shift()) await destroyQuietly(tenant);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
}, 1_200_000);

test('a file with anything wrong in it changes nothing, and all of it is named', async () => {
  const file = join(dir, 'wrong.yaml');
  writeFileSync(file, `${specOf('many-1')}---\n${specOf('many-1')}replica: 2\n---\ntenant: Many\nrto: quick\n`);
  const ran = await pgs(['apply', '-f', file]);
  expect(ran.code).toBe(2);
  expect(ran.stderr).toMatch(/wrong.yaml:5:9: document 2 \(many-1\): tenant: many-1 is document 1 already/);
  expect(ran.stderr).toMatch(/wrong.yaml:8:1: document 2 \(many-1\): replica: unknown key/);
  expect(ran.stderr).toMatch(/wrong.yaml:10:9: document 3 \(Many\): tenant: cannot be the name of a tenant/);
  expect(ran.stderr).toMatch(/wrong.yaml:11:6: document 3 \(Many\): rto: must be one of/);
  expect(await pgsJson(['cluster', 'list'])).toEqual({ clusters: [] });
});

describe('many tenants from one file', () => {
  test('are made side by side, and the one that cannot be stops no other', { timeout: 900_000 }, async () => {
    const early = tenants.filter((tenant) => !late.includes(tenant));
    const { code, summary } = await applied([early[0]!, wide, ...early.slice(1)]);
    say(`${early.length} tenants made in ${(summary.tookMs / 1000).toFixed(1)} s, each after ${took(summary)}`);
    expect(summary.tenants.filter(({ outcome }) => outcome === 'failed').map((t) => t.tenant)).toEqual([wide]);
    expect(summary.tenants.find((t) => t.tenant === wide)!.error!.found).toMatch(/need 10 hosts/);
    expect({ code, created: summary.created }).toEqual({ code: 1, created: early.length });
    for (const host of Object.keys(addresses())) {
      const journal = await onOk(host, 'journalctl -b -u pgs-haproxy --no-pager -o cat');
      const times = (what: RegExp) => journal.match(what)?.length ?? 0;
      say(`${host}: HAProxy reloaded ${times(/New worker/g)} times, asked for ${times(/^Reloaded /gm)} times`);
    }
    for (const tenant of early) expect(await psqlOk(tenant, 'primary', 'SELECT 1')).toBe('1');
  });

  test('with ports of their own, and a list of them within 1.5 s', async () => {
    const tookMs: number[] = [];
    let ports: number[] = [];
    for (let i = 0; i < 3; i++) {
      const startedMs = performance.now();
      const { clusters } = await pgsJson<{ clusters: { ports: { from: number } }[] }>(['cluster', 'list']);
      tookMs.push(performance.now() - startedMs);
      ports = clusters.map((c) => c.ports.from);
    }
    say(`cluster list of ${ports.length} tenants: ${tookMs.map((ms) => `${ms.toFixed(0)} ms`).join(', ')}`);
    expect(new Set(ports).size).toBe(count - late.length);
    expect(Math.min(...tookMs)).toBeLessThan(1500);
  });

  test(
    'killed in the middle, are finished by the same file, and who was there is unchanged',
    { timeout: 600_000 },
    async () => {
      const file = fileOf(tenants);
      const child = spawn(`${root}bin/pgs`, ['apply', '-f', file], {
        env: environment,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
      const stored = async () => (await pgsOk(['cluster', 'list'])).includes(`${late[0]!} `);
      await until('the first of the new ones is begun', stored, 300_000);
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('close', resolve));
      expect(said).not.toMatch(new RegExp(`✓ ${late[0]!}: created`));
      await until(
        'the locks of the dead have ended',
        async () => !(await pgs(['apply', '-f', file])).stderr.includes('holds it since'),
        300_000,
      );
      const { code, summary } = await applied(tenants);
      expect(code).toBe(0);
      expect({ unchanged: summary.unchanged, failed: summary.failed }).toEqual({ unchanged: count, failed: 0 });
      say(`${count} tenants that are as they should be: ${(summary.tookMs / 1000).toFixed(1)} s`);
    },
  );
});

test('a limit that the kernel does not hold is an error that says which and where', async () => {
  const file = join(dir, 'limited.yaml');
  writeFileSync(file, `${specOf('many-1')}limits: { cpuQuota: 150%, tasks: 500 }\n`);
  const controllers = await onOk(Object.keys(addresses())[0]!, 'cat /sys/fs/cgroup/cgroup.controllers');
  const ran = await pgs(['apply', '-f', file]);
  if (['cpu', 'pids'].every((name) => controllers.split(/\s+/).includes(name))) {
    expect({ code: ran.code, stderr: ran.stderr }).toMatchObject({ code: 0 });
  } else {
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(
      /error: limiting what many-1 may use on h\d\n.*cpuQuota 150% is not in force: the kernel has no cpu/,
    );
  }
  writeFileSync(file, `${specOf('many-1')}limits: {}\n`);
  await pgsOk(['apply', '-f', file]);
  expect((await pgs(['plan', 'many-1'])).code).toBe(0);
}, 300_000);

test(
  'leaders that a lost host left behind are shared again, one switchover at a time',
  { timeout: 1_200_000 },
  async () => {
    await power('h1', 'off');
    const ledElsewhere = async () => (await balance()).hosts.find((h) => h.host === 'h1')!.leaders === 0;
    await until('nobody is led on the lost host', ledElsewhere, 300_000);
    await power('h1', 'on');
    await until('all tenants are whole', async () => (await balance()).skipped.length === 0, 300_000);

    const before = await balance();
    say(`leaders after the host was down: ${before.hosts.map((h) => `${h.host} ${h.leaders}`).join(', ')}`);
    expect((await pgs(['fleet', 'rebalance', '--dry-run'])).code).toBe(3);
    const done = await pgsJson<Balance>(['fleet', 'rebalance', '--yes']);
    const gaps = done.done.flatMap(({ writeGapMs }) => (writeGapMs === null ? [] : [writeGapMs]));
    say(`${done.done.length} switchovers, longest write gap ${Math.max(0, ...gaps).toFixed(0)} ms`);
    expect(done.done).toHaveLength(before.moves.length);

    const after = await balance();
    say(`leaders afterwards: ${after.hosts.map((h) => `${h.host} ${h.leaders}`).join(', ')}`);
    expect(after).toMatchObject({ moves: [], skipped: [], isEven: true });
    const leaders = after.hosts.map((h) => h.leaders);
    expect(Math.max(...leaders) - Math.min(...leaders)).toBeLessThanOrEqual(1);
    const members = after.hosts.map((h) => h.members);
    expect(Math.max(...members) - Math.min(...members)).toBeLessThanOrEqual(1);
    expect((await pgs(['fleet', 'rebalance', '--yes'])).stdout).toMatch(/within 1 of even: nothing to change/);
  },
);

function took({ tenants: all }: Summary): string {
  const seconds = all.filter((t) => t.outcome === 'created').map((t) => t.tookMs / 1000);
  return `${Math.min(...seconds).toFixed(1)} to ${Math.max(...seconds).toFixed(1)} s`;
}
