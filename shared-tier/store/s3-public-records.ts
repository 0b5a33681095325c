import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { OciError } from '../../oci/error.ts';
import type { PublicRecords } from '../access/public-places.ts';
import { type PublicRecord, formatRecord, isRecent, merged, parseRecord } from '../access/public-record.ts';
import type { Bucket } from './bucket.ts';
import { keys } from './keys.ts';

/** Replicas that change the same record at the same moment take turns. */
const TRIES = 4;
const RETRY_MS = 20;
/** Writes that wait, or are under way; of more than that the latest are not written down. */
const MAX_WRITING = 1_000;

/** Records of public repositories in the bucket: what one replica has learnt all may serve. */
export class S3PublicRecords implements PublicRecords {
  readonly known: readonly PublicRecord[] = [];
  readonly #bucket: Bucket;
  readonly #failed: (error: OciError) => void;
  readonly #writing = new Map<string, Promise<void>>();
  /** The versions that were read, so that what is written soon after need not be read again. */
  readonly #seen = new LRUCache<string, { readonly record: PublicRecord | undefined; readonly etag: string }>({
    max: 1_000,
  });

  /** @param failed a record could not be read or written: the repository may have to be proved again */
  constructor(bucket: Bucket, failed: (error: OciError) => void) {
    this.#bucket = bucket;
    this.#failed = failed;
  }

  async read(place: string): Promise<PublicRecord | undefined | 'unknown'> {
    try {
      await this.#writing.get(place); // what this replica has learnt is to be in it
      const record = (await this.#readNow(place))?.record;
      return record && isRecent(record) ? record : undefined;
    } catch (error) {
      this.#failed(OciError.from(error));
      return 'unknown';
    }
  }

  write(place: string, record: () => PublicRecord | undefined): void {
    const before = this.#writing.get(place);
    if (!before && this.#writing.size >= MAX_WRITING) return;
    const writing = (before ?? Promise.resolve())
      .then(() => this.#writeNow(place, record()))
      .catch((error: unknown) => this.#failed(OciError.from(error)))
      .finally(() => {
        if (this.#writing.get(place) === writing) this.#writing.delete(place);
      });
    this.#writing.set(place, writing);
  }

  /** Others may need it; the collector removes what is over. */
  evicted(): void {
    // nothing to do
  }

  async settled(): Promise<void> {
    await Promise.all(this.#writing.values());
  }

  async #writeNow(place: string, ours: PublicRecord | undefined): Promise<void> {
    const key = keys.publicPlace(place);
    if (!ours) {
      this.#seen.delete(place);
      await this.#bucket.delete(key);
      return;
    }
    for (let tries = 0; tries < TRIES; tries += 1) {
      const seen = (tries === 0 ? this.#seen.get(place) : undefined) ?? (await this.#readNow(place));
      const record = seen?.record ? merged(seen.record, ours) : ours;
      const etag = await this.#bucket.write(key, JSON.stringify(formatRecord(record)), seen?.etag);
      this.#seen.set(place, etag === undefined ? undefined : { record, etag });
      if (etag !== undefined) return;
      await delay(Math.random() * RETRY_MS * 2 ** tries);
    }
    throw new OciError('UNAVAILABLE', 'the record is changed by others all the time');
  }

  async #readNow(place: string): Promise<{ record: PublicRecord | undefined; etag: string } | undefined> {
    const document = await this.#bucket.read(keys.publicPlace(place));
    const parsed = document && parseRecord(document.text);
    const seen = document && { record: parsed?.place === place ? parsed : undefined, etag: document.etag };
    this.#seen.set(place, seen); // undefined deletes
    return seen;
  }
}
