import type { Chunk } from '../../content/chunk.ts';
import type { Ingest } from '../../content/store.ts';

const BATCH_BYTES = 256 * 1024;
/** A slow flow is not held back longer than this for the sake of a larger batch. */
const BATCH_MS = 5;

/**
 * Writes pieces that arrive in order: one batch is collected while the disk writes the one before. A write for each
 * small piece would cost more than the bytes (a hop to another thread, a message to the hasher, a wake-up of the
 * readers); the very first piece is written at once, because somebody waits for it.
 */
export class BatchWriter {
  readonly #ingest: Ingest;
  #position: number;
  #batch: Chunk[] = [];
  #batchBytes = 0;
  #isFirst = true;
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  /** @param position where the first piece belongs */
  constructor(ingest: Ingest, position: number) {
    this.#ingest = ingest;
    this.#position = position;
  }

  /** Takes a piece over; waits while the disk is behind. @throws what an earlier write threw */
  async add(piece: Chunk): Promise<void> {
    this.#batch.push(piece);
    this.#batchBytes += piece.bytes.length;
    if (this.#batchBytes >= BATCH_BYTES || this.#isFirst) await this.#flush();
    else this.#timer ??= setTimeout(() => void this.#flush().catch(() => undefined), BATCH_MS); // thrown by the next call
  }

  /** Writes what is left; all pieces have been released then. @throws what a write threw */
  async end(): Promise<void> {
    await this.#flush();
    await this.#writing;
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isFirst = false;
    const before = this.#writing;
    const pieces = this.#batch;
    if (pieces.length > 0) {
      const position = this.#position;
      this.#position += this.#batchBytes;
      this.#batch = [];
      this.#batchBytes = 0;
      this.#writing = this.#write(before, position, pieces);
      this.#writing.catch(() => undefined); // thrown to who awaits it
    }
    await before;
  }

  async #write(before: Promise<void>, position: number, pieces: Chunk[]): Promise<void> {
    try {
      await before;
      await this.#ingest.write(
        position,
        pieces.map(({ bytes }) => bytes),
      );
    } finally {
      for (const { release } of pieces) release();
    }
  }
}
