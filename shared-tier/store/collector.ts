import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { EvictionReason } from '../../content/disk-store.ts';
import type { Digest } from '../../oci/digest.ts';
import { every } from '../../service/every.ts';
import type { Bucket, ListedObject } from './bucket.ts';
import { type Catalog, ENTRY_LIFE_MS, alive } from './catalog.ts';
import { digestIn, keys } from './keys.ts';
import { LastUses } from './last-uses.ts';
import { abortUpload, openUploads } from './multipart.ts';
import { PUBLIC_MS } from '../access/public-record.ts';

/** The right to collect, of one replica at a time: a lease. */
export interface CollectorTurn extends AsyncDisposable {
  /** Aborted when another replica has taken over. */
  readonly lost: AbortSignal;
}

/** Undefined when it is another replica's turn, or nobody can say. */
export type TakeTurn = () => Promise<CollectorTurn | undefined>;

export interface CollectorOptions {
  readonly bucket: Bucket;
  readonly catalog: Catalog;
  readonly takeTurn: TakeTurn;
  /** Bound of all content in the bucket. */
  readonly capacityBytes: number;
  /** How long a URL is the right to read what may be deleted meanwhile. */
  readonly urlLifeMs: number;
  readonly evicted: (digest: Digest, reason: EvictionReason) => void;
  readonly failed: (error: unknown) => void;
  /** From one round to the next; 5 minutes unless given. */
  readonly everyMs?: number;
  /** How long readers of what was deleted may take, beyond what they may still believe; 10 minutes unless given. */
  readonly graceMs?: number;
  /** From which age on an upload counts as abandoned; a day unless given. */
  readonly abandonedMs?: number;
}

const usageSchema = z.object({ blobs: z.number(), bytes: z.number() });
/** What is in the bucket, by the last round of whichever replica collects. */
export type BucketUsage = Readonly<z.infer<typeof usageSchema>>;

interface Stored {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly usedAtMs: number;
}

const EVERY_MS = 5 * 60_000;
/** What another replica has found is looked up at most this often, and waited for so long. */
const LEARN_EVERY_MS = 10_000;
const LEARN_MS = 1_000;
const GRACE_MS = 10 * 60_000;
const ABANDONED_MS = 24 * 3_600_000;
/** Public repositories that are remembered. */
const MAX_PLACES = 100_000;
/** Once there is too much, a little more goes, so that there is room until the next round. */
const TARGET = 0.95;

/**
 * Keeps the bucket within its size, on one of the replicas. What was used least recently goes first, and in two steps: its
 * record says that it is deleted, so that nobody finds it any more; its bytes go when nobody can believe, or still be
 * reading, what the record said before. That time is counted from when this process first saw it, because the clocks of
 * other machines tell nothing.
 *
 * Memory: some 300 bytes for each content in the bucket, during a round.
 */
export class Collector implements AsyncDisposable {
  readonly #options: CollectorOptions;
  readonly #rounds: Disposable;
  readonly #deletedSinceMs = new Map<Digest, number>();
  #turn: CollectorTurn | undefined;
  #uses: LastUses | undefined;
  #usage: BucketUsage | undefined;
  #learntAtMs = -Infinity;
  #round: Promise<void> = Promise.resolve();

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#rounds = every(options.everyMs ?? EVERY_MS, () => this.round(), options.failed);
  }

  /** Undefined until any replica has collected. */
  get usage(): BucketUsage | undefined {
    return this.#usage;
  }

  /** The same as it is now, if it is another replica that collects. */
  async latestUsage(): Promise<BucketUsage | undefined> {
    const isOurs = this.#turn?.lost.aborted === false;
    if (!isOurs && performance.now() - this.#learntAtMs > LEARN_EVERY_MS) {
      this.#learntAtMs = performance.now();
      const learning = this.learnUsage().catch(this.#options.failed);
      await Promise.race([learning, sleep(LEARN_MS, undefined, { ref: false })]);
    }
    return this.#usage;
  }

  /** Looks what the last round found. @throws OciError UNAVAILABLE */
  async learnUsage(): Promise<void> {
    this.#usage = parseUsage((await this.#options.bucket.read(keys.usage))?.text) ?? this.#usage;
  }

  /** One round, if it is this replica's turn. @throws OciError UNAVAILABLE */
  async round(): Promise<void> {
    this.#round = this.#roundNow();
    await this.#round;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#rounds[Symbol.dispose]();
    await this.#round.catch(() => undefined); // told to who began it
    await this.#turn?.[Symbol.asyncDispose]();
  }

  async #roundNow(): Promise<void> {
    if (!(await this.#isOurTurn())) return await this.learnUsage();
    const { bucket, capacityBytes } = this.#options;
    const deleted = new Set<Digest>();
    for await (const { key } of bucket.list(keys.deletions)) {
      const digest = digestIn(key, keys.deletions);
      if (digest) deleted.add(digest);
    }
    const stored = await this.#stored(deleted);
    let bytes = stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    let blobs = stored.length;
    const isTooMuch = bytes > capacityBytes;
    for (const { digest, sizeBytes } of isTooMuch ? stored.toSorted((a, b) => a.usedAtMs - b.usedAtMs) : []) {
      if (bytes <= capacityBytes * TARGET || this.#turn?.lost.aborted !== false) break;
      await this.#evict(digest);
      deleted.add(digest);
      bytes -= sizeBytes;
      blobs -= 1;
    }
    this.#usage = { blobs, bytes };
    await bucket.put(keys.usage, Buffer.from(JSON.stringify(this.#usage)));
    await this.#sweep(deleted);
    await this.#abortAbandoned();
    await this.#forgetPlaces();
  }

  async #isOurTurn(): Promise<boolean> {
    if (this.#turn && !this.#turn.lost.aborted) return true;
    this.#uses = undefined;
    this.#deletedSinceMs.clear();
    this.#turn = await this.#options.takeTurn();
    return this.#turn !== undefined;
  }

  async #stored(deleted: ReadonlySet<Digest>): Promise<Stored[]> {
    const { bucket } = this.#options;
    const written = new Map<Digest, { sizeBytes: number; writtenAtMs: number }>();
    for await (const { key, ...object } of bucket.list(keys.blobs)) {
      const digest = digestIn(key, keys.blobs);
      if (digest && !deleted.has(digest)) written.set(digest, object);
    }
    const uses = (this.#uses ??= await LastUses.read(bucket));
    await uses.gather((digest) => written.has(digest));
    return Array.from(written, ([digest, { sizeBytes, writtenAtMs }]) => ({
      digest,
      sizeBytes,
      usedAtMs: Math.max(writtenAtMs, uses.of(digest)),
    }));
  }

  async #evict(digest: Digest): Promise<void> {
    const { bucket, catalog, evicted } = this.#options;
    await catalog.delete(digest); // nothing to do for bytes that never got a record
    await bucket.put(keys.deletion(digest), new Uint8Array());
    evicted(digest, 'size');
  }

  /** Removes the bytes of what was deleted long enough ago. */
  async #sweep(deleted: ReadonlySet<Digest>): Promise<void> {
    const { bucket, catalog, urlLifeMs, graceMs = GRACE_MS } = this.#options;
    const now = performance.now();
    for (const digest of this.#deletedSinceMs.keys()) if (!deleted.has(digest)) this.#deletedSinceMs.delete(digest);
    for (const digest of deleted) {
      const sinceMs = this.#deletedSinceMs.get(digest) ?? now;
      this.#deletedSinceMs.set(digest, sinceMs);
      if (now - sinceMs < ENTRY_LIFE_MS + urlLifeMs + graceMs) continue;
      if (this.#turn?.lost.aborted !== false) return;
      if (!alive(await catalog.latest(digest))) {
        await bucket.delete(keys.blob(digest));
        await catalog.purge(digest);
      }
      await bucket.delete(keys.deletion(digest));
      this.#deletedSinceMs.delete(digest);
    }
  }

  /** What replicas that have died had begun. */
  async #abortAbandoned(): Promise<void> {
    const { bucket, abandonedMs = ABANDONED_MS } = this.#options;
    for await (const { fullKey, id, begunAtMs } of openUploads(bucket)) {
      if (Date.now() - begunAtMs >= abandonedMs) await abortUpload(bucket, fullKey, id);
    }
  }

  /** Repositories that nobody could read for so long, and of too many those that were written first. */
  async #forgetPlaces(): Promise<void> {
    const { bucket } = this.#options;
    const places: ListedObject[] = [];
    for await (const place of bucket.list(keys.publicPlaces)) places.push(place);
    const inOrder = places.toSorted((one, other) => other.writtenAtMs - one.writtenAtMs);
    const beforeMs = Date.now() - PUBLIC_MS - GRACE_MS;
    const over = inOrder.filter(({ writtenAtMs }, index) => index >= MAX_PLACES || writtenAtMs < beforeMs);
    for (const { key } of over) await bucket.delete(key);
  }
}

function parseUsage(text = ''): BucketUsage | undefined {
  try {
    return usageSchema.parse(JSON.parse(text));
  } catch {
    return undefined; // none, or not ours
  }
}
