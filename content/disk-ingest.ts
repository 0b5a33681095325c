import type { FileHandle } from 'node:fs/promises';
import { type Digest, algorithmOf, hexOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { HashJob, Hasher } from './hasher.ts';
import { readChunks } from './read-chunks.ts';
import { Spans } from './spans.ts';
import type { Content, Ingest } from './store.ts';
import { cut, writeAll } from './write-all.ts';

export interface DiskIngestOptions {
  readonly file: FileHandle;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly hasher: Hasher;
  readonly pool: BufferPool;
  /** Makes the verified file visible in the store. */
  readonly publish: () => void;
  /** Called once, when the ingest has ended and its last reader has gone. */
  readonly closed: (committed: boolean, writtenBytes: number) => void;
  readonly written: (bytes: number) => void;
  /** A reader came or went (+1, -1). */
  readonly readers: (change: number) => void;
}

const HASH_EVERY_BYTES = 1024 * 1024;

interface Waiter {
  readonly position: number;
  resolve(end: number): void;
  reject(reason: unknown): void;
}

/** An ingest into a temporary file. See `Ingest`. */
export class DiskIngest implements Ingest {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly #options: DiskIngestOptions;
  /** What a writer has taken on itself. Bytes never change: they may be read or verified already. */
  readonly #claimed = new Spans();
  readonly #written = new Spans();
  readonly #waiters = new Set<Waiter>();
  readonly #hash: HashJob;
  #readers = 0;
  #hashedTo = 0;
  #writing = 0;
  #writtenBytes = 0;
  #state: 'open' | 'verified' | 'committed' | 'failed' = 'open';
  #failure: OciError | undefined;
  #fileClosed: Promise<void> | undefined;

  constructor(options: DiskIngestOptions) {
    this.#options = options;
    this.digest = options.digest;
    this.sizeBytes = options.sizeBytes;
    this.#hash = options.hasher.start(options.file.fd, algorithmOf(options.digest), options.sizeBytes);
  }

  get failure(): OciError | undefined {
    return this.#failure;
  }

  async write(position: number, pieces: readonly Uint8Array[]): Promise<void> {
    this.#throwIfEnded();
    const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (position + total > this.sizeBytes) throw this.#fail(new OciError('CORRUPT', 'more bytes than the size says'));
    const fresh = this.#claimed.gaps(position, position + total);
    this.#claimed.add(position, position + total);
    this.#writing += 1;
    try {
      for (const { start, end } of fresh) {
        await writeAll(this.#options.file, start, cut(pieces, start - position, end - position));
      }
    } catch (error) {
      throw this.#fail(new OciError('UNAVAILABLE', 'content cannot be stored', { cause: error }));
    } finally {
      this.#writing -= 1;
      this.#closeIfUnused();
    }
    this.#throwIfEnded();
    for (const { start, end } of fresh) {
      this.#written.add(start, end);
      this.#writtenBytes += end - start;
      this.#options.written(end - start);
    }
    this.#tellHasher();
    this.#wake();
  }

  gaps(range: ByteRange): ByteRange[] {
    return this.#written.gaps(range.start, range.end);
  }

  wanted(): number[] {
    // The held-back last byte is waited for as well, but it is there.
    return [...this.#waiters].map(({ position }) => position).filter((at) => this.#written.endOf(at) === at);
  }

  follow(): Content {
    if (this.#failure) throw this.#failure;
    // Its last reader has gone a moment ago: the store has it.
    if (this.#fileClosed) throw new OciError('UNAVAILABLE', 'this ingest has ended');
    this.#countReader(1);
    let open = true;
    return {
      digest: this.digest,
      sizeBytes: this.sizeBytes,
      chunks: (range, { signal }) =>
        readChunks(this.#options.file, range, {
          signal,
          pool: this.#options.pool,
          availableTo: (position) => this.#available(position, signal),
          availableNow: (position) => (this.#failure ? position : this.#readableTo(position)),
        }),
      [Symbol.asyncDispose]: async () => {
        if (open) this.#countReader(-1);
        open = false;
        await this.#fileClosed;
      },
    };
  }

  async commit(): Promise<void> {
    this.#throwIfEnded();
    let hex: string;
    try {
      hex = await this.#hash.result;
    } catch (error) {
      throw this.#fail(OciError.from(error));
    }
    if (hex !== hexOf(this.digest)) throw this.#fail(new OciError('CORRUPT', 'the bytes do not have this digest'));
    this.#throwIfEnded();
    this.#state = 'verified';
    this.#wake();
    try {
      await this.#options.file.datasync();
      this.#throwIfEnded();
      this.#options.publish();
    } catch (error) {
      throw this.#fail(new OciError('UNAVAILABLE', 'content cannot be stored', { cause: error }));
    }
    this.#state = 'committed';
    this.#closeIfUnused();
  }

  abort(reason: unknown): void {
    if (this.#state !== 'committed') this.#fail(OciError.from(reason));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort(new OciError('UNAVAILABLE', 'the content stopped arriving'));
    await this.#fileClosed;
  }

  /** A message for each small write would cost the hasher more than the hash. */
  #tellHasher(): void {
    const prefix = this.#written.endOf(0);
    if (prefix - this.#hashedTo < HASH_EVERY_BYTES && prefix < this.sizeBytes) return;
    this.#hashedTo = prefix;
    this.#hash.advance(prefix);
  }

  /** End of what can be read from `position`: without the last byte until the digest is verified. */
  #readableTo(position: number): number {
    const end = this.#written.endOf(position);
    return end === this.sizeBytes && this.#state === 'open' ? end - 1 : end;
  }

  #available(position: number, signal: AbortSignal): number | Promise<number> {
    if (this.#failure) throw this.#failure;
    const end = this.#readableTo(position);
    if (end > position) return end;
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', aborted);
      };
      const waiter: Waiter = {
        position,
        resolve: (to) => {
          settle();
          resolve(to);
        },
        reject: (reason) => {
          settle();
          reject(reason);
        },
      };
      const aborted = (): void => waiter.reject(signal.reason);
      signal.addEventListener('abort', aborted, { once: true });
      this.#waiters.add(waiter);
    });
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      const end = this.#readableTo(waiter.position);
      if (end > waiter.position) waiter.resolve(end);
    }
  }

  #fail(reason: OciError): OciError {
    if (this.#state === 'failed' || this.#state === 'committed') return this.#failure ?? reason;
    this.#state = 'failed';
    this.#failure = reason;
    for (const waiter of this.#waiters) waiter.reject(reason);
    void this.#hash.cancel(); // now, not when the last reader has gone: a commit waits for it
    this.#closeIfUnused();
    return reason;
  }

  #throwIfEnded(): void {
    if (this.#failure) throw this.#failure;
    if (this.#state === 'committed') throw new Error('this ingest is committed');
  }

  #countReader(change: number): void {
    this.#readers += change;
    this.#options.readers(change);
    this.#closeIfUnused();
  }

  #closeIfUnused(): void {
    const ended = this.#state === 'committed' || this.#state === 'failed';
    if (!ended || this.#readers > 0 || this.#writing > 0) return;
    this.#fileClosed ??= this.#close();
  }

  async #close(): Promise<void> {
    await this.#hash.cancel();
    try {
      await this.#options.file.close();
    } finally {
      this.#options.closed(this.#state === 'committed', this.#writtenBytes);
    }
  }
}
