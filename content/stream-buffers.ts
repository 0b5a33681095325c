import type { BufferPool, PooledBuffer } from './buffer-pool.ts';

const OWN_BYTES = 16 * 1024;

/**
 * The buffers of one stream: the pool's while it has some, else one small one of its own. So a stream waits for
 * nothing but its own consumer, however many others have stopped taking their bytes.
 */
export class StreamBuffers {
  readonly #pool: BufferPool;
  #own: Buffer | undefined;
  #isOwnLent = false;
  readonly #waiting = new Set<() => void>();

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** A buffer if there is one now: undefined only while the stream's own buffer has not come back. */
  tryAcquire(): PooledBuffer | undefined {
    return this.#pool.tryAcquire() ?? this.#lendOwn();
  }

  /** Waits at most for the stream's consumer to give its own buffer back. Rejects with the signal's reason. */
  async acquire(signal: AbortSignal): Promise<PooledBuffer> {
    signal.throwIfAborted();
    for (let buffer = this.tryAcquire(); ; buffer = this.tryAcquire()) {
      if (buffer) return buffer;
      await this.#untilOwnReleased(signal);
    }
  }

  async #untilOwnReleased(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const wake = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiting.delete(wake);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.add(wake);
    });
  }

  #lendOwn(): PooledBuffer | undefined {
    if (this.#isOwnLent) return undefined;
    this.#own ??= Buffer.allocUnsafeSlow(OWN_BYTES);
    this.#isOwnLent = true;
    let lent = true;
    return {
      bytes: this.#own,
      release: () => {
        if (!lent) return;
        lent = false;
        this.#isOwnLent = false;
        for (const wake of this.#waiting) wake();
        this.#waiting.clear();
      },
    };
  }
}
