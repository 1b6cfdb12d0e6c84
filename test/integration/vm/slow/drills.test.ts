// Drills that machines in containers cannot have: those share the clock, the disk, the memory accounting and the network's queues of this
// one. The machine with a kernel of its own leads, or follows where the fault is a replica's.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Verdict } from '../../../../chaos/oracle/verdict.js';
import { letLead, recordTrial } from '../../fencing-trial.js';
import { destroyQuietly, pgs, pgsOk, untilHealthy } from '../../machines.js';

const tenant = 'drilled';
const vm = 'h4';

beforeAll(async () => {
  await pgsOk(['cluster', 'create', tenant, '--rto', 'wide', '--hosts', `h2,h3,${vm}`]);
  await pgsOk(['cluster', 'url', tenant]);
});

afterAll(() => destroyQuietly(tenant));

test.each([
  ['clock-jump', 'h2'],
  ['slow-disk', vm],
  ['network-slow', vm],
  ['out-of-memory', vm],
])(
  '%s: the cluster keeps its word',
  async (name, leader) => {
    await untilHealthy(tenant);
    await letLead(tenant, leader);
    await untilHealthy(tenant);
    const ran = await pgs(['chaos', 'run', name, tenant, '-o', 'json']);
    const { checks, ...verdict } = JSON.parse(ran.stdout) as Verdict;
    recordTrial(`drill-${name}`, verdict);
    expect(checks.filter((c) => c.result !== 'pass')).toEqual([]);
    expect(verdict).toMatchObject({ verdict: 'pass', ackedLost: 0, dualWritableMs: 0 });
  },
  900_000,
);
