import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// The programs and threads that tests start all the time are compiled once.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(new URL('node_modules/.cache/node', import.meta.url));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/e2e/**'],
    // Of two cores vitest would use one; half of the time of a test is spent waiting for something.
    maxWorkers: 5,
    // Nothing here has global state, and a process that has loaded the sources is worth keeping.
    isolate: false,
    // The sources run as Node itself runs them, and it compiles them once for all processes.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    // All cores have tests to run: threads that help one of them to collect garbage only get in the way of others.
    execArgv: ['--single-threaded-gc'],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // How soon something comes is another question than whether: on a busy machine a second is little.
    expect: { requireAssertions: true, poll: { timeout: 10_000 } },
  },
});
