import { type FileHandle, open } from 'node:fs/promises';
import { type Algorithm, type Digest, algorithmOf, hexOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Chunks } from './chunk.ts';
import type { HashJob, Hasher } from './hasher.ts';
import { readChunks } from './read-chunks.ts';
import type { Reserved } from './reserved.ts';
import type { Settler } from './settler.ts';
import type { Spool } from './spool.ts';
import { writeAll } from './write-all.ts';

export interface DiskSpoolOptions {
  /** Of the file, which must not exist yet; in the file system of the store. */
  readonly path: string;
  readonly hasher: Hasher;
  readonly settler: Pick<Settler, 'begin'>;
  readonly pool: BufferPool;
  /** Takes room in the store. @throws OciError UNAVAILABLE */
  readonly reserve: (bytes: number) => Promise<void>;
  /** What was taken is accounted for here. */
  readonly reserved: Reserved;
  /** Makes the verified file visible; the room it takes is the content's from then on. */
  readonly publish: (digest: Digest, sizeBytes: number) => void;
  /** The file is not wanted. */
  readonly remove: () => void;
}

/** Room is taken in steps that grow with the content. */
const MIN_STEP_BYTES = 256 * 1024;
const MAX_STEP_BYTES = 64 * 1024 * 1024;
/** Less is not worth the disk's trouble before the commit. */
const SETTLE_BYTES = 16 * 1024 * 1024;
/** What the commit of a large blob has to wait for at most, if the disk keeps up. */
const SETTLE_EVERY_BYTES = 64 * 1024 * 1024;
const HASH_EVERY_BYTES = 4 * 1024 * 1024;
/** What nearly everybody uses; for other digests the file is read once more. */
const USUAL: Algorithm = 'sha256';

/** A spool in a temporary file of a disk store, hashed while it grows. */
export class DiskSpool implements Spool {
  readonly #options: DiskSpoolOptions;
  readonly #file: FileHandle;
  #hash: HashJob | undefined;
  #hashedTo = 0;
  #sizeBytes = 0;
  /** The file has been that long. */
  #writtenBytes = 0;
  #reservedBytes = 0;
  #settledTo = 0;
  #settling: Promise<unknown> | undefined;
  #isEnded = false;
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(file: FileHandle, options: DiskSpoolOptions) {
    this.#file = file;
    this.#options = options;
    this.#hash = options.hasher.start(file.fd, USUAL, Infinity);
  }

  /** @throws OciError UNAVAILABLE */
  static async open(options: DiskSpoolOptions): Promise<DiskSpool> {
    try {
      return new DiskSpool(await open(options.path, 'wx+', 0o600), options);
    } catch (cause) {
      throw new OciError('UNAVAILABLE', 'content cannot be stored', { cause });
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  async append(pieces: readonly Uint8Array[]): Promise<void> {
    await this.#alone(async () => {
      const end = pieces.reduce((sum, { length }) => sum + length, this.#sizeBytes);
      if (end > this.#reservedBytes) {
        const step = Math.min(Math.max(MIN_STEP_BYTES, this.#sizeBytes), MAX_STEP_BYTES);
        const bytes = Math.max(end - this.#reservedBytes, step);
        await this.#options.reserve(bytes);
        this.#reservedBytes += bytes;
      }
      try {
        await writeAll(this.#file, this.#sizeBytes, pieces);
      } catch (cause) {
        throw new OciError('UNAVAILABLE', 'content cannot be stored', { cause });
      }
      this.#sizeBytes = end;
      if (end > this.#writtenBytes) this.#options.reserved.written(end - this.#writtenBytes);
      this.#writtenBytes = Math.max(end, this.#writtenBytes);
      if (end - this.#hashedTo >= HASH_EVERY_BYTES) {
        this.#hash?.advance(end);
        this.#hashedTo = end;
      }
      if (end - this.#settledTo >= SETTLE_EVERY_BYTES) this.settle();
    });
  }

  settle(): void {
    if (this.#isEnded || this.#settling || this.#sizeBytes - this.#settledTo < SETTLE_BYTES) return;
    const settling = this.#options.settler.begin(this.#file);
    if (!settling) return;
    this.#settledTo = this.#sizeBytes;
    this.#settling = settling.then(() => (this.#settling = undefined));
  }

  truncate(sizeBytes: number): void {
    if (sizeBytes >= this.#sizeBytes) return;
    this.#sizeBytes = sizeBytes;
    if (sizeBytes >= this.#hashedTo) return;
    void this.#hash?.cancel(); // it may have hashed what is no part of the content any more
    this.#hash = undefined;
  }

  chunks(range: ByteRange, { signal }: { signal: AbortSignal }): Chunks {
    return readChunks(this.#file, range, { signal, pool: this.#options.pool });
  }

  async commit(digest: Digest): Promise<void> {
    await this.#alone(async () => {
      const size = this.#sizeBytes;
      if ((await this.#hex(algorithmOf(digest))) !== hexOf(digest)) {
        throw new OciError('CORRUPT', 'the bytes do not have this digest');
      }
      try {
        await this.#settling;
        if (this.#writtenBytes > size) await this.#file.truncate(size);
        await this.#file.datasync();
        this.#options.publish(digest, size);
      } catch (cause) {
        throw new OciError('UNAVAILABLE', 'content cannot be stored', { cause });
      }
      this.#isEnded = true;
      this.#options.reserved.giveBack(this.#reservedBytes - size, this.#reservedBytes - this.#writtenBytes);
      await this.#file.close();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#busy.catch(() => undefined);
    if (this.#isEnded) return;
    this.#isEnded = true;
    await this.#hash?.cancel();
    await this.#settling;
    await this.#file.close().catch(() => undefined);
    this.#options.reserved.giveBack(this.#reservedBytes, this.#reservedBytes - this.#writtenBytes);
    this.#options.remove();
  }

  async #hex(algorithm: Algorithm): Promise<string> {
    let job = this.#hash;
    this.#hash = undefined; // its result can be had once
    if (algorithm !== USUAL || !job) {
      await job?.cancel();
      job = this.#options.hasher.start(this.#file.fd, algorithm, Infinity);
    }
    job.finish(this.#sizeBytes);
    return await job.result;
  }

  /** One at a time: a file that is being written is not closed, or taken for whole. */
  async #alone(work: () => Promise<void>): Promise<void> {
    await this.#busy.catch(() => undefined);
    if (this.#isEnded) throw new OciError('UNAVAILABLE', 'this content has been dropped');
    const working = work();
    this.#busy = working.catch(() => undefined);
    await working;
  }
}
