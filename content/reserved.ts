/** Room of a store that is taken by content on its way in. */
export class Reserved {
  #bytes = 0;
  #unwrittenBytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** The part of it that the file system does not know of yet. */
  get unwrittenBytes(): number {
    return this.#unwrittenBytes;
  }

  take(bytes: number): void {
    this.#bytes += bytes;
    this.#unwrittenBytes += bytes;
  }

  /** @param unwrittenBytes the part of it that was never written */
  giveBack(bytes: number, unwrittenBytes: number): void {
    this.#bytes -= bytes;
    this.#unwrittenBytes -= unwrittenBytes;
  }

  /** The file system knows of these now. */
  written(bytes: number): void {
    this.#unwrittenBytes -= bytes;
  }
}
