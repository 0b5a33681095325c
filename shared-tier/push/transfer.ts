import { setTimeout as delay } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import { GaveWay } from '../origin/giving-way.ts';
import { OriginRefused } from '../origin/origin-refused.ts';
import type { OriginUpload, Part, PushClient } from '../origin/push-client.ts';
import type { Pusher } from '../origin/push-http.ts';
import { OriginDown, RetryLater } from '../origin/retry.ts';
import type { ClientBody } from './client-body.ts';
import type { Progress } from './local-uploads.ts';

export interface TransferOptions {
  readonly client: PushClient;
  readonly pusher: Pusher;
  readonly body: ClientBody;
  /** How long the body is, if its client has said so. */
  readonly lengthBytes: number | undefined;
  /** The client has said where it begins; then the origin is told as well. */
  readonly isPlaced: boolean;
  /** How long an origin may take no byte; 60 s unless given. */
  readonly stallMs?: number | undefined;
}

const STALL_MS = 60_000;
/** Tries in a row that brought the origin no further. */
const MAX_BREAKS = 4;
/** An origin that wants to be left alone for longer is not waited for: the client may come again. */
const PATIENCE_MS = 20_000;

/**
 * Sends a client's body on while it arrives. When the origin breaks off, it is asked how far it has come, and gets the
 * rest from there.
 */
export class Transfer {
  readonly #options: TransferOptions;
  /** Position within the blob of the body's first byte. */
  readonly #start: number;
  #progress: Progress;
  #breaks = 0;
  #isRepeated = false;

  constructor(progress: Progress, options: TransferOptions) {
    this.#options = options;
    this.#progress = progress;
    this.#start = progress.offset;
  }

  /** @returns what the origin has then. @throws OciError what it says, or UNAVAILABLE when it cannot go on */
  async append(): Promise<Progress> {
    const { client, pusher, body } = this.#options;
    for (;;) {
      if (body.isEnded && this.#progress.offset === body.position && this.#isRepeated) return this.#progress;
      try {
        const { location } = this.#progress;
        const answer = await this.#try((part, signal) =>
          client.append(location, part, () => body.position, { ...pusher, signal }),
        );
        return { location: answer.location, offset: answer.offset ?? body.position };
      } catch (error) {
        await this.#resume(error);
      }
    }
  }

  /**
   * The same for the last part, with which the upload ends.
   *
   * @returns when the origin broke off: what it has now, which is all, but the upload is not ended
   */
  async finish(digest: Digest): Promise<Progress | undefined> {
    const { client, pusher } = this.#options;
    const { location } = this.#progress;
    try {
      await this.#try((part, signal) => client.finishWith(location, digest, part, { ...pusher, signal }));
      return undefined;
    } catch (error) {
      await this.#resume(error);
    }
    return await this.append();
  }

  async #try<T>(send: (part: Part, signal: AbortSignal) => Promise<T>): Promise<T> {
    const { body, lengthBytes, isPlaced, pusher, stallMs = STALL_MS } = this.#options;
    const { offset } = this.#progress;
    const ended = new AbortController();
    const signal = AbortSignal.any([pusher.signal, ended.signal]);
    const stalled = (): void => ended.abort(new RetryLater('broken', new Error('the origin takes no more bytes')));
    const part: Part = {
      body: watched(body.bytes(offset, signal), stallMs, stalled),
      lengthBytes: lengthBytes === undefined ? undefined : this.#start + lengthBytes - offset,
      // What is sent again says where it belongs, so that it cannot come twice.
      start: isPlaced || this.#isRepeated ? offset : undefined,
      isRepeated: this.#isRepeated,
      // Of an origin that keeps nothing of what was broken off no slow client would ever come to an end.
      mayGiveWay: this.#breaks === 0,
    };
    try {
      return await send(part, signal);
    } finally {
      ended.abort(); // a try that has failed must not wait for the client beside the next one
    }
  }

  async #resume(error: unknown): Promise<void> {
    const { pusher, body } = this.#options;
    if (body.failure) throw body.failure;
    pusher.signal.throwIfAborted();
    if (!(error instanceof RetryLater)) throw error;
    this.#breaks += 1;
    const waitMs = Math.max(100 * 2 ** this.#breaks, error.afterMs);
    if (this.#breaks > MAX_BREAKS || waitMs > PATIENCE_MS) throw new OriginDown(error.cause);
    await delay(waitMs, undefined, { signal: pusher.signal });
    if (error instanceof GaveWay) await body.gathered();
    const { location, offset } = await this.#status(error);
    const isKept = offset !== undefined && offset <= body.position && body.canRepeat(offset);
    if (!isKept) throw new OriginDown(error.cause);
    if (offset > this.#progress.offset) this.#breaks = 0;
    this.#progress = { location, offset };
    this.#isRepeated = true;
  }

  /** An origin that has no such question has not refused the upload. One that does not know it (any more) has. */
  async #status(broken: RetryLater): Promise<OriginUpload> {
    const { client, pusher, body } = this.#options;
    try {
      return await client.status(this.#progress.location, body.position, pusher);
    } catch (error) {
      if (error instanceof OriginRefused && error.status !== 404) throw new OriginDown(broken.cause);
      throw error;
    }
  }
}

/** An origin that takes no bytes holds its client, and a connection: not for ever. */
async function* watched(
  pieces: AsyncIterable<Uint8Array>,
  stallMs: number,
  stalled: () => void,
): AsyncGenerator<Uint8Array, void, void> {
  for await (const piece of pieces) {
    const timer = setTimeout(stalled, stallMs);
    try {
      yield piece;
    } finally {
      clearTimeout(timer);
    }
  }
}
