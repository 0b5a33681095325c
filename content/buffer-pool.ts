import type { Chunk } from './chunk.ts';

/** A buffer of the pool; `bytes` is its whole length. */
export interface PooledBuffer extends Chunk {
  readonly bytes: Buffer;
}

export interface BufferPoolOptions {
  /** Length of one buffer. 256 KiB measured as fast as 1 MiB and a third of the memory. */
  bufferBytes?: number;
  /** Bound of all buffers together, used or idle. */
  totalBytes?: number;
}

/**
 * The bound on memory that bytes on their way may take in one process. It never makes anybody wait: who gets nothing
 * goes on with less (see `StreamBuffers`), so 1,000 readers are slower than ten, not larger, and none hangs.
 */
export class BufferPool {
  readonly bufferBytes: number;
  readonly #idle: Buffer[] = [];
  #unallocated: number;

  constructor({ bufferBytes = 256 * 1024, totalBytes = 24 * 1024 * 1024 }: BufferPoolOptions = {}) {
    this.bufferBytes = bufferBytes;
    this.#unallocated = Math.max(2, Math.floor(totalBytes / bufferBytes));
  }

  /** A buffer if one is free at this moment. */
  tryAcquire(): PooledBuffer | undefined {
    const bytes = this.#idle.pop() ?? this.#allocate();
    if (!bytes) return undefined;
    let lent = true;
    return {
      bytes,
      release: () => {
        if (lent) this.#idle.push(bytes);
        lent = false;
      },
    };
  }

  #allocate(): Buffer | undefined {
    if (this.#unallocated === 0) return undefined;
    this.#unallocated -= 1;
    return Buffer.allocUnsafeSlow(this.bufferBytes);
  }
}
