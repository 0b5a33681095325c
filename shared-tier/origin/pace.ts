import { setTimeout as delay } from 'node:timers/promises';
import { Slots } from '../slots.ts';

/** Keeps a flow of bytes below a rate, all its users together; each of them gets as much as any other that wants it. */
export class Pace {
  readonly #bytesPerMs: number;
  readonly #turns = new Slots({ slots: 1 });
  #freeAtMs = 0;

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000;
  }

  /** Waits until this many bytes, which have just been read, fit the rate. @param user whose share they are of */
  async spend(bytes: number, user: string, signal: AbortSignal): Promise<void> {
    const turn = await this.#turns.take(user, signal);
    try {
      const now = performance.now();
      this.#freeAtMs = Math.max(now, this.#freeAtMs) + bytes / this.#bytesPerMs;
      const waitMs = this.#freeAtMs - now;
      if (waitMs > 1) await delay(waitMs, undefined, { signal });
    } finally {
      turn[Symbol.dispose]();
    }
  }
}
