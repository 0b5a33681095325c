import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of this repository. */
export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url));

/** What the end-to-end tests keep between runs: built tools, images, the last run's logs. */
export const cacheDir = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'circ-e2e');

/** Logs of the last run, one directory per lab; a run begins with an empty one. */
export const logsDir = join(cacheDir, 'logs');

/** Whether a file or directory is there. */
export async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
