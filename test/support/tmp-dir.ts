import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory of a test's own, removed with all it holds when the test leaves its scope. */
export interface TmpDir extends AsyncDisposable {
  /** Absolute path, below the system's directory for temporary files. */
  readonly path: string;
}

/** Makes an empty directory: `await using dir = await tmpDir()`. */
export async function tmpDir(): Promise<TmpDir> {
  const path = await mkdtemp(join(tmpdir(), 'circ-test-'));
  return {
    path,
    // Retries: a test may still be closing files in there.
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 }),
  };
}
