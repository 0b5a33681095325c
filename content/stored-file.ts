import type { Stats } from 'node:fs';
import { type FileHandle, open, stat, utimes } from 'node:fs/promises';
import { type Digest, algorithmOf, hexOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Hasher } from './hasher.ts';

export interface StoredFileOptions {
  readonly digest: Digest;
  readonly path: string;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
  readonly hasher: Hasher;
}

export interface OpenedFile {
  readonly file: FileHandle;
  /**
   * Settles when all bytes have been hashed: rejects with CORRUPT when they are not what the digest says. Absent when
   * that is known already.
   */
  readonly checked: Promise<void> | undefined;
}

/** Recency is written to the disk at most this often for one content; it only has to survive a restart roughly. */
const TOUCH_EVERY_MS = 60_000;
/** Disks forget: bytes that were right so long ago are hashed once more. */
const TRUST_MS = 24 * 60 * 60_000;

/**
 * One committed file. Its bytes are trusted while it is the file that this process has hashed, at most for a day: inode
 * and time of change tell whether anybody has touched it since. To hash it at every read would halve the speed of reads.
 */
export class StoredFile {
  readonly sizeBytes: number;
  /** While there are any, it must not be evicted. */
  readers = 0;
  readonly #options: StoredFileOptions;
  #usedAtMs: number;
  #trustedAtMs = -Infinity;
  #stamp = '';
  /** Counts the changes that others made. */
  #changes = 0;
  #touching: Promise<void> | undefined;
  #checking: Promise<void> | undefined;

  constructor(options: StoredFileOptions) {
    this.#options = options;
    this.sizeBytes = options.sizeBytes;
    this.#usedAtMs = options.usedAtMs;
  }

  /** The file is in its place, and its bytes have been hashed a moment ago. */
  trust(stats: Stats): void {
    this.#stamp = stampOf(stats);
    this.#trustedAtMs = Date.now();
  }

  /** @throws OciError CORRUPT when it has another size; what the file system throws */
  async open(): Promise<OpenedFile> {
    const file = await open(this.#options.path);
    try {
      let stats: Stats;
      do {
        await this.#touching; // changes the stamp
        stats = await file.stat();
      } while (this.#touching);
      if (stats.size !== this.sizeBytes) throw new OciError('CORRUPT', 'stored content has another size');
      this.#recognize(stats);
      const isTrusted = Date.now() - this.#trustedAtMs < TRUST_MS;
      const checked = isTrusted ? undefined : this.#check();
      if (this.sizeBytes === 0) await checked; // there is no last byte to hold back
      this.#touch();
      return { file, checked };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  #recognize(stats: Stats): void {
    const stamp = stampOf(stats);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    this.#changes += 1;
    this.#trustedAtMs = -Infinity;
    this.#checking = undefined; // that one is of other bytes
  }

  /** One for all who read meanwhile; with a file handle of its own, because any of them may leave. */
  #check(): Promise<void> {
    if (this.#checking) return this.#checking;
    const checking = this.#checkNow(this.#changes).finally(() => {
      if (this.#checking === checking) this.#checking = undefined;
    });
    checking.catch(() => undefined); // told to who waits
    this.#checking = checking;
    return checking;
  }

  async #checkNow(changes: number): Promise<void> {
    const { digest, path, hasher, sizeBytes } = this.#options;
    await using file = await open(path);
    const job = hasher.start(file.fd, algorithmOf(digest), sizeBytes);
    try {
      job.advance(sizeBytes);
      if ((await job.result) !== hexOf(digest)) {
        throw new OciError('CORRUPT', 'stored content is not what its digest says');
      }
    } finally {
      await job.cancel();
    }
    await this.#touching;
    if (changes !== this.#changes || stampOf(await file.stat()) !== this.#stamp) {
      throw new OciError('UNAVAILABLE', 'stored content was changed while it was read');
    }
    this.#trustedAtMs = Date.now();
  }

  #touch(): void {
    const now = Date.now();
    if (now - this.#usedAtMs < TOUCH_EVERY_MS) return;
    this.#usedAtMs = now;
    this.#touching = this.#writeUse(now / 1000)
      .catch(() => undefined) // a read-only disk still serves; only the order after a restart is less exact
      .finally(() => (this.#touching = undefined));
  }

  async #writeUse(seconds: number): Promise<void> {
    await utimes(this.#options.path, seconds, seconds);
    this.#stamp = stampOf(await stat(this.#options.path));
  }
}

/** Changes with whatever is written to the file. Not the time of modification: who restores a backup sets that back. */
function stampOf({ ino, size, ctimeMs }: Stats): string {
  return `${ino} ${size} ${ctimeMs}`;
}
