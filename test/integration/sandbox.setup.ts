// One sandbox for all tests on machines: what an earlier run left is taken down first, and this run's is taken down at the end.

import { pgsOk } from './machines.js';

export async function setup(): Promise<void> {
  await pgsOk(['sandbox', 'down']);
  await pgsOk(['sandbox', 'up']);
  await pgsOk(['host', 'prepare']);
  await pgsOk(['dcs', 'create']);
}

export async function teardown(): Promise<void> {
  if (process.env.PGS_TEST_KEEP) return;
  await pgsOk(['sandbox', 'down']);
}
