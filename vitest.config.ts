import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Machines come and go once per run; their tests share them and must not overlap.
    fileParallelism: !process.env.PGS_TEST_MACHINES,
  },
});
