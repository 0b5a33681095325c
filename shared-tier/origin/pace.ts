import { setTimeout as delay } from 'node:timers/promises';

/** Keeps a flow of bytes below a rate, all its users together. */
export class Pace {
  readonly #bytesPerMs: number;
  #freeAtMs = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Waits until this many bytes, which have just been read, fit the rate. */
  async spend(bytes: number, signal: AbortSignal): Promise<void> {
    const now = performance.now();
    this.#freeAtMs = Math.max(now, this.#freeAtMs) + bytes / this.#bytesPerMs;
    const waitMs = this.#freeAtMs - now;
    if (waitMs > 1) await delay(waitMs, undefined, { signal });
  }
}
