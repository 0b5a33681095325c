import { type FSWatcher, watch } from 'node:fs';

export interface DirectoryWatchOptions {
  /** The directories whose changes matter now. Those that are not there are looked for at the next look. */
  readonly list: () => Promise<readonly string[]>;
  /** Looks at everything. */
  readonly look: () => Promise<void>;
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
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  /** When the first change came that was not looked at yet. */
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
    await this.#looking;
    this.#watch([]);
  }

  #due(): void {
    this.#changedAt = undefined;
    if (this.#looking) this.soon();
    else this.#looking = this.#look();
  }

  async #look(): Promise<void> {
    try {
      // Watches first: what changes after the look has read it is told.
      this.#watch(await this.#options.list());
      await this.#options.look();
    } finally {
      this.#looking = undefined;
    }
  }

  /** All anew each time: a watch ends with its directory, and one made under the same name may even get its inode. */
  #watch(directories: readonly string[]): void {
    const before = this.#watchers;
    this.#watchers = directories.flatMap((directory) => this.#begin(directory));
    for (const watcher of before) watcher.close();
  }

  #begin(directory: string): FSWatcher[] {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.soon());
      watcher.on('error', () => this.soon());
      return [watcher];
    } catch {
      // Gone, or no more watches to be had: the poll goes on.
      return [];
    }
  }
}
