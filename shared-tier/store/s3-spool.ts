import type { Chunks } from '../../content/chunk.ts';
import type { Spool } from '../../content/spool.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ByteRange } from '../../oci/range.ts';

/**
 * A spool whose content goes into the bucket as well, when it is committed and not before: only then its key is known,
 * which is its digest.
 */
export class S3Spool implements Spool {
  readonly #spooled: Spool;
  readonly #committed: (digest: Digest, sizeBytes: number) => Promise<void>;

  /**
   * @param spooled where the bytes go, and are verified
   * @param committed brings what is committed there into the bucket; that it cannot harms nobody
   */
  constructor(spooled: Spool, committed: (digest: Digest, sizeBytes: number) => Promise<void>) {
    this.#spooled = spooled;
    this.#committed = committed;
  }

  get sizeBytes(): number {
    return this.#spooled.sizeBytes;
  }

  async append(pieces: readonly Uint8Array[]): Promise<void> {
    await this.#spooled.append(pieces);
  }

  settle(): void {
    this.#spooled.settle();
  }

  truncate(sizeBytes: number): void {
    this.#spooled.truncate(sizeBytes);
  }

  chunks(range: ByteRange, options: { signal: AbortSignal }): Chunks {
    return this.#spooled.chunks(range, options);
  }

  async commit(digest: Digest): Promise<void> {
    await this.#spooled.commit(digest);
    await this.#committed(digest, this.sizeBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#spooled[Symbol.asyncDispose]();
  }
}
