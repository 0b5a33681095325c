import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type { Chunks } from '../content/chunk.ts';
import type { Content, ContentStore } from '../content/store.ts';
import { unlessAborted } from '../content/unless-aborted.ts';
import type { Descriptor, ManifestLinks } from '../oci/descriptor.ts';
import { MAX_MANIFEST_BYTES, isManifestMediaType, manifestMediaType, parseManifestLinks } from '../oci/descriptor.ts';
import { type Digest, algorithmOf, digestOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Reference, Registry } from '../oci/reference.ts';
import type { Fetches } from './fetches.ts';
import type { Holder } from './leases/lease-api.ts';
import type { Once } from './once.ts';
import type { RegistryClient } from './origin/registry-client.ts';
import { type Place, type Records, placeKey } from './records.ts';
import { type Rights, firstAllowed, isRefusal } from './right.ts';
import { SharedFlight } from './shared-flight.ts';
import { RETRY_MS } from './turns.ts';

/** A manifest whose bytes are verified. */
export interface Manifest {
  readonly descriptor: Descriptor;
  readonly content: Uint8Array;
  readonly links: ManifestLinks;
  readonly fromOrigin: boolean;
}

export interface ManifestsOptions {
  readonly store: ContentStore;
  readonly records: Records;
  /** Which replica fetches what. */
  readonly once: Once;
  /** Which digests' bytes were found wrong a moment ago. */
  readonly fetches: Pick<Fetches, 'assertTrusted' | 'foundWrong'>;
  /** A manifest could not be kept, or not be read; it was served all the same. */
  readonly notKept: (error: OciError) => void;
}

const FETCH_MS = 20_000;

/**
 * The bytes of manifests: from the store if they came from this origin, else from the origin, once for all who ask, at
 * whichever replica. Who asks has proved its right to them.
 */
export class Manifests {
  readonly #options: ManifestsOptions;
  readonly #fetches = new SharedFlight<Manifest>();
  /** What this replica is fetching in its turn, for the others. */
  readonly #arriving = new Map<string, Promise<Manifest>>();

  constructor(options: ManifestsOptions) {
    this.#options = options;
  }

  /** The caller's right to it has been proved. @throws OciError MANIFEST_UNKNOWN, UNAUTHORIZED, CORRUPT, UNAVAILABLE */
  async read(
    client: RegistryClient,
    rights: Rights,
    { digest, mediaType }: Pick<Descriptor, 'digest' | 'mediaType'>,
  ): Promise<Manifest> {
    const [{ place }] = rights;
    return (await this.#known(place, digest)) ?? (await this.fetch(client, rights, digest, [mediaType]));
  }

  /**
   * From the origin, by digest or (of registries that tell no digest) by tag. Only by digest it is once for all replicas:
   * what a tag means now each of them has to ask.
   *
   * @throws as `read`
   */
  async fetch(
    client: RegistryClient,
    rights: Rights,
    by: Digest | Reference,
    accept: readonly string[],
  ): Promise<Manifest> {
    const [{ place }] = rights;
    const reference = typeof by === 'string' ? ({ kind: 'digest', digest: by } as const) : by;
    const name = reference.kind === 'digest' ? reference.digest : reference.tag;
    const fetch = async (): Promise<Manifest> => {
      const signal = AbortSignal.timeout(FETCH_MS);
      const fetchNow = async (): Promise<Manifest> => {
        const { content, digest, mediaType } = await firstAllowed(rights, ({ credential }) =>
          client.getManifest(place.repository, reference, { accept, signal, credential }),
        );
        const manifest = describe(content, digest, mediaType, true);
        await this.#keep(place, manifest);
        return manifest;
      };
      if (reference.kind === 'tag') return await fetchNow();
      return await this.#trusted(place, reference.digest, () => this.#once(place, reference.digest, fetchNow, signal));
    };
    return await this.#fetches.run(`${placeKey(place)} ${name} ${accept.join()}`, fetch, isRefusal);
  }

  /** For another replica: what this one is fetching, when it has come. Undefined when it fetches no such thing. */
  async arriving(registry: Registry, digest: Digest): Promise<Content | undefined> {
    const manifest = await this.#arriving.get(`${registry} ${digest}`)?.catch(() => undefined);
    return manifest && contentOf(manifest);
  }

  /** @throws OciError CORRUPT also when the bytes were found wrong a moment ago */
  async #trusted(place: Place, digest: Digest, fetch: () => Promise<Manifest>): Promise<Manifest> {
    const { fetches } = this.#options;
    fetches.assertTrusted(place.registry, digest);
    try {
      return await fetch();
    } catch (reason) {
      const error = OciError.from(reason);
      if (error.code === 'CORRUPT') fetches.foundWrong(place, digest, error);
      throw error;
    }
  }

  /** Fetches in this replica's turn; in another's, the bytes are read from there. */
  async #once(place: Place, digest: Digest, fetch: () => Promise<Manifest>, signal: AbortSignal): Promise<Manifest> {
    const turns = this.#options.once.turns(place, digest);
    try {
      for (;;) {
        const turn = await unlessAborted(turns.next(), signal);
        const known = await this.#known(place, digest);
        if (known) return known;
        if (turn.kind !== 'held') {
          turns.fetches();
          return await this.#fetchInTurn(`${place.registry} ${digest}`, fetch);
        }
        const followed = await this.#follow(turn.holder, place, digest, signal);
        if (followed) return followed;
        turns.isStuck(turn.holder);
        await delay(RETRY_MS, undefined, { signal });
      }
    } finally {
      void turns[Symbol.asyncDispose](); // nobody who has the manifest waits for that
    }
  }

  async #fetchInTurn(key: string, fetch: () => Promise<Manifest>): Promise<Manifest> {
    const fetching = fetch();
    this.#arriving.set(key, fetching);
    try {
      return await fetching;
    } finally {
      if (this.#arriving.get(key) === fetching) this.#arriving.delete(key);
    }
  }

  /** Undefined when the holder does not give it, or when only the store can tell its media type. */
  async #follow(holder: Holder, place: Place, digest: Digest, signal: AbortSignal): Promise<Manifest | undefined> {
    try {
      const source = this.#options.once.source(holder, place.registry);
      const body = await source.getBlob(place.repository, digest, { start: 0, end: MAX_MANIFEST_BYTES }, { signal });
      const content = await buffer(body.pieces);
      if (digestOf(content, algorithmOf(digest)) !== digest) return undefined;
      const manifest = describe(content, digest, '', true);
      if (!isManifestMediaType(manifest.descriptor.mediaType)) return undefined;
      this.#options.records.proved(place, digest, manifest.descriptor.mediaType);
      return manifest;
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  /** What came from this origin, and is known to be in this repository. */
  async #known(place: Place, digest: Digest): Promise<Manifest | undefined> {
    const { records } = this.#options;
    const heldAs = await records.heldAs(place, digest);
    if (heldAs === undefined || !(await records.hasFrom(place.registry, digest))) return undefined;
    const content = await this.#stored(digest);
    return content && describe(content, digest, heldAs, false);
  }

  /** Undefined also when it cannot be read: the origin has it. */
  async #stored(digest: Digest): Promise<Buffer | undefined> {
    try {
      await using stored = await this.#options.store.open(digest);
      const range = { start: 0, end: stored?.sizeBytes ?? 0 };
      return stored && (await collect(stored.chunks(range, { signal: AbortSignal.timeout(FETCH_MS) })));
    } catch (error) {
      this.#options.notKept(OciError.from(error));
      return undefined;
    }
  }

  async #keep(place: Place, { descriptor: { digest, mediaType }, content }: Manifest): Promise<void> {
    try {
      await this.#options.store.put(digest, content);
      await this.#options.records.fetched(place, digest, mediaType);
    } catch (error) {
      this.#options.notKept(OciError.from(error));
    }
  }
}

function describe(content: Uint8Array, digest: Digest, told: string, fromOrigin: boolean): Manifest {
  const mediaType = manifestMediaType(content, told);
  const descriptor = { digest, mediaType, sizeBytes: content.length };
  return { descriptor, content, links: parseManifestLinks(content, mediaType), fromOrigin };
}

function contentOf({ descriptor: { digest, sizeBytes }, content }: Manifest): Content {
  return {
    digest,
    sizeBytes,
    chunks: async function* ({ start, end }) {
      yield { bytes: content.subarray(start, end), release: () => undefined };
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function collect(chunks: Chunks): Promise<Buffer> {
  return await buffer(copies(chunks));
}

async function* copies(chunks: Chunks): AsyncGenerator<Uint8Array> {
  for await (const { bytes, release } of chunks) {
    const copy = Buffer.from(bytes);
    release();
    yield copy;
  }
}
