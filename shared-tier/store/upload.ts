import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Chunks } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { Slots } from '../slots.ts';
import type { Bucket } from './bucket.ts';
import { bucketError, isWorthARetry } from './bucket-error.ts';
import { abortUpload, beginUpload, completeUpload, sendObject, sendPart } from './multipart.ts';

export interface UploadOptions {
  readonly bucket: Bucket;
  readonly key: string;
  readonly sizeBytes: number;
  /** A range that is there. */
  readonly read: (range: ByteRange, options: { signal: AbortSignal }) => Chunks;
  /** Of all uploads together. */
  readonly slots: Slots;
  /** Smallest part; 8 MiB unless given. */
  readonly partBytes?: number;
}

const PART_BYTES = 8 * 1024 * 1024;
/** S3's own (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html). */
const MAX_PARTS = 10_000;
const MIB = 1024 * 1024;
/** Parts of one upload that are on their way at once. */
const PARALLEL = 4;
const TRIES = 4;
const RETRY_MS = 200;
/** Slowest that a part may be: below that the bucket is as good as away. */
const MIN_BYTES_PER_MS = 50;
const PATIENCE_MS = 60_000;

/**
 * Brings content into the bucket while it still arrives: parts go up, several at once, as soon as all their bytes are
 * there. It becomes an object with `finish` only, when the caller knows that the bytes are right. What fits in one part is
 * one request then. Memory: one chunk for each part on its way.
 */
export class Upload {
  readonly #options: UploadOptions;
  readonly #parts: readonly ByteRange[];
  readonly #etags: string[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #next = 0;
  #id: Promise<string> | undefined;
  #failure: OciError | undefined;
  #isDone = false;
  #aborting: Promise<void> | undefined;

  constructor(options: UploadOptions) {
    this.#options = options;
    this.#parts = cut(options.sizeBytes, options.partBytes ?? PART_BYTES);
  }

  /** Sends what can be sent. The last part never goes up before `finish`. @param isThere are all bytes of the range there? */
  advance(isThere: (range: ByteRange) => boolean): void {
    for (let part = this.#parts[this.#next]; part; part = this.#parts[this.#next]) {
      const isLast = this.#next === this.#parts.length - 1;
      if (isLast || this.#failure || this.#running.size >= PARALLEL || !isThere(part)) return;
      this.#start(this.#next, part, () => this.advance(isThere));
      this.#next += 1;
    }
  }

  /** Sends the rest, all of which is there, and makes it an object. @throws OciError UNAVAILABLE */
  async finish(): Promise<void> {
    try {
      if (this.#parts.length === 1) await this.#sendWhole();
      else await this.#sendRest();
      this.#isDone = true;
    } catch (error) {
      const failure = this.#fail(error);
      await this.abort();
      throw failure;
    }
  }

  /** Gives it up, and removes what was sent; does nothing after `finish`. */
  async abort(): Promise<void> {
    if (!this.#isDone) await (this.#aborting ??= this.#abort());
  }

  async #abort(): Promise<void> {
    this.#stop.abort(new OciError('UNAVAILABLE', 'the upload was given up'));
    await Promise.allSettled(this.#running);
    const { bucket, key } = this.#options;
    const id = await this.#id?.catch(() => undefined);
    // What cannot be removed now the collector finds later.
    if (id !== undefined) await abortUpload(bucket, bucket.at(key).Key, id).catch(() => undefined);
  }

  async #sendWhole(): Promise<void> {
    const { bucket, key, sizeBytes } = this.#options;
    const range = { start: 0, end: sizeBytes };
    await this.#retried(range, (body, signal) => sendObject(bucket, key, sizeBytes, body, signal));
  }

  async #sendRest(): Promise<void> {
    const last = this.#parts.length - 1;
    while (this.#next <= last || this.#running.size > 0) {
      this.advance(() => true);
      if (this.#failure) throw this.#failure;
      const part = this.#parts[this.#next];
      if (part && this.#next === last && this.#running.size < PARALLEL) {
        this.#start(last, part, () => undefined);
        this.#next += 1;
      }
      await Promise.race(this.#running);
    }
    if (this.#failure) throw this.#failure;
    const { bucket, key, sizeBytes } = this.#options;
    const id = await this.#begun();
    await completeUpload(bucket, { key, id, sizeBytes }, this.#etags);
  }

  #start(index: number, range: ByteRange, then: () => void): void {
    const running = this.#send(index, range)
      .catch((error: unknown) => void this.#fail(error))
      .finally(() => {
        this.#running.delete(running);
        then();
      });
    this.#running.add(running);
  }

  async #send(index: number, range: ByteRange): Promise<void> {
    const { bucket, key } = this.#options;
    const id = await this.#begun();
    await this.#retried(range, async (body, signal) => {
      this.#etags[index] = await sendPart(bucket, { key, id }, index + 1, range.end - range.start, body, signal);
    });
  }

  #begun(): Promise<string> {
    const { bucket, key } = this.#options;
    this.#id ??= beginUpload(bucket, key, this.#stop.signal);
    return this.#id;
  }

  /** A body cannot be sent twice, so each try reads it anew. */
  async #retried(range: ByteRange, send: (body: Readable, signal: AbortSignal) => Promise<void>): Promise<void> {
    const { read, slots, key } = this.#options;
    const patienceMs = PATIENCE_MS + Math.ceil((range.end - range.start) / MIN_BYTES_PER_MS);
    for (let tries = 1; ; tries += 1) {
      const slot = await slots.take(key, this.#stop.signal);
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(patienceMs)]);
      const body = Readable.from(copies(read(range, { signal })), { objectMode: false, highWaterMark: 1 });
      body.on('error', () => undefined); // told by the request that sends it
      try {
        await send(body, signal);
        return;
      } catch (error) {
        this.#stop.signal.throwIfAborted();
        if (tries >= TRIES || !isWorthARetry(error)) throw error;
      } finally {
        body.destroy();
        slot[Symbol.dispose]();
      }
      await delay(RETRY_MS * 2 ** tries * (0.5 + Math.random()), undefined, { signal: this.#stop.signal });
    }
  }

  #fail(error: unknown): OciError {
    this.#failure ??= bucketError(error);
    return this.#failure;
  }
}

/** Parts of one size, at most as many as the bucket takes. */
function cut(sizeBytes: number, smallest: number): ByteRange[] {
  const needed = Math.ceil(sizeBytes / MAX_PARTS);
  const partBytes = needed <= smallest ? smallest : Math.ceil(needed / MIB) * MIB;
  const count = Math.max(1, Math.ceil(sizeBytes / partBytes));
  return Array.from({ length: count }, (_, index) => ({
    start: index * partBytes,
    end: Math.min(sizeBytes, (index + 1) * partBytes),
  }));
}

/** The SDK does not say when it has sent a piece, so the pool's buffers cannot be lent to it. */
async function* copies(chunks: Chunks): AsyncGenerator<Buffer> {
  for await (const { bytes, release } of chunks) {
    const copy = Buffer.from(bytes);
    release();
    yield copy;
  }
}
