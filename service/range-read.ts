import type { BufferPool, PooledBuffer } from '../content/buffer-pool.ts';
import type { Chunk, Chunks } from '../content/chunk.ts';
import { OciError } from '../oci/error.ts';
import type { ByteRange } from '../oci/range.ts';
import { type Connect, type ReadConnection, connectPlain } from './read-connection.ts';
import { parseResponseHead } from './response-head.ts';

/** One read from somebody. */
export interface Reading extends Disposable {
  /** Something came. */
  heard(): void;
  /** The connection could not be made. @param isSilent it was not refused: nothing has come */
  unreachable(isSilent: boolean): void;
}

/** Who is read from: it wants to know how that goes, and tells when there is no hope. */
export interface ReadPeer {
  /** @param failed is called at most once, when the peer is taken for dead */
  reading(failed: (reason: OciError) => void): Reading;
}

export interface RangeReadOptions {
  readonly pool: BufferPool;
  readonly signal: AbortSignal;
  /** Who is read from, if that is known: when it is taken for dead, the read ends. */
  readonly peer?: ReadPeer | undefined;
  /** Plain, unless it is said otherwise. */
  readonly connect?: Connect | undefined;
  readonly connectMs: number;
  /** From the connection to the head of the answer. */
  readonly headMs: number;
  /** Without a byte. */
  readonly silenceMs: number;
}

const OWN_BYTES = 16 * 1024;
const NO_BYTES = Buffer.alloc(1);
/** Chunks that the consumer has not taken yet; then the socket is not read any further. */
const WINDOW = 3;

/** Bytes on their way. */
export interface RangeRead extends Chunks, Disposable {
  /** What the whole content has, if the answer has told. */
  readonly wholeBytes: number | undefined;
}

/**
 * Begins to read a range from a URL that is the right to do so: socket → pooled buffer, without a copy (with TLS: one). The
 * promise settles when the head of the answer is there, so that the caller can still say 503.
 *
 * @throws OciError BLOB_UNKNOWN for 404: the read has ended or the content is gone; UNAVAILABLE for everything else that is
 *   not the range; the chunks throw UNAVAILABLE when they stop before the range's end
 */
export async function openRangeRead(url: URL, range: ByteRange, options: RangeReadOptions): Promise<RangeRead> {
  const read = new SocketRead(url, range, options);
  await read.answered;
  return read;
}

class SocketRead implements RangeRead {
  /** Settles with the head of the answer. */
  readonly answered: Promise<undefined>;
  readonly #answer = Promise.withResolvers<undefined>();
  readonly #connection: ReadConnection;
  readonly #pool: BufferPool;
  readonly #signal: AbortSignal;
  readonly #reading: Reading | undefined;
  readonly #range: ByteRange;
  readonly #lengthBytes: number;
  readonly #silenceMs: number;
  wholeBytes: number | undefined;
  #receivedBytes = 0;
  /** What has come of the head; undefined once it is whole. */
  #head: Buffer | undefined = Buffer.alloc(0);
  /** Where the next read goes. */
  #next: PooledBuffer | undefined;
  /** For when the pool has nothing: one small buffer, so that no stream waits for another's consumer. */
  readonly #own: { buffer: Buffer | undefined; isLent: boolean } = { buffer: undefined, isLent: false };
  readonly #queue: Chunk[] = [];
  #outstanding = 0;
  #isConnected = false;
  /** How often something has come. */
  #events = 0;
  #isPaused = false;
  #isClosed = false;
  #failure: OciError | undefined;
  #wake: (() => void) | undefined;

  constructor(url: URL, range: ByteRange, options: RangeReadOptions) {
    const { pool, signal, peer, connect = connectPlain } = options;
    const { connectMs, headMs, silenceMs } = options;
    this.#pool = pool;
    this.#signal = signal;
    this.#range = range;
    this.#lengthBytes = range.end - range.start;
    this.#silenceMs = silenceMs;
    this.answered = this.#answer.promise;
    this.#connection = connect(url, {
      // Node asks for one more buffer after the last read, when the socket has been destroyed.
      buffer: () => (this.#isClosed ? NO_BYTES : this.#nextBuffer().bytes),
      callback: (length) => this.#received(length),
      ended: (cause) => this.#lost(brokenOff(cause)),
    });
    this.#reading = peer?.reading((reason) => this.#fail(reason));
    const { socket, ready } = this.#connection;
    socket.setNoDelay(true);
    socket.setTimeout(connectMs);
    socket.on('timeout', () => this.#timedOut());
    const lines = [
      `GET ${url.pathname}${url.search} HTTP/1.1`,
      `host: ${url.host}`,
      `range: bytes=${range.start}-${range.end - 1}`,
    ];
    socket.once(ready, () => {
      this.#isConnected = true;
      this.#events += 1;
      socket.setTimeout(headMs);
      socket.write(`${lines.join('\r\n')}\r\nconnection: close\r\n\r\n`);
    });
    signal.addEventListener('abort', this.#aborted, { once: true });
    if (signal.aborted) this.#aborted();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Chunk, void, void> {
    try {
      for (let yielded = 0; yielded < this.#lengthBytes;) {
        const chunk = this.#queue.shift();
        if (chunk) {
          yielded += chunk.bytes.length;
          yield chunk;
        } else if (this.#failure) {
          throw this.#failure;
        } else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    this.#close();
    for (const chunk of this.#queue.splice(0)) chunk.release();
  }

  /** Node calls this for the next buffer right after each read; `#received` has made sure that there is one. */
  #nextBuffer(): PooledBuffer {
    this.#next ??= this.#pool.tryAcquire() ?? this.#lendOwn();
    return this.#next;
  }

  /** May be named as the next buffer while it is still on its way; then the socket is paused until it is back. */
  #lendOwn(): PooledBuffer {
    this.#own.buffer ??= Buffer.allocUnsafeSlow(OWN_BYTES);
    return { bytes: this.#own.buffer, release: () => (this.#own.isLent = false) };
  }

  /** One read has been done into the next buffer. The answer says whether to go on reading now. */
  #received(length: number): boolean {
    if (this.#isClosed) return false;
    this.#events += 1;
    this.#reading?.heard();
    const buffer = this.#nextBuffer();
    try {
      const body = this.#head ? this.#parseHead(buffer.bytes.subarray(0, length)) : buffer.bytes.subarray(0, length);
      if (body.length > 0) this.#enqueue(buffer, body);
    } catch (error) {
      this.#fail(OciError.from(error));
    }
    this.#isPaused = !this.#mayRead();
    return !this.#isPaused;
  }

  /** The silence begins anew: while the consumer took its time, nothing was asked of the peer. */
  #resume(): void {
    this.#isPaused = false;
    this.#connection.socket.setTimeout(this.#silenceMs);
    this.#connection.resume();
  }

  #enqueue(buffer: PooledBuffer, body: Buffer): void {
    this.#receivedBytes += body.length;
    if (this.#receivedBytes > this.#lengthBytes) throw new OciError('UNAVAILABLE', 'more was sent than was asked for');
    this.#outstanding += 1;
    if (buffer.bytes === this.#own.buffer) this.#own.isLent = true;
    this.#next = undefined;
    let isOut = true;
    const release = (): void => {
      if (!isOut) return;
      isOut = false;
      this.#outstanding -= 1;
      buffer.release();
      if (this.#isPaused && this.#mayRead()) this.#resume();
    };
    this.#queue.push({ bytes: body, release });
    this.#wake?.();
    if (this.#receivedBytes === this.#lengthBytes) this.#close();
  }

  #mayRead(): boolean {
    if (this.#isClosed) return false;
    const isOwnInUse = this.#nextBuffer().bytes === this.#own.buffer && this.#own.isLent;
    return this.#outstanding < WINDOW && !isOwnInUse;
  }

  /** @returns the part of the bytes that is body already */
  #parseHead(bytes: Buffer): Buffer {
    const known = this.#head ?? Buffer.alloc(0);
    const head = parseResponseHead(Buffer.concat([known, bytes]));
    if (!head) {
      this.#head = Buffer.concat([known, bytes]);
      return bytes.subarray(bytes.length);
    }
    if (head.status === 404) throw new OciError('BLOB_UNKNOWN', 'the content is not there any more');
    if (head.status !== 206 || head.contentLength !== this.#lengthBytes) {
      throw new OciError('UNAVAILABLE', 'there was no usable answer');
    }
    if (head.contentRange && head.contentRange.start !== this.#range.start) {
      throw new OciError('UNAVAILABLE', 'another range was sent than was asked for');
    }
    this.wholeBytes = head.contentRange?.sizeBytes;
    this.#head = undefined;
    this.#connection.socket.setTimeout(this.#silenceMs);
    this.#answer.resolve(undefined);
    return bytes.subarray(head.bodyStart - known.length);
  }

  /** When this process was busy for so long itself, what has come meanwhile is seen only now. */
  #timedOut(): void {
    const seen = this.#events;
    setImmediate(() => {
      if (this.#events === seen && !this.#isClosed) this.#silent();
    });
  }

  /** A consumer that takes its time is no silence of the peer's. */
  #silent(): void {
    if (this.#head || this.#mayRead()) this.#lost(new OciError('UNAVAILABLE', 'nothing is sent'), true);
    else this.#connection.socket.setTimeout(this.#silenceMs);
  }

  readonly #aborted = (): void => this.#fail(OciError.from(this.#signal.reason));

  #lost(reason: OciError, isSilent = false): void {
    if (!this.#isConnected && !this.#isClosed) this.#reading?.unreachable(isSilent);
    this.#fail(reason);
  }

  #fail(reason: OciError): void {
    this.#close();
    if (this.#failure || this.#receivedBytes === this.#lengthBytes) return;
    this.#failure = reason;
    this.#answer.reject(reason);
    this.#wake?.();
  }

  #close(): void {
    this.#isClosed = true;
    this.#signal.removeEventListener('abort', this.#aborted);
    this.#reading?.[Symbol.dispose]();
    this.#connection.close();
    this.#next?.release();
    this.#next = undefined;
  }
}

function brokenOff(cause: Error | undefined): OciError {
  return new OciError('UNAVAILABLE', 'the connection broke off', { cause });
}
