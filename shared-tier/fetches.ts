import { LRUCache } from 'lru-cache';
import type { ContentStore } from '../content/store.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Registry } from '../oci/reference.ts';
import { Fetch } from './fetch.ts';
import type { Once } from './once.ts';
import type { OriginClient } from './origin/origin-clients.ts';
import type { Place, Records } from './records.ts';
import { Slots } from './slots.ts';

/** What happens to fetches, for log and metrics. */
export interface FetchEvents {
  received(client: OriginClient, bytes: number): void;
  ended(place: Place, digest: Digest, error: OciError | undefined): void;
  /** Content cannot be stored, and is passed through instead. */
  notKept(place: Place, digest: Digest, error: OciError): void;
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

const FETCHES_AT_ONCE = 64;
/** Each try to fetch content that is wrong would cost the origin all of its bytes. */
const QUARANTINE_MS = 60_000;
const BLOB_MEDIA_TYPE = 'application/octet-stream';

/** All retrievals under way: one per origin and digest. Two origins never share one: each must deliver its own bytes. */
export class Fetches implements AsyncDisposable {
  readonly #options: FetchesOptions;
  readonly #running = new Map<string, Fetch>();
  readonly #corrupt: LRUCache<string, true>;
  readonly #slots = new Slots(FETCHES_AT_ONCE);

  constructor(options: FetchesOptions) {
    this.#options = options;
    this.#corrupt = new LRUCache({ max: 10_000, ttl: options.quarantineMs ?? QUARANTINE_MS });
  }

  get count(): number {
    return this.#running.size;
  }

  find(registry: Registry, digest: Digest): Fetch | undefined {
    return this.#running.get(keyOf(registry, digest));
  }

  /** @throws OciError CORRUPT when this origin's bytes were found wrong a moment ago */
  assertTrusted(registry: Registry, digest: Digest): void {
    if (this.#corrupt.has(keyOf(registry, digest))) {
      throw new OciError('CORRUPT', 'the origin sent other bytes than the digest says');
    }
  }

  /** The running fetch, or a new one. @param expectedBytes a hint, see `DownloadOptions` */
  start(client: OriginClient, place: Place, digest: Digest, expectedBytes?: number): Fetch {
    const key = keyOf(place.registry, digest);
    const running = this.#running.get(key);
    if (running) return running;
    const { store, records, once, events, lingerMs = 60_000, parkMs = 600_000 } = this.#options;
    let isKept = true;
    const fetch = new Fetch({
      place,
      digest,
      store,
      lingerMs,
      parkMs,
      slots: this.#slots,
      download: {
        expectedBytes,
        client: client.registry,
        pace: client.pace,
        received: (bytes) => events.received(client, bytes),
      },
      start: async (download, missing) => {
        // What cannot be read counts as not there: the origin has it.
        const stored = async () =>
          records.has(place.registry, digest) ? await store.open(digest).catch(() => undefined) : undefined;
        return await once.start({ place, download: { ...download, client: client.registry }, stored }, missing);
      },
      notKept: (error) => {
        isKept = false;
        events.notKept(place, digest, error);
      },
      ended: (error) => {
        this.#running.delete(key);
        if (error?.code === 'CORRUPT') this.#corrupt.set(key, true);
        if (!error && isKept) records.fetched(place, digest, BLOB_MEDIA_TYPE);
        if (error || isKept) events.ended(place, digest, error);
      },
    });
    this.#running.set(key, fetch);
    return fetch;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new OciError('UNAVAILABLE', 'the shared tier stops');
    await Promise.all([...this.#running.values()].map((fetch) => fetch.cancel(reason)));
  }
}

function keyOf(registry: Registry, digest: Digest): string {
  return `${registry} ${digest}`;
}
