import { once } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { hungUp } from './hung-up.ts';

/** The answers to one call, as fast as its caller takes them. */
export class AnswerStream<Answer> {
  readonly #call: ServerWritableStream<unknown, Answer>;
  /** Aborted when the caller hangs up. */
  readonly signal: AbortSignal;

  constructor(call: ServerWritableStream<unknown, Answer>) {
    this.#call = call;
    this.signal = hungUp(call);
  }

  /** Settles when there is room for the next one. @throws the signal's reason */
  async send(answer: Answer): Promise<void> {
    const { signal } = this;
    signal.throwIfAborted();
    if (!this.#call.write(answer)) await once(this.#call, 'drain', { signal });
  }
}
