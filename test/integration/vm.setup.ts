// Sandboxes with kernels of their own: the last of four machines, or the last three of six. etcd lives on the three containers, so that software
// emulation slows only what is looked at.

import type { TestProject } from 'vitest/node';
import { pgsOk } from './machines.js';

export async function setup({ name }: TestProject): Promise<void> {
  const machines =
    name === 'vm-three-slow'
      ? ['--hosts', '6', '--machines', 'h4=vm,h5=vm,h6=vm']
      : ['--hosts', '4', '--machines', 'h4=vm'];
  await pgsOk(['sandbox', 'down']);
  await pgsOk(['sandbox', 'up', ...machines]);
  await pgsOk(['host', 'prepare']);
  await pgsOk(['dcs', 'create']);
}

export async function teardown(): Promise<void> {
  if (process.env.PGS_TEST_KEEP) return;
  await pgsOk(['sandbox', 'down']);
}
