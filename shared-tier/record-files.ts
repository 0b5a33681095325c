import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Small JSON files that are written again whenever what they say changes. */
export class RecordFiles {
  readonly #temporary: () => string;
  readonly #failed: (error: unknown) => void;
  readonly #waiting = new Map<string, () => object | undefined>();
  readonly #writing = new Map<string, Promise<void>>();

  /**
   * @param temporary a path in the same file system, a new one each time
   * @param failed a file could not be written: it says what was true before, or nothing
   */
  constructor(temporary: () => string, failed: (error: unknown) => void) {
    this.#temporary = temporary;
    this.#failed = failed;
  }

  /**
   * Writes of one file follow each other; each writes what is true when its turn comes, so at most one waits for it.
   *
   * @param record undefined: no such file
   */
  write(path: string, record: () => object | undefined): void {
    this.#waiting.set(path, record);
    if (!this.#writing.has(path)) this.#writing.set(path, this.#writeWaiting(path));
  }

  /** Waits for what is being written. */
  async settled(): Promise<void> {
    await Promise.all(this.#writing.values());
  }

  async #writeWaiting(path: string): Promise<void> {
    await Promise.resolve(); // who changes a record has not always done all of it yet
    for (let record = this.#waiting.get(path); record; record = this.#waiting.get(path)) {
      this.#waiting.delete(path);
      try {
        await this.#writeNow(path, record());
      } catch (error) {
        // In memory it is right; after a restart it has to be learnt again. That is worth a line, not an outage.
        this.#failed(error);
      }
    }
    this.#writing.delete(path);
  }

  async #writeNow(path: string, record: object | undefined): Promise<void> {
    if (!record) {
      await rm(path, { force: true });
      return;
    }
    const temporary = this.#temporary();
    await mkdir(dirname(path), { recursive: true });
    await writeFile(temporary, JSON.stringify(record));
    await rename(temporary, path);
  }
}
