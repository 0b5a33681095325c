/** Equal questions at once become one: who asks while it is under way gets the same answer. */
export class SharedFlight<T> {
  readonly #flights = new Map<string, Promise<T>>();

  /**
   * @param key what makes two questions equal
   * @param isPersonal which failures concern only who asked first: the others then ask for themselves. None when the
   *   asker's rights are part of the key
   */
  async run(key: string, ask: () => Promise<T>, isPersonal: (error: unknown) => boolean = () => false): Promise<T> {
    for (let running = this.#flights.get(key); running; running = this.#flights.get(key)) {
      try {
        return await running;
      } catch (error) {
        if (!isPersonal(error)) throw error;
      }
    }
    const flight = ask().finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return await flight;
  }
}
