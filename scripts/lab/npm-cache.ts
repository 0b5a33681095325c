import { createHash } from 'node:crypto';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeOnce } from './make-once.ts';
import { cacheDir, repositoryRoot } from './paths.ts';
import { run } from './run.ts';

/** Where the cache lies in the layer. */
export const NPM_CACHE = 'npm-cache';

const DOWNLOAD_MS = 600_000;

/**
 * A layer with all that `npm ci` of this repository downloads, for one that has no network. It is a cache of its own, filled once
 * for each package-lock.json: what this machine's has is chance.
 */
export async function ensureNpmCache(say: (line: string) => void = () => {}): Promise<string> {
  const lock = await readFile(join(repositoryRoot, 'package-lock.json'));
  const version = (await run(['npm', '--version'])).stdout;
  const key = createHash('sha256').update(lock).update(version).digest('hex').slice(0, 12);
  const finished = join(cacheDir, `${NPM_CACHE}-${key}.tar.gz`);
  await makeOnce(finished, async (scratch) => {
    say('npm ci, to fill a cache …');
    for (const name of ['package.json', 'package-lock.json']) await cp(join(repositoryRoot, name), join(scratch, name));
    await run(['npm', 'ci', '--cache', join(scratch, NPM_CACHE)], { cwd: scratch, timeoutMs: DOWNLOAD_MS });
    const layer = join(scratch, 'layer.tar.gz');
    // It holds archives; compressing them again takes long and saves nothing.
    await run(['tar', '-C', scratch, '--use-compress-program=gzip -1', '-cf', layer, `${NPM_CACHE}/_cacache`]);
    return layer;
  });
  return finished;
}
