import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { inChapters } from './scripts/chapters.ts';

class Chapters extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return inChapters(files);
  }
}

export default defineConfig({
  test: {
    include: ['test/e2e/**/*.test.ts'],
    // Labs do not see each other, but they would share two cores and one disk.
    fileParallelism: false,
    sequence: { sequencer: Chapters },
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { requireAssertions: true },
  },
});
