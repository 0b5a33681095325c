import { randomUUID } from 'node:crypto';
import type { Stats } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { missing } from './file-errors.ts';

const TEMPORARY = '.hosts.toml.circ-';

export interface ReplaceOptions {
  /** Whose mode and owner the file gets; by default it is ours, and everybody may read it. */
  readonly like?: Stats | undefined;
  /** Asked last of all: may it still be replaced? */
  readonly isStillRight?: () => Promise<boolean>;
}

/**
 * Replaces a file in one step, or makes it.
 *
 * @returns false, and does nothing, if it is not right any more
 * @throws what the file system says; then the file is as it was
 */
export async function replaceFile(path: string, bytes: Buffer, options: ReplaceOptions = {}): Promise<boolean> {
  const { like, isStillRight } = options;
  const temporary = join(dirname(path), `${TEMPORARY}${randomUUID()}`);
  try {
    {
      await using handle = await open(temporary, 'wx', 0o600);
      await handle.writeFile(bytes);
      const own = await handle.stat();
      const { uid, gid } = like ?? own;
      if (uid !== own.uid || gid !== own.gid) await handle.chown(uid, gid);
      await handle.chmod((like?.mode ?? 0o644) & 0o7777);
      await handle.sync();
    }
    const isRight = isStillRight ? await isStillRight() : true;
    if (isRight) await rename(temporary, path);
    return isRight;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Removes what agents that were killed in the middle of a write have left in a directory; by default all of it, whatever its time. */
export async function removeLeftovers(directory: string, olderThanMs = -Infinity): Promise<void> {
  for (const name of await readdir(directory).catch(missing<string[]>([]))) {
    if (!name.startsWith(TEMPORARY)) continue;
    const path = join(directory, name);
    const stats = await stat(path).catch(missing(undefined));
    if (stats && Date.now() - stats.mtimeMs >= olderThanMs) await rm(path, { force: true });
  }
}
