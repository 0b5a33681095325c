import type { IncomingMessage } from 'node:http';
import type { Chunks } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';

/** Where the pieces of a body are kept while they go on their way. */
export interface Keeper {
  /** Takes the piece that belongs at `position` of the blob. Never throws. */
  keep(piece: Uint8Array, position: number): Promise<void>;
  /** The bytes from `position` to the end of what is kept; undefined when they are not there (any more). */
  kept(position: number, options: { signal: AbortSignal }): Chunks | undefined;
}

/** A client that has been waited for so long for so little is given up: it holds a connection to the origin. */
const PATIENCE_MS = 60_000;
const PACE_BYTES = 64 * 1024;

/**
 * The body of a request, read no faster than it is sent on. What was read once can be read again from where it is kept:
 * when an origin breaks off in the middle, its next try begins where the origin is, not where the client is.
 */
export class ClientBody {
  readonly #raw: IncomingMessage;
  readonly #keeper: Keeper;
  readonly #signal: AbortSignal;
  readonly #patienceMs: number;
  #position: number;
  #last: { readonly start: number; readonly piece: Uint8Array } | undefined;
  #isEnded = false;
  #failure: OciError | undefined;
  #taking: Promise<void> | undefined;
  #keeping: Promise<void> = Promise.resolve();
  #wake: (() => void) | undefined;
  #waitedMs = 0;
  #unpacedBytes = 0;

  /** @param start position of the body's first byte within the blob */
  constructor(raw: IncomingMessage, start: number, keeper: Keeper, signal: AbortSignal, patienceMs = PATIENCE_MS) {
    this.#raw = raw;
    this.#position = start;
    this.#keeper = keeper;
    this.#signal = signal;
    this.#patienceMs = patienceMs;
    for (const event of EVENTS) raw.on(event, this.#changed);
    signal.addEventListener('abort', this.#changed);
  }

  /** End of what has been read. */
  get position(): number {
    return this.#position;
  }

  /** All of the body has been read. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Why it cannot be read on: the client has gone, or is too slow. */
  get failure(): OciError | undefined {
    return this.#failure;
  }

  /** Can be read from `position`? */
  async *bytes(position: number, signal: AbortSignal = this.#signal): AsyncGenerator<Uint8Array, void, void> {
    let at = position;
    while (!signal.aborted) {
      if (at === this.#position) {
        if (this.#isEnded) return;
        await this.#take();
      } else if (at === this.#last?.start) {
        const { piece } = this.#last;
        at += piece.length;
        yield piece;
      } else {
        for await (const { bytes, release } of this.#again(at, signal)) {
          at += bytes.length;
          try {
            yield Buffer.from(bytes); // a copy: who sends it does not say when it has been sent
          } finally {
            release();
          }
        }
      }
    }
  }

  /** Lets go of the request; what is left of its body stays unread, and what was read is kept. */
  async close(): Promise<void> {
    for (const event of EVENTS) this.#raw.off(event, this.#changed);
    this.#signal.removeEventListener('abort', this.#changed);
    await this.#keeping;
  }

  /** Is what was read from `position` on still kept? */
  canRepeat(position: number): boolean {
    const isNear = position === this.#position || position === this.#last?.start;
    return isNear || this.#keeper.kept(position, { signal: this.#signal }) !== undefined;
  }

  #again(position: number, signal: AbortSignal): Chunks {
    const kept = this.#keeper.kept(position, { signal });
    if (!kept) throw new OciError('UNAVAILABLE', 'the origin broke off, and what it lost is not kept');
    return kept;
  }

  /** One piece for all who wait: a try that has failed may still be waiting beside the one that follows it. */
  async #take(): Promise<void> {
    this.#taking ??= this.#takeNow().finally(() => (this.#taking = undefined));
    await this.#taking;
  }

  async #takeNow(): Promise<void> {
    try {
      const piece = await this.#read();
      if (!piece) {
        this.#isEnded = true;
        return;
      }
      // One piece is sent on while it is written; the next one waits for both.
      await this.#keeping;
      this.#keeping = this.#keeper.keep(piece, this.#position);
      this.#last = { start: this.#position, piece };
      this.#position += piece.length;
    } catch (error) {
      this.#failure ??= OciError.from(error);
      throw this.#failure;
    }
  }

  async #read(): Promise<Buffer | undefined> {
    const raw = this.#raw;
    for (;;) {
      this.#signal.throwIfAborted();
      const piece = raw.read() as Buffer | null;
      if (piece) {
        this.#unpacedBytes += piece.length;
        if (this.#unpacedBytes >= PACE_BYTES) this.#unpacedBytes = this.#waitedMs = 0;
        return piece;
      }
      if (raw.readableEnded) return undefined;
      if (raw.destroyed) throw new OciError('UNAVAILABLE', 'the client hung up');
      await this.#wait();
    }
  }

  async #wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const startedAtMs = performance.now();
    let isLate = false;
    const timer = setTimeout(
      () => {
        isLate = true;
        resolve(undefined);
      },
      Math.max(0, this.#patienceMs - this.#waitedMs),
    );
    this.#wake = () => resolve(undefined);
    await promise;
    clearTimeout(timer);
    this.#waitedMs += performance.now() - startedAtMs;
    if (isLate) throw new OciError('UNAVAILABLE', 'the body comes too slowly');
  }

  readonly #changed = (): void => this.#wake?.();
}

const EVENTS = ['readable', 'end', 'close', 'error'] as const;
