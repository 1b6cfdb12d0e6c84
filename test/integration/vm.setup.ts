// Sandboxes with kernels of their own. In most the last of four machines has one, and etcd lives on the three containers, so that software
// emulation slows only what is looked at; in one all three have.

import type { TestProject } from 'vitest/node';
import { pgsOk } from './machines.js';

export async function setup({ name }: TestProject): Promise<void> {
  const machines =
    name === 'vm-three-slow' ? ['--hosts', '3', '--machines', 'vm'] : ['--hosts', '4', '--machines', 'h4=vm'];
  await pgsOk(['sandbox', 'down']);
  await pgsOk(['sandbox', 'up', ...machines]);
  await pgsOk(['host', 'prepare']);
  await pgsOk(['dcs', 'create']);
}

export async function teardown(): Promise<void> {
  if (process.env.PGS_TEST_KEEP) return;
  await pgsOk(['sandbox', 'down']);
}
