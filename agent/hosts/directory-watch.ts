import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';

export interface DirectoryWatchOptions {
  /** Looks at everything. @returns the directories whose changes matter from now on */
  readonly look: () => Promise<string[]>;
  /** Looks when nothing has changed for so long. */
  readonly quietMs: number;
  /** Looks at least so often. */
  readonly pollMs: number;
}

/** Looks all the same when there is no quiet for so many times as long. */
const MAX_QUIETS = 10;

/**
 * Calls `look` when something changes in directories, one call at a time. Changes are told by the file system, each
 * directory by itself; a slow poll sees what it does not tell (links' targets, network file systems, too many watches).
 */
export class DirectoryWatch implements AsyncDisposable {
  readonly #options: DirectoryWatchOptions;
  readonly #poll: NodeJS.Timeout;
  /** By device and inode: a directory that was made anew under its old name is another one. */
  readonly #watchers = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | undefined;
  #changedAt: number | undefined;
  #looking: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: DirectoryWatchOptions) {
    this.#options = options;
    this.#poll = setInterval(() => this.soon(), options.pollMs);
    this.#poll.unref();
  }

  /** Looks at once, and settles when that is done. */
  async lookNow(): Promise<void> {
    await this.#looking;
    this.#looking = this.#look();
    await this.#looking;
  }

  /** Looks after a while of quiet. */
  soon(): void {
    if (this.#isClosed) return;
    const now = performance.now();
    this.#changedAt ??= now;
    const { quietMs } = this.#options;
    const atLatestMs = this.#changedAt + MAX_QUIETS * quietMs - now;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#due(), Math.max(0, Math.min(quietMs, atLatestMs)));
    this.#timer.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
    await this.#looking;
  }

  #due(): void {
    this.#changedAt = undefined;
    if (this.#looking) this.soon();
    else this.#looking = this.#look();
  }

  async #look(): Promise<void> {
    try {
      await this.#follow(await this.#options.look());
    } finally {
      this.#looking = undefined;
    }
  }

  async #follow(directories: readonly string[]): Promise<void> {
    const seen = new Set<string>();
    for (const directory of directories) {
      const stats = await stat(directory).catch(() => undefined);
      if (!stats || this.#isClosed) continue;
      const id = `${stats.dev}:${stats.ino}`;
      seen.add(id);
      if (!this.#watchers.has(id)) this.#begin(id, directory);
    }
    for (const [id, watcher] of this.#watchers) {
      if (seen.has(id)) continue;
      watcher.close();
      this.#watchers.delete(id);
    }
  }

  #begin(id: string, directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.soon());
      watcher.on('error', () => {
        watcher.close();
        this.#watchers.delete(id);
        this.soon();
      });
      this.#watchers.set(id, watcher);
      // What has changed between the look and now was told to nobody.
      this.soon();
    } catch {
      // No more watches to be had: the poll goes on.
    }
  }
}
