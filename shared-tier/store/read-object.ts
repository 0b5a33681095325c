import { setTimeout as delay } from 'node:timers/promises';
import type { BufferPool, PooledBuffer } from '../../content/buffer-pool.ts';
import type { Chunk } from '../../content/chunk.ts';
import { StreamBuffers } from '../../content/stream-buffers.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { RangeRead } from '../../service/range-read.ts';
import type { Bucket, ObjectBody } from './bucket.ts';
import { bucketError } from './bucket-error.ts';

/** Broken connections in a row, without a byte between them, after which a read is given up. */
const BREAKS = 4;
const RETRY_MS = 100;
/** From here on a connection of its own is worth its while. */
const STREAM_BYTES = 1024 * 1024;

export interface ReadObjectOptions {
  readonly bucket: Bucket;
  readonly key: string;
  readonly sizeBytes: number;
  readonly pool: BufferPool;
  readonly signal: AbortSignal;
  /** There is no such object of this size: the error to throw. */
  readonly gone: () => Promise<OciError>;
  /** It cannot be read now. */
  readonly failed: (error: OciError) => void;
}

/**
 * A range of an object of the bucket: one request, and after a break another one for the rest. Many bytes go from a socket
 * straight into the pool's buffers. Few come over connections that are kept, in pieces that are gathered into such buffers.
 * What the consumer has not taken waits in the socket.
 *
 * @throws OciError UNAVAILABLE
 */
export async function* readObject(range: ByteRange, options: ReadObjectOptions): AsyncGenerator<Chunk, void, void> {
  const { signal, gone, failed } = options;
  using gathered = new Gathered(options.pool);
  let breaks = 0;
  let isStreamable = true;
  for (let position = range.start; position < range.end;) {
    signal.throwIfAborted();
    const before = position;
    let read: RangeRead | undefined;
    let body: ObjectBody | undefined;
    try {
      if (isStreamable && range.end - position >= STREAM_BYTES) {
        // What is not as it should be is asked for again below, and looked at.
        read = await options.bucket
          .stream(options.key, { start: position, end: range.end }, options)
          .catch(() => undefined);
        signal.throwIfAborted();
        isStreamable = read !== undefined;
      }
      if (read) {
        if (read.wholeBytes !== options.sizeBytes) throw new Gone();
        for await (const chunk of read) {
          position += chunk.bytes.length;
          yield chunk;
        }
        continue;
      }
      body = await options.bucket.open(options.key, { start: position, end: range.end }, signal);
      if (body?.sizeBytes !== options.sizeBytes) throw new Gone();
      for await (const piece of body.pieces) {
        signal.throwIfAborted();
        for (let at = 0; at < piece.length;) {
          const taken = await gathered.add(piece.subarray(at), signal);
          at += taken;
          position += taken;
          const chunk = position === range.end ? gathered.take() : gathered.takeFull();
          if (chunk) yield chunk;
        }
      }
      if (position < range.end) throw new OciError('UNAVAILABLE', 'the bucket sent less than it announced');
    } catch (error) {
      if (error instanceof Gone) throw await gone();
      signal.throwIfAborted();
      breaks = position > before ? 1 : breaks + 1;
      const failure = bucketError(error);
      if (breaks >= BREAKS) {
        failed(failure);
        throw failure;
      }
      await delay(RETRY_MS * 2 ** breaks * (0.5 + Math.random()), undefined, { signal });
    } finally {
      read?.[Symbol.dispose]();
      body?.pieces.destroy();
    }
  }
}

class Gone extends Error {}

/** The buffer that is being filled; it stays when a connection breaks. */
class Gathered implements Disposable {
  readonly #buffers: StreamBuffers;
  #buffer: PooledBuffer | undefined;
  #filled = 0;

  constructor(pool: BufferPool) {
    this.#buffers = new StreamBuffers(pool);
  }

  /** Copies what has room. @returns how much that was */
  async add(bytes: Uint8Array, signal: AbortSignal): Promise<number> {
    const buffer = (this.#buffer ??= await this.#buffers.acquire(signal));
    const part = bytes.subarray(0, buffer.bytes.length - this.#filled);
    buffer.bytes.set(part, this.#filled);
    this.#filled += part.length;
    return part.length;
  }

  takeFull(): Chunk | undefined {
    return this.#filled === this.#buffer?.bytes.length ? this.take() : undefined;
  }

  take(): Chunk | undefined {
    const buffer = this.#buffer;
    const chunk = buffer && { bytes: buffer.bytes.subarray(0, this.#filled), release: buffer.release };
    this.#buffer = undefined;
    this.#filled = 0;
    return chunk;
  }

  [Symbol.dispose](): void {
    this.#buffer?.release();
  }
}
