import type { IncomingMessage } from 'node:http';
import type { Chunks } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';

/** Where the pieces of a body are kept while they go on their way. */
export interface Keeper {
  /** Takes the pieces that belong, one after the other, at `position` of the blob. Never throws. */
  keep(pieces: readonly Uint8Array[], position: number): Promise<void>;
  /** The body has come to its end: no more pieces for now. */
  ended(): void;
  /** The bytes from `position` to the end of what is kept; undefined when they are not there (any more). */
  kept(position: number, options: { signal: AbortSignal }): Chunks | undefined;
}

/** A client that has been waited for so long for so little is given up: it holds a connection to the origin. */
const PATIENCE_MS = 60_000;
const PACE_BYTES = 64 * 1024;
/** Read from the client before it is asked for, once the first of it was: who waits for a turn at the origin holds nothing. */
const AHEAD_BYTES = 512 * 1024;
/** Written down at once: to wake up who writes costs more than a piece. */
const KEEP_BYTES = 1024 * 1024;
/** Read, and not yet written down. */
const UNKEPT_BYTES = 4 * 1024 * 1024;

/** A piece, and where it begins within the blob. */
interface Placed {
  readonly start: number;
  readonly piece: Uint8Array;
}

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
  /** What has come and nobody has asked for. */
  #ahead: Buffer[] = [];
  #aheadBytes = 0;
  /** The last piece that was asked for, and those before it that are not kept yet. */
  #recent: Placed[] = [];
  #unkeptBytes = 0;
  #keeping: Promise<void> | undefined;
  #isBegun = false;
  #isEnded = false;
  #failure: OciError | undefined;
  #taking: Promise<void> | undefined;
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

  /** From `position`, which has been read or comes next, to the end. */
  async *bytes(position: number, signal: AbortSignal = this.#signal): AsyncGenerator<Uint8Array, void, void> {
    let at = position;
    while (!signal.aborted) {
      const near = this.#near(at);
      if (near) {
        at += near.length;
        yield near;
      } else if (at === this.#position) {
        if (this.#isEnded) return;
        await this.#take();
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
    this.#raw.off('data', this.#came);
    this.#signal.removeEventListener('abort', this.#changed);
    await this.#keepAll();
  }

  /** Is what was read from `position` on still there? */
  canRepeat(position: number): boolean {
    if (position === this.#position || this.#near(position)) return true;
    return this.#keeper.kept(position, { signal: this.#signal }) !== undefined;
  }

  #near(position: number): Uint8Array | undefined {
    const [first] = this.#recent;
    if (!first || position < first.start) return undefined;
    const found = this.#recent.findLast(({ start }) => start <= position);
    const rest = found?.piece.subarray(position - found.start);
    return rest && rest.length > 0 ? rest : undefined;
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
      while (this.#unkeptBytes >= UNKEPT_BYTES) await this.#keep();
      const piece = await this.#read();
      if (!piece) {
        this.#isEnded = true;
        void this.#keepAll().then(() => this.#keeper.ended());
        return;
      }
      this.#recent.push({ start: this.#position, piece });
      this.#unkeptBytes += piece.length;
      this.#position += piece.length;
      if (this.#unkeptBytes >= KEEP_BYTES) void this.#keep();
    } catch (error) {
      this.#failure ??= OciError.from(error);
      throw this.#failure;
    }
  }

  async #keepAll(): Promise<void> {
    while (this.#unkeptBytes > 0) await this.#keep();
  }

  /** Writes down what has come; what comes meanwhile gathers. */
  async #keep(): Promise<void> {
    this.#keeping ??= this.#keepNow().finally(() => (this.#keeping = undefined));
    await this.#keeping;
  }

  async #keepNow(): Promise<void> {
    const bytes = this.#unkeptBytes;
    const end = this.#position;
    const unkept = this.#recent.filter(({ start }) => start >= end - bytes);
    await this.#keeper.keep(
      unkept.map(({ piece }) => piece),
      end - bytes,
    );
    this.#unkeptBytes -= bytes;
    this.#recent = this.#recent.filter(({ start }, index, { length }) => start >= end || index === length - 1);
  }

  async #read(): Promise<Buffer | undefined> {
    const raw = this.#raw;
    if (!this.#isBegun) raw.on('data', this.#came);
    this.#isBegun = true;
    for (;;) {
      this.#signal.throwIfAborted();
      const piece = this.#ahead.shift();
      if (piece) {
        this.#aheadBytes -= piece.length;
        if (this.#aheadBytes <= AHEAD_BYTES / 2 && raw.isPaused()) raw.resume();
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

  readonly #came = (piece: Buffer): void => {
    this.#ahead.push(piece);
    this.#aheadBytes += piece.length;
    if (this.#aheadBytes >= AHEAD_BYTES) this.#raw.pause();
    this.#wake?.();
  };

  readonly #changed = (): void => this.#wake?.();
}

const EVENTS = ['end', 'close', 'error'] as const;
