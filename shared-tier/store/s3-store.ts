import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import type { BufferPool } from '../../content/buffer-pool.ts';
import type { Chunks } from '../../content/chunk.ts';
import type { DiskStore } from '../../content/disk-store.ts';
import type { Spool, Spools } from '../../content/spool.ts';
import type { Content, ContentStore, Ingest } from '../../content/store.ts';
import { type Digest, algorithmOf, digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import { every } from '../../service/every.ts';
import { Slots } from '../slots.ts';
import type { Bucket } from './bucket.ts';
import { type Catalog, type Entry, alive } from './catalog.ts';
import { SpoolFills } from './spool-fills.ts';
import { digestIn, keys } from './keys.ts';
import { readObject } from './read-object.ts';
import { S3Ingest, failureOf } from './s3-ingest.ts';
import { S3Spool } from './s3-spool.ts';
import { Saves } from './saves.ts';
import { Upload } from './upload.ts';

export interface S3StoreOptions {
  readonly bucket: Bucket;
  readonly catalog: Catalog;
  readonly pool: BufferPool;
  /** What is on its way in, and copies of what is read often. */
  readonly spool: DiskStore;
  /** Bound of what the bucket keeps; the collector holds it. Here it only refuses what can never fit. */
  readonly capacityBytes: number;
  /** Somebody reads this content. */
  readonly used: (digest: Digest) => void;
  /** The bucket, or the spool, did not do something; it was served all the same if that was possible. */
  readonly failed: (error: OciError) => void;
  /** May the bucket's own URLs be given away? */
  readonly isPresigned?: boolean;
  /** Smallest part of an upload, see `Upload`. */
  readonly partBytes?: number;
  /** How often it is tried to save what the bucket did not take. */
  readonly saveEveryMs?: number;
  /** How long who commits a spool waits for the bucket to have it; 30 s unless given. */
  readonly spoolPatienceMs?: number;
}

/** Requests that send bytes, of all uploads together. */
const UPLOADS_AT_ONCE = 16;
const SAVE_EVERY_MS = 60_000;
/** Somebody waits for the manifest that is put; what is not there by then is saved later. */
const PUT_MS = 5_000;
/** What the bucket has not taken by then it gets in the background. */
const SPOOL_PATIENCE_MS = 30_000;
/** After a read that failed the bucket is asked first whether it gives anything at all. */
const DOUBT_MS = 10_000;
/** Content asked for again within this time is hot. */
const HOT_MS = 10 * 60_000;
const MAX_ASKED = 10_000;

/**
 * A content store in a bucket, shared by all replicas that use it. What comes in goes through the spool, a directory of
 * this replica's own, which is also its cache; what is there or not the catalog says.
 */
export class S3Store implements ContentStore, Spools, AsyncDisposable {
  readonly #options: S3StoreOptions;
  readonly #slots = new Slots({ slots: UPLOADS_AT_ONCE });
  readonly #asked = new LRUCache<Digest, true>({ ...atMost(MAX_ASKED), ttl: HOT_MS });
  readonly #fills: SpoolFills;
  readonly #saving: Disposable;
  readonly #saves: Saves;
  #doubtedUntilMs = 0;

  constructor(options: S3StoreOptions) {
    this.#options = options;
    const { spool, failed } = options;
    this.#fills = new SpoolFills({
      spool,
      read: (digest, sizeBytes, range, signal) => this.#remote(digest, sizeBytes, range, signal),
      corrupt: async (digest) => await this.delete(digest),
      failed,
    });
    this.#saves = new Saves({ ...options, slots: this.#slots });
    this.#saving = every(options.saveEveryMs ?? SAVE_EVERY_MS, () => this.saveUnsaved(), this.#report);
  }

  async stat(digest: Digest): Promise<{ sizeBytes: number } | undefined> {
    const entry = await this.#entry(digest);
    return entry && { sizeBytes: entry.sizeBytes };
  }

  async open(digest: Digest): Promise<Content | undefined> {
    const entry = await this.#entry(digest);
    if (!entry) return undefined;
    const { sizeBytes } = entry;
    this.#options.used(digest);
    const local = (await this.#spooled(digest)) ?? this.#fills.follow(digest);
    if (local) return local;
    if (performance.now() < this.#doubtedUntilMs && !(await this.#options.bucket.stat(keys.blob(digest)))) {
      await this.#gone(digest);
      return undefined;
    }
    return {
      digest,
      sizeBytes,
      chunks: (range, { signal }) => this.#chunks(digest, sizeBytes, range, signal),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  async ingest(digest: Digest, sizeBytes: number, options: { readonly isCopy?: boolean } = {}): Promise<Ingest> {
    const { bucket, catalog, spool, capacityBytes, partBytes } = this.#options;
    if (sizeBytes > capacityBytes) throw new OciError('UNAVAILABLE', 'there is no room to store content of this size');
    const spooled = await spool.ingest(digest, sizeBytes);
    const entry = await catalog.read(digest).catch(() => undefined);
    const upload = (source: Content): Upload =>
      new Upload({
        bucket,
        key: keys.blob(digest),
        sizeBytes,
        read: (range, signal) => source.chunks(range, signal),
        slots: this.#slots,
        ...(partBytes !== undefined && { partBytes }),
      });
    const isUploaded = options.isCopy !== true && (!entry || catalog.isUnsaved(digest));
    return new S3Ingest({
      spooled,
      upload: isUploaded ? upload : undefined,
      verified: (failure) =>
        options.isCopy === true ? this.#copied(digest, sizeBytes) : this.#added(digest, sizeBytes, failure),
    });
  }

  async spool(): Promise<Spool> {
    return new S3Spool(await this.#options.spool.spool(), (digest, sizeBytes) => this.#spoolIn(digest, sizeBytes));
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    if (digestOf(bytes, algorithmOf(digest)) !== digest) {
      throw new OciError('CORRUPT', 'the bytes do not have this digest');
    }
    const { bucket, catalog, spool } = this.#options;
    if (await catalog.read(digest).catch(() => undefined)) return;
    const isSpooled = await spool.put(digest, bytes).then(() => true, this.#report);
    const failure = await failureOf(bucket.put(keys.blob(digest), bytes, PUT_MS));
    if (failure && isSpooled !== true) throw failure;
    await this.#added(digest, bytes.length, failure);
  }

  async delete(digest: Digest): Promise<void> {
    const { bucket, catalog, spool } = this.#options;
    if (await catalog.delete(digest)) await bucket.put(keys.deletion(digest), new Uint8Array());
    await spool.delete(digest);
  }

  async *list(): AsyncGenerator<{ digest: Digest; sizeBytes: number }> {
    const { bucket, catalog, spool } = this.#options;
    const deleted = new Set<Digest>();
    for await (const { key } of bucket.list(keys.deletions)) {
      const digest = digestIn(key, keys.deletions);
      if (digest) deleted.add(digest);
    }
    for await (const { key, sizeBytes } of bucket.list(keys.blobs)) {
      const digest = digestIn(key, keys.blobs);
      // What was deleted may have come again.
      const isDeleted = digest && deleted.has(digest) && !alive(await catalog.latest(digest));
      if (digest && !isDeleted && !catalog.isUnsaved(digest)) yield { digest, sizeBytes };
    }
    for (const digest of catalog.unsaved()) {
      const stored = await spool.stat(digest);
      if (stored) yield { digest, ...stored };
    }
  }

  async presign(digest: Digest, validForMs: number): Promise<string | undefined> {
    const { bucket, catalog, used, isPresigned = false } = this.#options;
    if (!isPresigned || !(await this.#entry(digest)) || catalog.isUnsaved(digest)) return undefined;
    used(digest);
    return await bucket.presign(keys.blob(digest), validForMs);
  }

  /** Tries to bring into the bucket what it did not take. Ends at the first that fails. @throws OciError UNAVAILABLE */
  async saveUnsaved(): Promise<void> {
    for (const digest of this.#options.catalog.unsaved()) await this.#saves.save(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#saving[Symbol.dispose]();
    await this.#saves[Symbol.asyncDispose]();
    await this.#fills[Symbol.asyncDispose]();
    await this.#options.catalog.settled();
  }

  readonly #report = (error: unknown): void => this.#options.failed(OciError.from(error));

  /** What is there: in the bucket, or, when it did not take it, in the spool. */
  async #entry(digest: Digest): Promise<Entry | undefined> {
    const { catalog, spool } = this.#options;
    const entry = await catalog.read(digest);
    if (!entry || !catalog.isUnsaved(digest) || (await spool.stat(digest))) return entry;
    catalog.drop(digest);
    return await catalog.read(digest);
  }

  async #spooled(digest: Digest): Promise<Content | undefined> {
    try {
      return await this.#options.spool.open(digest);
    } catch (error) {
      this.#report(error);
      return undefined;
    }
  }

  /** Each read from the first byte on is a request for the content; the second one within a while makes it hot. */
  async *#chunks(digest: Digest, sizeBytes: number, range: ByteRange, signal: AbortSignal): Chunks {
    const isHot = range.start === 0 && this.#asked.has(digest);
    if (range.start === 0) this.#asked.set(digest, true);
    await using filling = isHot ? await this.#fills.start(digest, sizeBytes) : undefined;
    yield* filling?.chunks(range, { signal }) ?? this.#remote(digest, sizeBytes, range, signal);
  }

  #remote(digest: Digest, sizeBytes: number, range: ByteRange, signal: AbortSignal): Chunks {
    return readObject(range, {
      bucket: this.#options.bucket,
      key: keys.blob(digest),
      sizeBytes,
      pool: this.#options.pool,
      signal,
      gone: () => this.#gone(digest),
      failed: (error) => {
        this.#doubtedUntilMs = performance.now() + DOUBT_MS;
        this.#options.failed(error);
      },
    });
  }

  /** The bytes are not in the bucket, whatever the catalog says: who asks again gets them anew. */
  async #gone(digest: Digest): Promise<OciError> {
    await this.delete(digest).catch(this.#report);
    return new OciError('UNAVAILABLE', 'the content has gone; ask again');
  }

  /** Ends when the bucket has what is in the spool now, or after a while: then it is there here first. */
  async #spoolIn(digest: Digest, sizeBytes: number): Promise<void> {
    const { catalog, spoolPatienceMs = SPOOL_PATIENCE_MS } = this.#options;
    if (!(await catalog.read(digest).catch(this.#report))) catalog.keep(digest, { sizeBytes, has: [], holds: {} });
    if (!catalog.isUnsaved(digest)) return;
    const saving = this.#saves.save(digest).catch(this.#report);
    await Promise.race([saving, delay(spoolPatienceMs, undefined, { ref: false })]);
  }

  /** The bucket gets the bytes from another replica, soon; if not, they are saved from here later. */
  async #copied(digest: Digest, sizeBytes: number): Promise<void> {
    const { catalog } = this.#options;
    const entry = await catalog.read(digest).catch(() => undefined);
    if (!entry) catalog.keep(digest, { sizeBytes, has: [], holds: {} });
  }

  async #added(digest: Digest, sizeBytes: number, failure: OciError | undefined): Promise<void> {
    const { catalog, failed } = this.#options;
    const added = { sizeBytes, has: [], holds: {} };
    if (failure) {
      failed(failure);
      catalog.keep(digest, added);
    } else {
      await catalog.change(digest, (entry) => (alive(entry) ? undefined : added));
    }
  }
}
