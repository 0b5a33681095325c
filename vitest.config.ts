import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// The programs and threads that tests start all the time are compiled once.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/node', import.meta.url));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**'],
    // Of two cores vitest would use one; most tests wait for something.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    expect: { requireAssertions: true },
  },
});
