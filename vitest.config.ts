import { defineConfig } from 'vitest/config';

/** Tests on real machines share one sandbox and change it, so their files run one after the other. */
const oneAfterTheOther = { fileParallelism: false, testTimeout: 180_000, hookTimeout: 600_000, pool: 'forks' } as const;

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'golden', include: ['test/golden/**/*.test.ts'], testTimeout: 60_000 } },
      {
        test: {
          name: 'convergence',
          include: ['test/convergence/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      // A live HAProxy on this machine, which needs no root and no other machine.
      { test: { name: 'loopback', include: ['test/loopback/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 60_000 } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          exclude: ['test/integration/slow/**', 'test/integration/vm/**'],
          globalSetup: ['test/integration/sandbox.setup.ts'],
          ...oneAfterTheOther,
        },
      },
      {
        test: {
          name: 'vm',
          include: ['test/integration/vm/*.test.ts'],
          globalSetup: ['test/integration/vm.setup.ts'],
          ...oneAfterTheOther,
        },
      },
      {
        test: {
          name: 'vm-slow',
          include: ['test/integration/vm/slow/*.test.ts'],
          globalSetup: ['test/integration/vm.setup.ts'],
          ...oneAfterTheOther,
        },
      },
      {
        test: {
          name: 'vm-three-slow',
          include: ['test/integration/vm/three/*.test.ts'],
          globalSetup: ['test/integration/vm.setup.ts'],
          ...oneAfterTheOther,
        },
      },
      {
        test: {
          name: 'slow',
          include: ['test/integration/slow/**/*.test.ts'],
          exclude: ['test/integration/slow/forty.test.ts'],
          globalSetup: ['test/integration/sandbox.setup.ts'],
          ...oneAfterTheOther,
        },
      },
      // How many tenants a box bears is a question to that box: by hand, not by bin/test.
      {
        test: {
          name: 'many',
          include: ['test/integration/slow/forty.test.ts'],
          globalSetup: ['test/integration/sandbox.setup.ts'],
          ...oneAfterTheOther,
        },
      },
    ],
  },
});
