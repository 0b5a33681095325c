import { LRUCache } from 'lru-cache';
import { atMost } from '../content/at-most.ts';
import type { Content, ContentStore, Ingest } from '../content/store.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Registry } from '../oci/reference.ts';
import type { Relay, RelayedBlob } from './relay.ts';

export interface FillsOptions {
  readonly store: ContentStore;
  readonly relay: Relay;
  readonly failed: (digest: Digest, error: OciError) => void;
}

const MAX_DELIVERED = 100_000;
/** A reader this far ahead of a fill is served sooner by the tier itself. */
const AHEAD_BYTES = 8 * 1024 * 1024;

/** Blobs that are being copied from the shared tier to the node's disk, at most one copy each of one registry. */
export class Fills implements AsyncDisposable {
  readonly #options: FillsOptions;
  readonly #filling = new Map<string, Promise<Ingest>>();
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  /** What registries have delivered whole to this node. */
  readonly #delivered = new LRUCache<string, true>(atMost(MAX_DELIVERED));

  constructor(options: FillsOptions) {
    this.#options = options;
  }

  /** Has the node had all bytes of the blob from this very registry? It may have lost its copy since. */
  hasDelivered(registry: Registry, digest: Digest): boolean {
    return this.#delivered.has(keyOf(registry, digest));
  }

  /** A reader of the running fill, if it will come to this position soon. */
  async follow(blob: RelayedBlob, position: number): Promise<Content | undefined> {
    const ingest = await this.#filling.get(keyOf(blob.caller.registry, blob.digest))?.catch(() => undefined);
    if (!ingest || ingest.gaps({ start: 0, end: position }).some(({ start }) => position - start > AHEAD_BYTES)) {
      return undefined;
    }
    try {
      return ingest.follow();
    } catch {
      return undefined; // it has just ended; the tier serves
    }
  }

  /** Begins to copy the blob, unless that runs already. Goes on though its readers leave: it is the node's copy. */
  start(blob: RelayedBlob): void {
    const { digest, located } = blob;
    const key = keyOf(blob.caller.registry, digest);
    if (this.#filling.has(key)) return;
    const opened = this.#options.store.ingest(digest, located.sizeBytes);
    this.#filling.set(key, opened);
    const running = this.#fill(blob, opened)
      // Serving goes on without the node's copy.
      .catch((error: unknown) => this.#options.failed(digest, OciError.from(error)))
      .finally(() => {
        this.#filling.delete(key);
        this.#running.delete(running);
      });
    this.#running.add(running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new OciError('UNAVAILABLE', 'the agent stops'));
    await Promise.all(this.#running);
  }

  async #fill(blob: RelayedBlob, opened: Promise<Ingest>): Promise<void> {
    const ingest = await opened;
    try {
      const range = { start: 0, end: ingest.sizeBytes };
      using chunks = await this.#options.relay.open(blob, range, this.#stop.signal);
      let position = 0;
      for await (const { bytes, release } of chunks) {
        // Each chunk by itself: who collects some before writing waits for ever when all buffers are in use elsewhere.
        try {
          await ingest.write(position, [bytes]);
        } finally {
          release();
        }
        position += bytes.length;
      }
      await ingest.commit();
      this.#delivered.set(keyOf(blob.caller.registry, blob.digest), true);
    } catch (error) {
      ingest.abort(error);
      throw error;
    }
  }
}

/** Of another registry the same blob may turn out to be missing, or wrong: its readers do not follow this one's copy. */
function keyOf(registry: Registry, digest: Digest): string {
  return `${registry} ${digest}`;
}
