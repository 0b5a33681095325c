import type { FileHandle } from 'node:fs/promises';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Chunk } from './chunk.ts';
import { StreamBuffers } from './stream-buffers.ts';

export interface ReadOptions {
  readonly pool: BufferPool;
  readonly signal: AbortSignal;
  /** How far the file can be read from `position`; waits until that is at least one byte. Absent: the file is whole. */
  readonly availableTo?: (position: number, signal: AbortSignal) => Promise<number> | number;
}

/** Reads a range of a file into pooled buffers. No buffer is held while the file has to grow first. */
export async function* readChunks(
  file: FileHandle,
  range: ByteRange,
  { pool, signal, availableTo }: ReadOptions,
): AsyncGenerator<Chunk, void, void> {
  const buffers = new StreamBuffers(pool);
  let position = range.start;
  while (position < range.end) {
    const end = Math.min(range.end, availableTo ? await availableTo(position, signal) : range.end);
    const buffer = await buffers.acquire(signal);
    let read: number;
    try {
      read = (await file.read(buffer.bytes, 0, Math.min(buffer.bytes.length, end - position), position)).bytesRead;
      if (read === 0) throw new OciError('CORRUPT', 'stored content is shorter than it was');
    } catch (error) {
      buffer.release();
      throw OciError.from(error);
    }
    position += read;
    yield { bytes: buffer.bytes.subarray(0, read), release: buffer.release };
  }
}
