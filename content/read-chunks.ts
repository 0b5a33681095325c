import type { FileHandle } from 'node:fs/promises';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BufferPool, PooledBuffer } from './buffer-pool.ts';
import type { Chunk } from './chunk.ts';
import { StreamBuffers } from './stream-buffers.ts';

export interface ReadOptions {
  readonly pool: BufferPool;
  readonly signal: AbortSignal;
  /** How far the file can be read from `position`; waits until that is at least one byte. Absent: the file is whole. */
  readonly availableTo?: (position: number, signal: AbortSignal) => Promise<number> | number;
  /** The same for this moment: `position` itself when there is nothing yet. */
  readonly availableNow?: (position: number) => number;
}

/**
 * Reads a range of a file into pooled buffers, one chunk ahead of its consumer, so that reading and sending take two
 * cores. No buffer is held while the file has to grow first.
 */
export async function* readChunks(
  file: FileHandle,
  range: ByteRange,
  { pool, signal, availableTo, availableNow }: ReadOptions,
): AsyncGenerator<Chunk, void, void> {
  const buffers = new StreamBuffers(pool);
  const read = async (position: number, end: number, buffer: PooledBuffer): Promise<Chunk> => {
    try {
      const length = Math.min(buffer.bytes.length, end - position);
      const { bytesRead } = await file.read(buffer.bytes, 0, length, position);
      if (bytesRead === 0) throw new OciError('CORRUPT', 'stored content is shorter than it was');
      return { bytes: buffer.bytes.subarray(0, bytesRead), release: buffer.release };
    } catch (error) {
      buffer.release();
      throw OciError.from(error);
    }
  };
  const wait = async (position: number): Promise<Chunk> => {
    const end = Math.min(range.end, availableTo ? await availableTo(position, signal) : range.end);
    return await read(position, end, await buffers.acquire(signal));
  };
  /** Only what is there now, into what is free now. */
  const readAhead = (position: number): Promise<Chunk> | undefined => {
    const isWhole = availableTo === undefined;
    const end = Math.min(range.end, isWhole ? range.end : (availableNow?.(position) ?? position));
    const buffer = end > position ? pool.tryAcquire() : undefined;
    const reading = buffer && read(position, end, buffer);
    reading?.catch(() => undefined); // thrown when its turn comes
    return reading;
  };

  let ahead: Promise<Chunk> | undefined;
  try {
    for (let position = range.start; position < range.end;) {
      const chunk = await (ahead ?? wait(position));
      position += chunk.bytes.length;
      ahead = readAhead(position);
      yield chunk;
    }
  } finally {
    const unused = await ahead?.catch(() => undefined);
    unused?.release();
  }
}
