import { mkdirSync, renameSync, statSync } from 'node:fs';
import { type FileHandle, mkdir, open, rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LRUCache } from 'lru-cache';
import { atMost } from './at-most.ts';
import { type Digest, algorithmOf, digestOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Chunk, Chunks } from './chunk.ts';
import { isDamage, isMissing } from './damage.ts';
import { DiskIngest } from './disk-ingest.ts';
import { DiskSpool } from './disk-spool.ts';
import type { Hasher } from './hasher.ts';
import { heldBack } from './held-back.ts';
import { Layout } from './layout.ts';
import { readChunks } from './read-chunks.ts';
import { Reserved } from './reserved.ts';
import { scanBlobs } from './scan.ts';
import { Settler } from './settler.ts';
import type { Spool, Spools } from './spool.ts';
import type { Content, ContentStore, Ingest } from './store.ts';
import { type OpenedFile, StoredFile } from './stored-file.ts';

export const EVICTION_REASONS = ['size', 'free-space', 'damaged', 'deleted'] as const;
export type EvictionReason = (typeof EVICTION_REASONS)[number];

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

/** A content store in a directory. The directory is the truth: the index is rebuilt from it at start. */
export class DiskStore implements ContentStore, Spools {
  readonly layout: Layout;
  readonly #options: DiskStoreOptions;
  /** lru-cache keeps the order only; what goes, and when, is decided here, because open content must stay. */
  readonly #index = new LRUCache<Digest, StoredFile>(atMost(Number.MAX_SAFE_INTEGER));
  #committedBytes = 0;
  readonly #reserved = new Reserved();
  readonly #settler = new Settler();

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
        store.#index.set(digest, store.#fileOf(digest, sizeBytes, usedAtMs));
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
    const bytes = this.#committedBytes + this.#reserved.bytes;
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
    try {
      const opened = await entry.open();
      opened.checked?.catch((error: unknown) => this.#dropIfDamaged(digest, entry, error));
      return this.#content(digest, entry, opened);
    } catch (error) {
      entry.readers -= 1;
      this.#dropIfDamaged(digest, entry, error);
      if (isDamage(error)) return undefined;
      throw OciError.from(error);
    }
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
      this.#reserved.giveBack(sizeBytes, sizeBytes);
      throw new OciError('UNAVAILABLE', 'content cannot be stored', { cause });
    }
    const entry = this.#fileOf(digest, sizeBytes, Date.now());
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
      written: (bytes) => this.#reserved.written(bytes),
      closed: (committed, writtenBytes) => {
        if (committed) return;
        this.#reserved.giveBack(sizeBytes, sizeBytes - writtenBytes);
        this.#remove(path);
      },
    });
  }

  async spool(): Promise<Spool> {
    const path = this.layout.temporary();
    return await DiskSpool.open({
      ...this.#options,
      path,
      settler: this.#settler,
      reserve: (bytes) => this.#reserve(bytes),
      reserved: this.#reserved,
      publish: (digest, sizeBytes) => this.#publish(path, digest, this.#fileOf(digest, sizeBytes, Date.now())),
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

  #fileOf(digest: Digest, sizeBytes: number, usedAtMs: number): StoredFile {
    const { hasher } = this.#options;
    return new StoredFile({ digest, path: this.layout.blob(digest), sizeBytes, usedAtMs, hasher });
  }

  #content(digest: Digest, entry: StoredFile, { file, checked }: OpenedFile): Content {
    const { sizeBytes } = entry;
    const { pool } = this.#options;
    let isOpen = true;
    return {
      digest,
      sizeBytes,
      chunks: (range, { signal }) => {
        const held = checked && range.end === sizeBytes ? heldBack(checked, sizeBytes) : {};
        return this.#watched(digest, entry, readChunks(file, range, { signal, pool, ...held }));
      },
      [Symbol.asyncDispose]: async () => {
        if (!isOpen) return;
        isOpen = false;
        entry.readers -= 1;
        await file.close();
      },
    };
  }

  async *#watched(digest: Digest, entry: StoredFile, chunks: Chunks): AsyncGenerator<Chunk> {
    try {
      yield* chunks;
    } catch (error) {
      this.#dropIfDamaged(digest, entry, error);
      throw error;
    }
  }

  /** What is damaged is fetched anew the next time. */
  #dropIfDamaged(digest: Digest, entry: StoredFile, error: unknown): void {
    if (isDamage(error) && this.#index.peek(digest) === entry) this.#drop(digest, 'damaged');
  }

  /** Synchronous from rename to index, so that nothing else happens between the two. */
  #publish(path: string, digest: Digest, entry: StoredFile): void {
    this.#reserved.giveBack(entry.sizeBytes, 0);
    if (this.#index.has(digest)) {
      this.#remove(path); // somebody else was faster with the same bytes
      return;
    }
    const target = this.layout.blob(digest);
    try {
      mkdirSync(dirname(target), { recursive: true });
      renameSync(path, target);
      entry.trust(statSync(target));
    } catch (error) {
      this.#reserved.giveBack(-entry.sizeBytes, 0); // until the failed ingest closes
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
      this.#reserved.take(bytes);
      let fits = false;
      try {
        fits = await this.#leavesFree();
      } finally {
        if (!fits) this.#reserved.giveBack(bytes, bytes);
      }
      if (fits) return;
    }
    throw new OciError('UNAVAILABLE', 'there is no room to store content of this size');
  }

  /** Makes room for what other programs have written: the free part is theirs, whoever fills it. @throws OciError UNAVAILABLE */
  async keepFree(): Promise<void> {
    await this.#leavesFree();
  }

  /** Evicts until the file system keeps its free part once all reservations are used; false when that is impossible. */
  async #leavesFree(): Promise<boolean> {
    const { minFree = 0 } = this.#options;
    const { bavail, blocks, bsize } = await statfs(this.layout.ingests).catch((cause: unknown) => {
      throw new OciError('UNAVAILABLE', 'the file system cannot be asked for its free space', { cause });
    });
    // Evicted files may take a while to be freed, so what goes is counted here instead of asking again.
    let lacking = minFree * blocks * bsize + this.#reserved.unwrittenBytes - bavail * bsize;
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
    const trash = this.layout.temporary();
    try {
      // Renamed at once, so that a new commit of the same digest cannot be hit by the slower unlink.
      renameSync(this.layout.blob(digest), trash);
      this.#remove(trash);
    } catch (error) {
      // What cannot be removed gives no room, and can still be served; but what is damaged never again.
      if (!isMissing(error) && reason !== 'damaged') throw OciError.from(error);
    }
    this.#index.delete(digest);
    this.#committedBytes -= entry.sizeBytes;
    this.#options.onEvict?.(digest, reason);
  }

  /** A file that cannot be removed now is a leftover that the next start drops. */
  #remove(path: string): void {
    rm(path, { force: true }).catch(() => undefined);
  }
}
