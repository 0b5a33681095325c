import type { FileHandle } from 'node:fs/promises';

/**
 * Makes files durable while they grow, so that their end has little to wait for. One at a time: each takes a thread of the
 * four that all reads and writes of the process share, for as long as the disk is slow.
 */
export class Settler {
  #isBusy = false;

  /** @returns when it is over, however it went; undefined when it is another file's turn, and this one may ask again */
  begin(file: Pick<FileHandle, 'datasync'>): Promise<void> | undefined {
    if (this.#isBusy) return undefined;
    this.#isBusy = true;
    const over = (): void => void (this.#isBusy = false);
    return file.datasync().then(over, over); // a failure is said by who waits for the end
  }
}
