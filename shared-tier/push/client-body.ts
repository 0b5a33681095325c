import type { IncomingMessage } from 'node:http';
import { getDefaultHighWaterMark } from 'node:stream';
import type { Chunks } from '../../content/chunk.ts';
import { OciError } from '../../oci/error.ts';
import { Backlog } from './backlog.ts';

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
const KEEP_BYTES = 512 * 1024;
/** Read, and not yet written down. */
const UNKEPT_BYTES = 1024 * 1024;

/**
 * Who sends a piece says nothing when it has been sent. But a socket that has taken as much as this asks for the next piece
 * only when it has nothing more to send: https://nodejs.org/api/stream.html#event-drain
 */
const SENT_BYTES = getDefaultHighWaterMark(false);

/**
 * The body of a request, read no faster than it is sent on. What was read once can be read again from where it is kept:
 * when an origin breaks off in the middle, its next try begins where the origin is, not where the client is.
 */
export class ClientBody {
  readonly #raw: IncomingMessage;
  readonly #keeper: Keeper;
  readonly #signal: AbortSignal;
  readonly #patienceMs: number;
  /** What has come and nobody has asked for, the last piece that was asked for, and those before it that are not kept yet. */
  readonly #backlog: Backlog;
  #position: number;
  /** Where the last piece that was asked for begins: those before it have been sent. */
  #sentTo: number;
  #keptTo: number;
  #keeping: Promise<void> | undefined;
  #isBegun = false;
  #isEnded = false;
  #isClosed = false;
  #failure: OciError | undefined;
  #taking: Promise<Uint8Array | undefined> | undefined;
  #waiting: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #waitedMs = 0;
  #unpacedBytes = 0;

  /** @param start position of the body's first byte within the blob */
  constructor(raw: IncomingMessage, start: number, keeper: Keeper, signal: AbortSignal, patienceMs = PATIENCE_MS) {
    this.#raw = raw;
    this.#backlog = new Backlog(start);
    this.#position = this.#sentTo = this.#keptTo = start;
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

  /**
   * From `position`, which has been read or comes next, to the end. A piece is good until the next one is asked for, by
   * who has sent it as a socket does.
   */
  async *bytes(position: number, signal: AbortSignal = this.#signal): AsyncGenerator<Uint8Array, void, void> {
    let at = position;
    while (!signal.aborted) {
      const near = this.#near(at);
      if (near) {
        at += near.length;
        yield Buffer.from(near); // who reads it for the first time may go on meanwhile, and let it be forgotten
      } else if (at !== this.#position) {
        for await (const { bytes, release } of this.#again(at, signal)) {
          at += bytes.length;
          try {
            yield Buffer.from(bytes);
          } finally {
            release();
          }
        }
      } else {
        if (this.#isEnded) return;
        const piece = await this.#take();
        if (!piece || signal.aborted) continue;
        at += piece.length;
        yield piece.length < SENT_BYTES ? Buffer.from(piece) : piece;
      }
    }
  }

  /** Waits until more of it has come, enough to be worth a connection, or its end. @throws OciError its failure */
  async gathered(): Promise<void> {
    const enough = this.#position + AHEAD_BYTES / 2;
    try {
      while (this.#backlog.end < enough && !this.#raw.readableEnded) await this.#more();
    } catch (error) {
      throw (this.#failure ??= OciError.from(error));
    }
  }

  /** Lets go of the request; what is left of its body stays unread, and what was read is kept. */
  async close(): Promise<void> {
    for (const event of EVENTS) this.#raw.off(event, this.#changed);
    this.#raw.off('data', this.#came);
    this.#signal.removeEventListener('abort', this.#changed);
    this.#isClosed = true;
    this.#wake?.(); // a try that has failed may still wait for the client
    await this.#keepAll();
  }

  /** Is what was read from `position` on still there? */
  canRepeat(position: number): boolean {
    if (position === this.#position || this.#near(position)) return true;
    return this.#keeper.kept(position, { signal: this.#signal }) !== undefined;
  }

  #near(position: number): Uint8Array | undefined {
    return this.#backlog.read(position, this.#position);
  }

  #again(position: number, signal: AbortSignal): Chunks {
    const kept = this.#keeper.kept(position, { signal });
    if (!kept) throw new OciError('UNAVAILABLE', 'the origin broke off, and what it lost is not kept');
    return kept;
  }

  /** One piece for all who wait: a try that has failed may still be waiting beside the one that follows it. */
  async #take(): Promise<Uint8Array | undefined> {
    this.#taking ??= this.#takeNow().finally(() => (this.#taking = undefined));
    return await this.#taking;
  }

  async #takeNow(): Promise<Uint8Array | undefined> {
    try {
      while (this.#position - this.#keptTo >= UNKEPT_BYTES) await this.#keep();
      const piece = await this.#read();
      if (!piece) {
        this.#isEnded = true;
        void this.#keepAll().then(() => this.#keeper.ended());
        return undefined;
      }
      this.#sentTo = this.#position;
      this.#position += piece.length;
      this.#forget();
      if (this.#position - this.#keptTo >= KEEP_BYTES) void this.#keep();
      return piece;
    } catch (error) {
      this.#failure ??= OciError.from(error);
      throw this.#failure;
    }
  }

  async #keepAll(): Promise<void> {
    while (this.#keptTo < this.#position) await this.#keep();
  }

  /** Writes down what has come; what comes meanwhile gathers. */
  async #keep(): Promise<void> {
    this.#keeping ??= this.#keepNow().finally(() => (this.#keeping = undefined));
    await this.#keeping;
  }

  async #keepNow(): Promise<void> {
    const start = this.#keptTo;
    const end = this.#position;
    const pieces: Uint8Array[] = [];
    let at = start;
    for (let piece = this.#backlog.read(at, end); piece; piece = this.#backlog.read(at, end)) {
      pieces.push(piece);
      at += piece.length;
    }
    await this.#keeper.keep(pieces, start);
    this.#keptTo = end;
    this.#forget();
  }

  #forget(): void {
    this.#backlog.forget(Math.min(this.#keptTo, this.#sentTo));
  }

  async #read(): Promise<Uint8Array | undefined> {
    const raw = this.#raw;
    if (!this.#isBegun) raw.on('data', this.#came);
    this.#isBegun = true;
    for (;;) {
      const piece = this.#backlog.read(this.#position, this.#backlog.end);
      if (piece) {
        const aheadBytes = this.#backlog.end - this.#position - piece.length;
        if (aheadBytes <= AHEAD_BYTES / 2 && raw.isPaused()) raw.resume();
        return piece;
      }
      if (raw.readableEnded) return undefined;
      await this.#more();
    }
  }

  /** Waits until something has changed. */
  async #more(): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#isClosed) throw new OciError('UNAVAILABLE', 'nobody waits for this body any more');
    if (this.#raw.destroyed) throw new OciError('UNAVAILABLE', 'the client hung up');
    await this.#wait();
    this.#signal.throwIfAborted();
  }

  async #wait(): Promise<void> {
    this.#waiting ??= this.#waitNow().finally(() => (this.#waiting = undefined));
    await this.#waiting;
  }

  async #waitNow(): Promise<void> {
    if (this.#unpacedBytes >= PACE_BYTES) this.#unpacedBytes = this.#waitedMs = 0;
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
    this.#unpacedBytes += piece.length;
    this.#backlog.add(piece);
    if (this.#backlog.end - this.#position >= AHEAD_BYTES) this.#raw.pause();
    this.#wake?.();
  };

  readonly #changed = (): void => this.#wake?.();
}

const EVENTS = ['end', 'close', 'error'] as const;
