// The oracle on real violations: where a promise does not hold, a drill has to say so.

import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Verdict } from '../../../chaos/oracle/verdict.js';
import { destroyQuietly, pgs, pgsOk } from '../machines.js';

const tenants = ['unfenced', 'lossy', 'catalogue'];
const folder = mkdtempSync(join(tmpdir(), 'pgs-drills-'));

beforeAll(async () => {
  await pgsOk(['cluster', 'create', 'catalogue', '--rto', 'fast', '--watchdog', 'automatic']);
});

afterAll(async () => {
  for (const tenant of tenants) {
    await pgs(['chaos', 'heal', tenant]);
    await destroyQuietly(tenant);
  }
});

async function drill(scenario: string, tenant: string): Promise<{ code: number | null; verdict: Verdict }> {
  const ran = await pgs(['chaos', 'run', scenario, tenant, '-o', 'json']);
  return { code: ran.code, verdict: JSON.parse(ran.stdout) as Verdict };
}

const failed = ({ checks }: Verdict) => checks.filter((c) => c.result === 'fail').map((c) => c.name);

test('without fencing, a Patroni that is gone for good means two writers, and the run says so', async () => {
  await pgsOk(['cluster', 'create', 'unfenced', '--rto', 'fast', '--watchdog', 'off']);
  const { code, verdict } = await drill('patroni-killed-for-good', 'unfenced');
  expect(failed(verdict)).toContain('no two members take writes at once');
  expect(verdict.dualWritableMs).toBeGreaterThan(1000);
  expect(code).toBe(1);
}, 300_000);

test('with asynchronous replication, a cut loses what was acknowledged meanwhile, and the run says so', async () => {
  await pgsOk(['cluster', 'create', 'lossy', '--rto', 'fast', '--watchdog', 'off', '--rpo', '1048576']);
  // The leader takes writes that nobody has, and dies.
  writeFileSync(
    join(folder, 'cut-then-killed.yaml'),
    `name: cut-then-killed
title: Replication is cut, and then the leader dies
family: network
severity: disruptive
method:
  - { fault: cut-replication, on: { role: leader }, for: 45s }
  - { fault: lose-member, on: { role: leader }, at: 5s, for: 40s }
expect: { failover: required }
`,
  );
  const { code, verdict } = await drill(join(folder, 'cut-then-killed.yaml'), 'lossy');
  expect(failed(verdict)).toContain('no acknowledged write is lost');
  expect(verdict.ackedLost).toBeGreaterThan(50);
  expect(code).toBe(1);
}, 300_000);

/** Too long for the fast tier, or breaking whole machines. */
test.each([
  'crash-loop',
  'backend-killed',
  'patroni-hangs-longer-than-ttl',
  'patroni-killed-for-good',
  'quorum-lost',
  'leader-isolated',
  'replication-cut',
  'cable-of-leader',
  'leader-power-off',
  'member-wiped',
  'haproxy-hung',
])(
  '%s: the cluster keeps its word',
  async (scenario) => {
    const { verdict } = await drill(scenario, 'catalogue');
    expect(verdict.checks.filter((c) => c.result !== 'pass')).toEqual([]);
  },
  300_000,
);
