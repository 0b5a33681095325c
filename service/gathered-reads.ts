/** Who reads a connection, in the way of `onread` of net.connect. */
export interface Receiver {
  /** Where the next read goes. */
  readonly buffer: () => Uint8Array;
  /** Something was read there. The answer false stops the reading. */
  readonly callback: (length: number) => boolean;
  /** The connection has ended, and everything has been handed over. May be called more than once. */
  readonly ended: (error: Error | undefined) => void;
}

/** What stops and starts a socket's reading. */
interface Flow {
  pause(): unknown;
  resume(): unknown;
}

/** The most that TLS hands over at once: one record. */
const RECORD_BYTES = 16 * 1024;

/**
 * Makes few large reads out of the many small ones of a TLS socket. TLS decrypts record by record, and goes on with what
 * it has received when it has been told to stop (at most one read of the kernel's, 64 KiB): so each record lands in a
 * buffer of its own, is copied to where its receiver wants it, and waits here while the receiver takes no more. The copy
 * is a twentieth of what decrypting costs.
 */
export class GatheredReads {
  readonly #receiver: Receiver;
  readonly #landing = Buffer.allocUnsafeSlow(RECORD_BYTES);
  #flow: Flow | undefined;
  /** The receiver's buffer, and how much of it is filled. */
  #target: Uint8Array | undefined;
  #filled = 0;
  #isPaused = false;
  #isClosed = false;
  #isScheduled = false;
  readonly #late: Buffer[] = [];
  #end: { readonly error: Error | undefined } | undefined;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  /** For tls.connect. */
  get onread(): { buffer: Uint8Array; callback: (length: number) => boolean } {
    return { buffer: this.#landing, callback: (length) => this.#landed(length) };
  }

  /** The socket that reads into this. */
  follow(flow: Flow): void {
    this.#flow = flow;
  }

  /** The receiver takes more. */
  resume(): void {
    if (this.#isClosed) return;
    this.#isPaused = false;
    for (const bytes of this.#late.splice(0)) this.#take(bytes);
    if (this.#isPaused) return;
    if (this.#end) this.end(this.#end.error);
    else this.#flow?.resume();
  }

  /** The connection has ended; the receiver learns it after its last bytes, for the end may come along with them. */
  end(error: Error | undefined): void {
    this.#flush();
    this.#end ??= { error };
    if (this.#late.length === 0) this.#receiver.ended(this.#end.error);
  }

  /** The receiver has gone: its buffers must not be written to any more. */
  close(): void {
    this.#isClosed = true;
    this.#target = undefined;
    this.#late.length = 0;
  }

  #landed(length: number): boolean {
    this.#take(this.#landing.subarray(0, length));
    return !this.#isPaused && !this.#isClosed;
  }

  #take(bytes: Buffer): void {
    for (let taken = 0; taken < bytes.length && !this.#isClosed;) {
      if (this.#isPaused) {
        this.#late.push(Buffer.from(bytes.subarray(taken)));
        return;
      }
      this.#target ??= this.#receiver.buffer();
      const length = Math.min(bytes.length - taken, this.#target.length - this.#filled);
      this.#target.set(bytes.subarray(taken, taken + length), this.#filled);
      this.#filled += length;
      taken += length;
      if (this.#filled === this.#target.length) this.#flush();
      else this.#flushSoon();
    }
  }

  /** Hands over what there is. */
  #flush(): void {
    if (this.#isClosed || this.#isPaused || this.#filled === 0) return;
    const length = this.#filled;
    this.#filled = 0;
    this.#target = undefined;
    if (this.#receiver.callback(length)) return;
    this.#isPaused = true;
    this.#flow?.pause();
  }

  /** After all records that have come with this turn of the event loop. */
  #flushSoon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }
}
