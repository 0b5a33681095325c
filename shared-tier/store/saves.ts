import type { Chunks } from '../../content/chunk.ts';
import type { DiskStore } from '../../content/disk-store.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ByteRange } from '../../oci/range.ts';
import { SharedFlight } from '../shared-flight.ts';
import type { Slots } from '../slots.ts';
import type { Bucket } from './bucket.ts';
import type { Catalog } from './catalog.ts';
import { keys } from './keys.ts';
import { Upload } from './upload.ts';

export interface SavesOptions {
  readonly bucket: Bucket;
  readonly catalog: Catalog;
  readonly spool: DiskStore;
  readonly slots: Slots;
  readonly partBytes?: number;
}

/** Brings content into the bucket that is in the spool, and that the catalog knows in this process only. */
export class Saves implements AsyncDisposable {
  readonly #options: SavesOptions;
  readonly #running = new SharedFlight<void>();
  readonly #uploads = new Set<Upload>();

  constructor(options: SavesOptions) {
    this.#options = options;
  }

  /** @throws OciError UNAVAILABLE: then it is still known in this process only */
  async save(digest: Digest): Promise<void> {
    await this.#running.run(digest, () => this.#save(digest));
  }

  /** Gives up what is on its way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#uploads].map((upload) => upload.abort()));
  }

  async #save(digest: Digest): Promise<void> {
    const { bucket, catalog, spool, slots, partBytes } = this.#options;
    const key = keys.blob(digest);
    if (!(await bucket.stat(key))) {
      await using content = await spool.open(digest);
      if (!content) {
        catalog.drop(digest);
        return;
      }
      const { sizeBytes } = content;
      const read = (range: ByteRange, options: { signal: AbortSignal }): Chunks => content.chunks(range, options);
      const upload = new Upload({ bucket, key, sizeBytes, read, slots, ...(partBytes !== undefined && { partBytes }) });
      this.#uploads.add(upload);
      try {
        await upload.finish();
      } finally {
        this.#uploads.delete(upload);
      }
    }
    await catalog.save(digest);
  }
}
