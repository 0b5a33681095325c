import { setTimeout as delay } from 'node:timers/promises';
import type { Chunk } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { Bucket, ObjectBody } from './bucket.ts';
import { bucketError } from './bucket-error.ts';

/** Broken connections in a row, without a byte between them, after which a read is given up. */
const BREAKS = 4;
const RETRY_MS = 100;

export interface ReadObjectOptions {
  readonly bucket: Bucket;
  readonly key: string;
  readonly sizeBytes: number;
  readonly signal: AbortSignal;
  /** There is no such object of this size: the error to throw. */
  readonly gone: () => Promise<OciError>;
  /** It cannot be read now. */
  readonly failed: (error: OciError) => void;
}

/**
 * A range of an object of the bucket: one request, and after a break another one for the rest. What the consumer has not
 * taken waits in the socket.
 *
 * @throws OciError UNAVAILABLE
 */
export async function* readObject(range: ByteRange, options: ReadObjectOptions): AsyncGenerator<Chunk, void, void> {
  const { bucket, key, sizeBytes, signal, gone, failed } = options;
  let breaks = 0;
  for (let position = range.start; position < range.end;) {
    signal.throwIfAborted();
    const before = position;
    let body: ObjectBody | undefined;
    try {
      body = await bucket.open(key, { start: position, end: range.end }, signal);
      if (body?.sizeBytes !== sizeBytes) throw new Gone();
      for await (const bytes of body.pieces) {
        signal.throwIfAborted();
        position += bytes.length;
        yield { bytes, release: () => undefined };
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
      body?.pieces.destroy();
    }
  }
}

class Gone extends Error {}
