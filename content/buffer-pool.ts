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
 * The bound on memory that bytes on their way may take in one process. When every buffer is in use, streams wait for
 * one instead of allocating: 1,000 readers are slower than ten, not larger.
 */
export class BufferPool {
  readonly bufferBytes: number;
  readonly #idle: Buffer[] = [];
  readonly #waiting = new Set<(buffer: Buffer) => void>();
  #unallocated: number;

  constructor({ bufferBytes = 256 * 1024, totalBytes = 32 * 1024 * 1024 }: BufferPoolOptions = {}) {
    this.bufferBytes = bufferBytes;
    this.#unallocated = Math.max(2, Math.floor(totalBytes / bufferBytes));
  }

  /** Streams that wait for a buffer now. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** A buffer if one is free at this moment. */
  tryAcquire(): PooledBuffer | undefined {
    const idle = this.#idle.pop();
    if (idle) return this.#lend(idle);
    if (this.#unallocated === 0) return undefined;
    this.#unallocated -= 1;
    return this.#lend(Buffer.allocUnsafeSlow(this.bufferBytes));
  }

  /** Waits its turn for a buffer. Rejects with the signal's reason. */
  async acquire(signal: AbortSignal): Promise<PooledBuffer> {
    signal.throwIfAborted();
    const free = this.tryAcquire();
    if (free) return free;
    return await new Promise<PooledBuffer>((resolve, reject) => {
      const take = (buffer: Buffer): void => {
        signal.removeEventListener('abort', abort);
        resolve(this.#lend(buffer));
      };
      const abort = (): void => {
        this.#waiting.delete(take);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.add(take);
    });
  }

  #lend(bytes: Buffer): PooledBuffer {
    let lent = true;
    return {
      bytes,
      release: () => {
        if (!lent) return;
        lent = false;
        const next = this.#waiting.values().next();
        if (next.done) {
          this.#idle.push(bytes);
          return;
        }
        this.#waiting.delete(next.value);
        next.value(bytes);
      },
    };
  }
}
