import { join } from 'node:path';
import { makeOnce } from './make-once.ts';

/**
 * Builds a program of the cache, unless it is there.
 *
 * @param what is built, for people; `say` gets a line before it and one after it
 * @param build puts it into the scratch directory, as `built`
 */
export async function buildOnce(
  path: string,
  what: string,
  say: (line: string) => void,
  build: (scratch: string) => Promise<unknown>,
): Promise<void> {
  await makeOnce(path, async (scratch) => {
    say(`go build ${what} …`);
    const start = performance.now();
    await build(scratch);
    say(`  ${Math.round((performance.now() - start) / 1000)} s`);
    return join(scratch, 'built');
  });
}
