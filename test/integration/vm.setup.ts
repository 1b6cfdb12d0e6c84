// A sandbox whose last machine has a kernel of its own. etcd lives on the three containers, so that software emulation slows only what is
// looked at.

import { pgsOk } from './machines.js';

export async function setup(): Promise<void> {
  await pgsOk(['sandbox', 'down']);
  await pgsOk(['sandbox', 'up', '--hosts', '4', '--machines', 'h4=vm']);
  await pgsOk(['host', 'prepare']);
  await pgsOk(['dcs', 'create']);
}

export async function teardown(): Promise<void> {
  if (process.env.PGS_TEST_KEEP) return;
  await pgsOk(['sandbox', 'down']);
}
