import { LRUCache } from 'lru-cache';
import { atMost } from '../content/at-most.ts';
import type { ContentStore, Ingest } from '../content/store.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Registry } from '../oci/reference.ts';
import { Fetch, type OpenedFetch } from './fetch.ts';
import type { Once } from './once.ts';
import type { OriginClient } from './origin/origin-clients.ts';
import type { Place, ReadPlace, Records } from './records.ts';
import { type Rights, isRefusal } from './right.ts';
import { Slots } from './slots.ts';

/** What happens to fetches, for log and metrics. */
export interface FetchEvents {
  received(client: OriginClient, bytes: number): void;
  ended(place: Place, digest: Digest, error: OciError | undefined): void;
  /** Content cannot be stored, and is passed through instead. */
  notKept(place: Place, digest: Digest, error: OciError): void;
}

/** What is known of a blob's size. */
export interface Told {
  /** By a manifest, see `DownloadOptions`. */
  readonly expectedBytes?: number | undefined;
  /** The same, looked for where it takes a while. */
  readonly sizeIfUntold?: (() => Promise<number | undefined>) | undefined;
  /** By the origin, to the caller who may read it. */
  readonly provedBytes?: number | undefined;
}

export interface FetchesOptions {
  readonly store: ContentStore;
  readonly records: Records;
  readonly once: Once;
  readonly events: FetchEvents;
  readonly lingerMs?: number;
  readonly parkMs?: number;
  /** Content found wrong is not asked for again this long; 60 s unless given. */
  readonly quarantineMs?: number;
}

/** One retrieval, as it is told to people. */
export interface FetchReport {
  readonly place: Place;
  readonly digest: Digest;
  /** 0 until the origin has answered, and of what cannot be stored. */
  readonly sizeBytes: number;
  readonly receivedBytes: number;
  /** Readers that wait for it. */
  readonly waiters: number;
  readonly ageMs: number;
}

interface Running {
  readonly fetch: Fetch;
  readonly startedAtMs: number;
  /** Settles when it has ended: with the error, or, when all of it is stored, with undefined. */
  readonly ended: Promise<OciError | undefined>;
}

const FETCHES_AT_ONCE = 64;
/** Of which one repository alone does not get so many. */
const SPARE_FETCHES = 8;
/** Fetches of others that may be refused before this caller's turn. */
const MAX_ATTEMPTS = 64;
/** Each try to fetch content that is wrong would cost the origin all of its bytes. */
const QUARANTINE_MS = 60_000;
const RECENT_MS = 30_000;
const BLOB_MEDIA_TYPE = 'application/octet-stream';

/** All retrievals under way: one per origin and digest. Two origins never share one: each must deliver its own bytes. */
export class Fetches implements AsyncDisposable {
  readonly #options: FetchesOptions;
  readonly #running = new Map<string, Running>();
  readonly #corrupt: LRUCache<string, true>;
  /** What was fetched a moment ago: who looked into the store just before that begins a fetch now. */
  readonly #recent = new LRUCache<string, true>({ ...atMost(10_000), ttl: RECENT_MS });
  readonly #slots = new Slots({ slots: FETCHES_AT_ONCE, spare: SPARE_FETCHES });

  constructor(options: FetchesOptions) {
    this.#options = options;
    this.#corrupt = new LRUCache({ ...atMost(10_000), ttl: options.quarantineMs ?? QUARANTINE_MS });
  }

  get count(): number {
    return this.#running.size;
  }

  /** Readers that wait for what is being retrieved. */
  get waiters(): number {
    return this.#running.values().reduce((sum, { fetch }) => sum + fetch.progress.followers, 0);
  }

  /** The one under way, if it is of this repository; of any repository if none is named. */
  find({ registry, repository }: ReadPlace, digest: Digest): Fetch | undefined {
    const running = this.#running.get(keyOf(registry, digest))?.fetch;
    return repository === undefined || running?.place.repository === repository ? running : undefined;
  }

  /** What is under way, the oldest first. */
  *list(): Generator<FetchReport, void, undefined> {
    for (const { fetch, startedAtMs } of this.#running.values()) {
      const { place, digest, progress } = fetch;
      const ageMs = performance.now() - startedAtMs;
      yield { place, digest, ...bytesOf(progress.ingest), waiters: progress.followers, ageMs };
    }
  }

  /** When the fetch that runs has ended: what it ended with; undefined when all of it is stored, or none runs. */
  async ended(registry: Registry, digest: Digest): Promise<OciError | undefined> {
    return await this.#running.get(keyOf(registry, digest))?.ended;
  }

  /** @throws OciError CORRUPT when this origin's bytes were found wrong a moment ago */
  assertTrusted(registry: Registry, digest: Digest): void {
    if (!this.isTrusted(registry, digest)) {
      throw new OciError('CORRUPT', 'the origin sent other bytes than the digest says');
    }
  }

  /** This origin's bytes are not what the digest says: they are not asked for again for a while. */
  foundWrong(place: Place, digest: Digest, error: OciError): void {
    this.#corrupt.set(keyOf(place.registry, digest), true);
    this.#options.events.ended(place, digest, error);
  }

  /** Were this origin's bytes not found wrong a moment ago? */
  isTrusted(registry: Registry, digest: Digest): boolean {
    return !this.#corrupt.has(keyOf(registry, digest));
  }

  /**
   * The size of a blob as soon as the origin has answered: joins the fetch under way, or begins one. What the origin
   * refuses to somebody else it is asked for again, with the rights of this caller.
   *
   * @returns undefined when it is being fetched for another repository, and the caller's own right to it is not proved
   * @throws OciError BLOB_UNKNOWN or UNAUTHORIZED (the origin's answer to this caller), CORRUPT, UNAVAILABLE
   */
  async open(
    client: OriginClient,
    rights: Rights,
    digest: Digest,
    { isProved, ...told }: Told & { isProved: boolean },
  ): Promise<OpenedFetch | undefined> {
    const [{ place }] = rights;
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
      const running = this.find({ registry: place.registry }, digest);
      if (running && !isProved && running.place.repository !== place.repository) return undefined;
      try {
        return await this.start(client, rights, digest, told).opened();
      } catch (error) {
        if (!running || !isRefusal(error)) throw error;
      }
    }
    throw new OciError('UNAVAILABLE', 'those who asked before were refused');
  }

  /** The running fetch, which gets a further right, or a new one. */
  start(client: OriginClient, rights: Rights, digest: Digest, told: Told = {}): Fetch {
    const [{ place }] = rights;
    const key = keyOf(place.registry, digest);
    const running = this.#running.get(key)?.fetch;
    if (running) {
      for (const right of rights) running.join(right);
      return running;
    }
    const { promise, resolve } = Promise.withResolvers<OciError | undefined>();
    const { store, records, once, events, lingerMs = 60_000, parkMs = 600_000 } = this.#options;
    let isKept = true;
    const isRecent = this.#recent.has(key);
    const fetch = new Fetch({
      rights,
      digest,
      store,
      lingerMs,
      parkMs,
      slots: this.#slots,
      download: {
        expectedBytes: told.expectedBytes,
        sizeIfUntold: told.sizeIfUntold,
        client: client.registry,
        pace: client.pace,
        received: (bytes) => events.received(client, bytes),
      },
      start: async (download, missing) => {
        // What cannot be read counts as not there: the origin has it.
        const stored = async () =>
          (await records.hasFrom(place.registry, digest)) ? await store.open(digest).catch(() => undefined) : undefined;
        const question = {
          place,
          download: { ...download, client: client.registry },
          provedBytes: told.provedBytes,
          stored,
          isHeld: async () => (await records.heldAs(place, digest)) !== undefined,
          isRecent,
          isStoreAway: () => records.isAway === true,
        };
        return await once.start(question, missing);
      },
      notKept: (error) => {
        isKept = false;
        resolve(error);
        events.notKept(place, digest, error);
      },
      committed: () => records.fetched(place, digest, BLOB_MEDIA_TYPE),
      ended: (error) => {
        this.#running.delete(key);
        resolve(error);
        if (error?.code === 'CORRUPT') this.#corrupt.set(key, true);
        if (!error && isKept) this.#recent.set(key, true);
        if (error || isKept) events.ended(place, digest, error);
      },
    });
    this.#running.set(key, { fetch, startedAtMs: performance.now(), ended: promise });
    return fetch;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new OciError('UNAVAILABLE', 'the shared tier stops');
    await Promise.all([...this.#running.values()].map(({ fetch }) => fetch.cancel(reason)));
  }
}

function bytesOf(ingest: Ingest | undefined): { sizeBytes: number; receivedBytes: number } {
  if (!ingest) return { sizeBytes: 0, receivedBytes: 0 };
  const { sizeBytes } = ingest;
  const missing = ingest.gaps({ start: 0, end: sizeBytes }).reduce((sum, { start, end }) => sum + end - start, 0);
  return { sizeBytes, receivedBytes: sizeBytes - missing };
}

function keyOf(registry: Registry, digest: Digest): string {
  return `${registry} ${digest}`;
}
