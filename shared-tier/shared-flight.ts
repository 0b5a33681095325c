/** Equal questions at once become one: who asks while it is under way gets the same answer. */
export class SharedFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /** @param key what makes two questions equal, the asker's rights included */
  async run(key: string, ask: () => Promise<T>): Promise<T> {
    const running = this.#flights.get(key);
    if (running) return await running;
    const flight = ask().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return await flight;
  }
}
