/** Work that must not overlap with other work under the same name; under other names it may. */
export class OneByOne {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Begins when all that was asked for before under this name has ended, however it went. */
  async run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name) ?? Promise.resolve();
    const result = before.then(work);
    const ended = result.catch(() => undefined);
    this.#last.set(name, ended);
    try {
      return await result;
    } finally {
      if (this.#last.get(name) === ended) this.#last.delete(name);
    }
  }
}
