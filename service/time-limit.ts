/**
 * A signal that ends after a time, as `AbortSignal.timeout`. But the timer ends with what it limits: that of the platform
 * goes on until somebody collects the signal, and of many short requests with long limits there were many.
 */
export class TimeLimit implements Disposable {
  readonly #over = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number) {
    const abort = (): void => this.#over.abort(new DOMException('the time is over', 'TimeoutError'));
    this.#timer = setTimeout(abort, ms).unref();
  }

  /** Aborted with a `TimeoutError`. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
