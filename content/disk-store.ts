import { mkdirSync, renameSync } from 'node:fs';
import { type FileHandle, mkdir, open, rm, statfs, utimes } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LRUCache } from 'lru-cache';
import { type Digest, algorithmOf, digestOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { BufferPool } from './buffer-pool.ts';
import { DiskIngest } from './disk-ingest.ts';
import { DiskSpool } from './disk-spool.ts';
import type { Hasher } from './hasher.ts';
import { Layout } from './layout.ts';
import { readChunks } from './read-chunks.ts';
import { scanBlobs } from './scan.ts';
import type { Spool, Spools } from './spool.ts';
import type { Content, ContentStore, Ingest } from './store.ts';

export type EvictionReason = 'size' | 'free-space' | 'damaged' | 'deleted';

export interface DiskStoreOptions {
  readonly directory: string;
  /** Bound of committed content and content on its way in, together. */
  readonly capacityBytes: number;
  /** Part of the file system that is left free, 0 to 1; 0 when absent. */
  readonly minFree?: number;
  readonly pool: BufferPool;
  readonly hasher: Hasher;
  readonly onEvict?: (digest: Digest, reason: EvictionReason) => void;
}

interface Entry {
  readonly sizeBytes: number;
  readers: number;
  touchedAtMs: number;
}

/** Recency is written to the disk at most this often for one content; it only has to survive a restart roughly. */
const TOUCH_EVERY_MS = 60_000;

/** A content store in a directory. The directory is the truth: the index is rebuilt from it at start. */
export class DiskStore implements ContentStore, Spools {
  readonly layout: Layout;
  readonly #options: DiskStoreOptions;
  /** lru-cache keeps the order only; what goes, and when, is decided here, because open content must stay. */
  readonly #index = new LRUCache<Digest, Entry>({ maxSize: Number.MAX_SAFE_INTEGER, sizeCalculation: () => 1 });
  #committedBytes = 0;
  #reservedBytes = 0;
  /** The part of the reservations that the file system does not know of yet. */
  #unwrittenBytes = 0;

  private constructor(options: DiskStoreOptions) {
    this.#options = options;
    this.layout = new Layout(options.directory);
  }

  /** Opens the directory (made if absent), drops leftovers, keeps content and its recency. @throws OciError UNAVAILABLE */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const store = new DiskStore(options);
    try {
      await rm(store.layout.ingests, { recursive: true, force: true });
      await mkdir(store.layout.ingests, { recursive: true });
      await mkdir(store.layout.blobs, { recursive: true });
      for (const { digest, sizeBytes, usedAtMs } of await scanBlobs(store.layout)) {
        store.#index.set(digest, { sizeBytes, readers: 0, touchedAtMs: usedAtMs });
        store.#committedBytes += sizeBytes;
      }
      store.#evict(() => store.#committedBytes > options.capacityBytes, 'size');
      return store;
    } catch (cause) {
      throw new OciError('UNAVAILABLE', `the directory ${options.directory} cannot be used`, { cause });
    }
  }

  /** What is used of the capacity now. */
  get usage(): { blobs: number; bytes: number; capacityBytes: number } {
    const bytes = this.#committedBytes + this.#reservedBytes;
    return { blobs: this.#index.size, bytes, capacityBytes: this.#options.capacityBytes };
  }

  async stat(digest: Digest): Promise<{ sizeBytes: number } | undefined> {
    const entry = this.#index.peek(digest);
    return entry && { sizeBytes: entry.sizeBytes };
  }

  async open(digest: Digest): Promise<Content | undefined> {
    const entry = this.#index.get(digest);
    if (!entry) return undefined;
    entry.readers += 1; // before the first wait, so that it is not evicted under our hands
    let file: FileHandle | undefined;
    try {
      file = await open(this.layout.blob(digest));
      if ((await file.stat()).size !== entry.sizeBytes)
        throw new OciError('CORRUPT', 'stored content has another size');
    } catch (error) {
      entry.readers -= 1;
      await file?.close();
      if (!isDamage(error)) throw OciError.from(error);
      this.#drop(digest, 'damaged');
      return undefined;
    }
    this.#touch(digest, entry);
    return this.#content(digest, entry, file);
  }

  async ingest(digest: Digest, sizeBytes: number): Promise<Ingest> {
    // Of no bytes there is no last one to hold back from readers until the digest is verified.
    if (sizeBytes === 0 && digestOf(new Uint8Array(), algorithmOf(digest)) !== digest) {
      throw new OciError('CORRUPT', 'the bytes do not have this digest');
    }
    await this.#reserve(sizeBytes);
    const path = this.layout.temporary();
    let file: FileHandle;
    try {
      file = await open(path, 'wx+', 0o600);
    } catch (cause) {
      this.#reservedBytes -= sizeBytes;
      this.#unwrittenBytes -= sizeBytes;
      throw new OciError('UNAVAILABLE', 'content cannot be stored', { cause });
    }
    const entry: Entry = { sizeBytes, readers: 0, touchedAtMs: Date.now() };
    return new DiskIngest({
      file,
      digest,
      sizeBytes,
      hasher: this.#options.hasher,
      pool: this.#options.pool,
      readers: (change) => {
        entry.readers += change;
      },
      publish: () => this.#publish(path, digest, entry),
      written: (bytes) => {
        this.#unwrittenBytes -= bytes;
      },
      closed: (committed, writtenBytes) => {
        if (committed) return;
        this.#reservedBytes -= sizeBytes;
        this.#unwrittenBytes -= sizeBytes - writtenBytes;
        this.#remove(path);
      },
    });
  }

  async spool(): Promise<Spool> {
    const path = this.layout.temporary();
    return await DiskSpool.open({
      ...this.#options,
      path,
      reserve: (bytes) => this.#reserve(bytes),
      giveBack: (bytes, unwrittenBytes) => {
        this.#reservedBytes -= bytes;
        this.#unwrittenBytes -= unwrittenBytes;
      },
      written: (bytes) => {
        this.#unwrittenBytes -= bytes;
      },
      publish: (digest, sizeBytes) => this.#publish(path, digest, { sizeBytes, readers: 0, touchedAtMs: Date.now() }),
      remove: () => this.#remove(path),
    });
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (digestOf(bytes, algorithmOf(digest)) !== digest) {
      throw new OciError('CORRUPT', 'the bytes do not have this digest');
    }
    if (this.#index.has(digest)) return;
    await using ingest = await this.ingest(digest, bytes.length);
    await ingest.write(0, [bytes]);
    await ingest.commit();
  }

  async delete(digest: Digest): Promise<void> {
    this.#drop(digest, 'deleted');
  }

  async *list(): AsyncGenerator<{ digest: Digest; sizeBytes: number }> {
    // A copy: what is opened meanwhile moves within the index, and would come again without end.
    for (const [digest, { sizeBytes }] of Array.from(this.#index.entries())) yield { digest, sizeBytes };
  }

  #content(digest: Digest, entry: Entry, file: FileHandle): Content {
    let isOpen = true;
    return {
      digest,
      sizeBytes: entry.sizeBytes,
      chunks: (range, { signal }) => readChunks(file, range, { signal, pool: this.#options.pool }),
      [Symbol.asyncDispose]: async () => {
        if (!isOpen) return;
        isOpen = false;
        entry.readers -= 1;
        await file.close();
      },
    };
  }

  /** Synchronous from rename to index, so that nothing else happens between the two. */
  #publish(path: string, digest: Digest, entry: Entry): void {
    this.#reservedBytes -= entry.sizeBytes;
    if (this.#index.has(digest)) {
      this.#remove(path); // somebody else was faster with the same bytes
      return;
    }
    const target = this.layout.blob(digest);
    try {
      mkdirSync(dirname(target), { recursive: true });
      renameSync(path, target);
    } catch (error) {
      this.#reservedBytes += entry.sizeBytes; // given back when the failed ingest closes
      throw error;
    }
    this.#index.set(digest, entry);
    this.#committedBytes += entry.sizeBytes;
  }

  async #reserve(bytes: number): Promise<void> {
    const lacking = this.usage.bytes + bytes - this.#options.capacityBytes;
    if (lacking <= 0 || this.#canEvict(lacking)) {
      const before = this.#committedBytes;
      this.#evict(() => before - this.#committedBytes < lacking, 'size');
      this.#reservedBytes += bytes;
      this.#unwrittenBytes += bytes;
      let fits = false;
      try {
        fits = await this.#leavesFree();
      } finally {
        if (!fits) {
          this.#reservedBytes -= bytes;
          this.#unwrittenBytes -= bytes;
        }
      }
      if (fits) return;
    }
    throw new OciError('UNAVAILABLE', 'there is no room to store content of this size');
  }

  /** Evicts until the file system keeps its free part once all reservations are used; false when that is impossible. */
  async #leavesFree(): Promise<boolean> {
    const { minFree = 0 } = this.#options;
    const { bavail, blocks, bsize } = await statfs(this.layout.ingests).catch((cause: unknown) => {
      throw new OciError('UNAVAILABLE', 'the file system cannot be asked for its free space', { cause });
    });
    // Evicted files may take a while to be freed, so what goes is counted here instead of asking again.
    let lacking = minFree * blocks * bsize + this.#unwrittenBytes - bavail * bsize;
    const before = this.#committedBytes;
    this.#evict(() => lacking > before - this.#committedBytes, 'free-space');
    lacking -= before - this.#committedBytes;
    return lacking <= 0;
  }

  /** Is there so much that may go? Nothing goes for what has no room in the end. */
  #canEvict(bytes: number): boolean {
    let left = bytes;
    for (const entry of this.#index.rvalues()) {
      if (entry?.readers === 0) left -= entry.sizeBytes;
      if (left <= 0) return true;
    }
    return false;
  }

  #evict(needed: () => boolean, reason: EvictionReason): void {
    for (const digest of this.#index.rkeys()) {
      if (!needed()) return;
      if (this.#index.peek(digest)?.readers === 0) this.#drop(digest, reason);
    }
  }

  #drop(digest: Digest, reason: EvictionReason): void {
    const entry = this.#index.peek(digest);
    if (!entry) return;
    this.#index.delete(digest);
    this.#committedBytes -= entry.sizeBytes;
    const trash = this.layout.temporary();
    try {
      // Renamed at once, so that a new commit of the same digest cannot be hit by the slower unlink.
      renameSync(this.layout.blob(digest), trash);
      this.#remove(trash);
    } catch (error) {
      if (!isMissing(error)) throw OciError.from(error);
    }
    this.#options.onEvict?.(digest, reason);
  }

  /** A file that cannot be removed now is a leftover that the next start drops. */
  #remove(path: string): void {
    rm(path, { force: true }).catch(() => undefined);
  }

  #touch(digest: Digest, entry: Entry): void {
    const now = Date.now();
    if (now - entry.touchedAtMs < TOUCH_EVERY_MS) return;
    entry.touchedAtMs = now;
    // A read-only disk still serves; only the order after a restart is less exact.
    utimes(this.layout.blob(digest), now / 1000, now / 1000).catch(() => undefined);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function isDamage(error: unknown): boolean {
  return isMissing(error) || (error instanceof OciError && error.code === 'CORRUPT');
}
