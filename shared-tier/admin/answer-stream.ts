import { once } from 'node:events';
import type { ServerWritableStream } from '@grpc/grpc-js';
import { OciError } from '../../oci/error.ts';

/** The answers to one call, as fast as its caller takes them. */
export class AnswerStream<Answer> {
  readonly #call: ServerWritableStream<unknown, Answer>;
  readonly #gone = new AbortController();

  constructor(call: ServerWritableStream<unknown, Answer>) {
    this.#call = call;
    const gone = (): void => this.#gone.abort(new OciError('UNAVAILABLE', 'the caller hung up'));
    call.on('cancelled', gone);
    if (call.cancelled) gone();
  }

  /** Aborted when the caller hangs up. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Settles when there is room for the next one. @throws the signal's reason */
  async send(answer: Answer): Promise<void> {
    const { signal } = this;
    signal.throwIfAborted();
    if (!this.#call.write(answer)) await once(this.#call, 'drain', { signal });
  }
}
