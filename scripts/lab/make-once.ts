import { mkdtemp, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cacheDir, exists } from './paths.ts';

/**
 * Makes a file or a directory of the cache, unless it is there: all of it or nothing, whenever it is broken off.
 *
 * @param make puts it into a scratch directory, which is gone afterwards; it gives its path
 */
export async function makeOnce(path: string, make: (scratch: string) => Promise<string>): Promise<void> {
  if (await exists(path)) return;
  const scratch = await mkdtemp(join(cacheDir, `${basename(path)}-new-`));
  try {
    await rename(await make(scratch), path);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
