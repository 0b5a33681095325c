import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { z } from 'zod';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { SharedFlight } from '../shared-flight.ts';
import type { Bucket } from './bucket.ts';
import { keys } from './keys.ts';

const entrySchema = z.object({
  sizeBytes: z.number(),
  /** Registries all of whose bytes circ itself has hashed. */
  has: z.array(z.string()),
  /** `registry/repository` → media type there. */
  holds: z.record(z.string(), z.string()),
  /** When the content was deleted, in ms since 1970: it counts as absent, and its bytes go a while later. */
  deletedAtMs: z.number().optional(),
});
/** What the bucket says of one content. */
export type Entry = Readonly<z.infer<typeof entrySchema>>;

/** What an entry becomes; undefined: it stays as it is. */
export type Change = (entry: Entry | undefined) => Entry | undefined;

interface Seen {
  /** Undefined for a record that is not ours. */
  readonly entry: Entry | undefined;
  readonly etag: string;
  readonly readAtMs: number;
}

/** So long what was read is believed. What the collector removes must have been deleted for longer. */
export const ENTRY_LIFE_MS = 60_000;
/** Somebody waits for the answer, and has 20 s for all that has to be asked. */
const ANSWER_MS = 3_000;
/** A bucket that gave none is not waited for again by each who asks for something. */
const SILENT_MS = 5_000;
/** A timer may go off so much too soon by the clock that measures how long it took. */
const EARLY_MS = 5;
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_UNSAVED = 10_000;
/** Replicas that change the same entry at the same moment take turns. */
const TRIES = 8;
const RETRY_MS = 5;

/**
 * What is in the bucket, one record per content. It is the record that makes content be there: written after the bytes,
 * and marked as deleted before they go. Changes are made on what was read, so that replicas do not undo each other's.
 */
export class Catalog {
  readonly #bucket: Bucket;
  readonly #failed: (error: OciError) => void;
  readonly #answerMs: number;
  #silentUntilMs = 0;
  #failedAtMs = -Infinity;
  readonly #seen = new LRUCache<Digest, Seen>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ entry }) => 500 + 200 * Object.keys(entry?.holds ?? {}).length,
  });
  /** What the bucket did not take, and is known here only. */
  readonly #unsaved = new LRUCache<Digest, Entry>(atMost(MAX_UNSAVED));
  readonly #reads = new SharedFlight<Entry | undefined>();
  readonly #changes = new Map<Digest, Promise<void>>();

  /** @param failed a record could not be kept; it is right in this process only */
  constructor(bucket: Bucket, failed: (error: OciError) => void, { answerMs = ANSWER_MS } = {}) {
    this.#bucket = bucket;
    this.#failed = failed;
    this.#answerMs = answerMs;
  }

  /**
   * The entry of content that is there. A short while old if `isEnough` says that it will do; what is not known is always
   * asked for. When the bucket cannot be asked, what was known last.
   *
   * @throws OciError UNAVAILABLE when that is nothing
   */
  async read(digest: Digest, isEnough: (entry: Entry) => boolean = () => true): Promise<Entry | undefined> {
    const unsaved = this.#unsaved.get(digest);
    if (unsaved) return unsaved;
    const seen = this.#seen.get(digest);
    const known = alive(seen?.entry);
    if (seen && known && Date.now() - seen.readAtMs < ENTRY_LIFE_MS && isEnough(known)) return known;
    try {
      return await this.#reads.run(digest, async () => alive((await this.#readSoon(digest))?.entry));
    } catch (error) {
      if (!known) throw error;
      this.#failed(OciError.from(error));
      return known;
    }
  }

  /** Could the bucket not be asked, a moment ago? */
  get isAway(): boolean {
    return performance.now() - this.#failedAtMs < SILENT_MS;
  }

  /**
   * Changes an entry, the latest one there is. When the bucket does not take it, or does not answer now, it is changed in
   * this process only.
   */
  async change(digest: Digest, change: Change): Promise<void> {
    const before = this.#changes.get(digest);
    const changing = (async () => {
      await before;
      try {
        const unsaved = this.#unsaved.get(digest);
        if (unsaved) this.keep(digest, change(unsaved));
        else await this.#changeNow(digest, change, () => this.#readSoon(digest));
      } catch (error) {
        this.#failed(OciError.from(error));
        this.keep(digest, change(this.#seen.get(digest)?.entry));
      }
    })();
    this.#changes.set(digest, changing);
    await changing.finally(() => {
      if (this.#changes.get(digest) === changing) this.#changes.delete(digest);
    });
  }

  /** Marks content as deleted, for all replicas. False when it is not there. @throws OciError UNAVAILABLE */
  async delete(digest: Digest): Promise<boolean> {
    this.#unsaved.delete(digest);
    return await this.#changeNow(digest, (entry) => {
      const known = alive(entry);
      return known && { sizeBytes: known.sizeBytes, has: [], holds: {}, deletedAtMs: Date.now() };
    });
  }

  /** Keeps an entry in this process only. */
  keep(digest: Digest, entry: Entry | undefined): void {
    if (entry && alive(entry)) this.#unsaved.set(digest, entry);
  }

  /** Is it known in this process only? */
  isUnsaved(digest: Digest): boolean {
    return this.#unsaved.has(digest);
  }

  /** What is known in this process only. */
  unsaved(): Digest[] {
    return [...this.#unsaved.keys()];
  }

  /** Writes down what was known in this process only. @throws OciError UNAVAILABLE */
  async save(digest: Digest): Promise<void> {
    const ours = this.#unsaved.get(digest);
    if (!ours) return;
    await this.#changeNow(digest, (entry) => {
      const known = alive(entry);
      if (!known) return ours;
      return { ...ours, has: [...new Set([...known.has, ...ours.has])], holds: { ...known.holds, ...ours.holds } };
    });
    if (this.#unsaved.get(digest) === ours) this.#unsaved.delete(digest);
  }

  /** What is known in this process only is not true any more. */
  drop(digest: Digest): void {
    this.#unsaved.delete(digest);
  }

  /** Removes the record of content that is gone. @throws OciError UNAVAILABLE */
  async purge(digest: Digest): Promise<void> {
    this.#seen.delete(digest);
    await this.#bucket.delete(keys.record(digest));
  }

  /** The entry as it is now, deleted or not. @throws OciError UNAVAILABLE */
  async latest(digest: Digest): Promise<Entry | undefined> {
    return (await this.#readNow(digest))?.entry;
  }

  /** Waits for the changes under way. */
  async settled(): Promise<void> {
    await Promise.all(this.#changes.values());
  }

  /** False when there was nothing to change. */
  async #changeNow(digest: Digest, change: Change, read = () => this.#readNow(digest)): Promise<boolean> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      // What was seen is as good as what is there: if it is not that any more, the write fails, and it is read.
      const seen = (tries === 0 ? this.#seen.get(digest) : undefined) ?? (await read());
      const entry = change(seen?.entry);
      if (!entry) return false;
      const etag = await this.#bucket.write(keys.record(digest), JSON.stringify(entry), seen?.etag);
      if (etag !== undefined) {
        this.#seen.set(digest, { entry, etag, readAtMs: Date.now() });
        return true;
      }
      this.#seen.delete(digest);
      await delay(Math.random() * RETRY_MS * 2 ** tries);
    }
    throw new OciError('UNAVAILABLE', 'the record is changed by others all the time');
  }

  /** For who cannot wait for long. */
  async #readSoon(digest: Digest): Promise<Seen | undefined> {
    const askedAtMs = performance.now();
    if (askedAtMs < this.#silentUntilMs) throw new OciError('UNAVAILABLE', 'the bucket does not answer now');
    try {
      return await this.#readNow(digest, this.#answerMs);
    } catch (error) {
      const now = performance.now();
      this.#failedAtMs = now;
      if (now - askedAtMs >= this.#answerMs - EARLY_MS) this.#silentUntilMs = now + SILENT_MS;
      throw error;
    }
  }

  async #readNow(digest: Digest, withinMs?: number): Promise<Seen | undefined> {
    const document = await this.#bucket.read(keys.record(digest), withinMs);
    const seen = document && { entry: parse(document.text), etag: document.etag, readAtMs: Date.now() };
    this.#seen.set(digest, seen); // undefined deletes
    return seen;
  }
}

/** Undefined for what is deleted. */
export function alive(entry: Entry | undefined): Entry | undefined {
  return entry?.deletedAtMs === undefined ? entry : undefined;
}

function parse(text: string): Entry | undefined {
  try {
    return entrySchema.parse(JSON.parse(text));
  } catch {
    return undefined; // not ours
  }
}
