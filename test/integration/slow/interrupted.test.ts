// pgs killed on real machines while it makes and removes a tenant: the same command again goes on from there. Which step it is
// killed at follows from a seed (PGS_TEST_SEED); every step is tried against simulated hosts in test/convergence.

import { afterAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../chaos/targets.js';
import { interrupt } from '../interrupt.js';
import { destroyQuietly, on, pgs, pgsJson, pgsOk, psqlOk, statusOf } from '../machines.js';

const seed = Number(process.env.PGS_TEST_SEED ?? 20261121);
const tenant = 'killed';
const create = ['cluster', 'create', tenant];
const destroy = ['cluster', 'destroy', tenant, '--purge-data', '--yes'];
/** Prints the tenant's user, files and units that are on a machine. */
const leftovers = `getent passwd pgs-${tenant}
find /etc /run /var/lib -xdev -name '*${tenant}*' 2>/dev/null
systemctl list-units --all --plain --no-legend 'pgs-*@${tenant}.service'`;
const random = seededRandom(seed);
/** Where in the plan each kill comes, 0 to 1: drawn here, so that one round's plan does not shift the others' draws. */
const rounds = [1, 2, 3, 4, 5].map((round) => ({ round, atCreate: random(), atDestroy: random() }));

process.stdout.write(`kills are seeded: run again with PGS_TEST_SEED=${seed}\n`);

afterAll(() => destroyQuietly(tenant));

interface Plan {
  steps: { title: string }[];
}

describe.each(rounds)('round $round', ({ atCreate, atDestroy }) => {
  test('a create that was killed is finished by running it again', async () => {
    const killed = await killAt(create, atCreate);
    await pgsOk(create);
    await expectNothingLeft(killed);
    const status = await statusOf(tenant);
    expect(status, killed).toMatchObject({ healthy: true, drift: [], warnings: [] });
    expect(await psqlOk(tenant, 'primary', 'SELECT 1'), killed).toBe('1');
  });

  test('a destroy that was killed is finished by running it again', async () => {
    const killed = await killAt(destroy, atDestroy);
    const again = await pgs(destroy);
    const { clusters } = await pgsJson<{ clusters: { tenant: string }[] }>(['cluster', 'list']);
    expect(
      clusters.map((c) => c.tenant),
      killed,
    ).not.toContain(tenant);
    // The last step may have been done when the kill came: then there is nothing of that name to destroy.
    if (again.code !== 0)
      expect(again, killed).toMatchObject({ code: 2, stderr: expect.stringMatching(/no tenant/) as string });
    const left = await Promise.all(['h1', 'h2', 'h3'].map(async (host) => (await on(host, leftovers)).stdout.trim()));
    expect(left, killed).toEqual(['', '', '']);
  });
});

test('Ctrl-C lets the steps under way end, says that the same command goes on, and it does', async () => {
  const stopped = await interrupt(create, 'SIGINT', 3);
  expect(stopped.code, stopped.stderr).toBe(4);
  expect(stopped.stderr).toMatch(/stopping after the steps under way/);
  expect(stopped.stderr).toMatch(/Run the same command again/);
  await pgsOk(create);
  await expectNothingLeft('stopped by Ctrl-C');
});

async function expectNothingLeft(killed: string): Promise<void> {
  const plan = await pgs(['plan', tenant]);
  expect(plan.code, `${killed}\n${plan.stdout}`).toBe(0);
}

/** Kills a command when the step at that part of its plan is reported as done; says where that was. */
async function killAt(command: string[], part: number): Promise<string> {
  const planned = await pgs([...command, '--dry-run', '-o', 'json']);
  const { steps } = JSON.parse(planned.stdout) as Plan;
  const lines = 1 + Math.floor(part * steps.length);
  const ran = await interrupt(command, 'SIGKILL', lines);
  const reported = ran.stderr.split('\n').filter((line) => line.includes('✓'));
  expect(reported.length, ran.stderr).toBeGreaterThanOrEqual(lines);
  return `seed ${seed}: ${command.slice(0, 2).join(' ')} killed after ${lines} of ${steps.length} steps, at:${reported.at(-1)}`;
}
