import { buffer } from 'node:stream/consumers';
import type { Chunks } from '../content/chunk.ts';
import type { ContentStore } from '../content/store.ts';
import type { Descriptor, ManifestLinks } from '../oci/descriptor.ts';
import { manifestMediaType, parseManifestLinks } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Reference } from '../oci/reference.ts';
import type { RegistryClient } from './origin/registry-client.ts';
import { type Place, type Records, placeKey } from './records.ts';
import { type Rights, firstAllowed, isRefusal } from './right.ts';
import { SharedFlight } from './shared-flight.ts';

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
  /** A manifest could not be kept, or not be read; it was served all the same. */
  readonly notKept: (error: OciError) => void;
}

const FETCH_MS = 20_000;

/** The bytes of manifests: from the store if they came from this origin, else from the origin, once for all who ask. */
export class Manifests {
  readonly #options: ManifestsOptions;
  readonly #fetches = new SharedFlight<Manifest>();

  constructor(options: ManifestsOptions) {
    this.#options = options;
  }

  /** The caller's right to it has been proved. @throws OciError MANIFEST_UNKNOWN, UNAUTHORIZED, CORRUPT, UNAVAILABLE */
  async read(
    client: RegistryClient,
    rights: Rights,
    { digest, mediaType }: Pick<Descriptor, 'digest' | 'mediaType'>,
  ): Promise<Manifest> {
    const { records } = this.#options;
    const [{ place }] = rights;
    const heldAs = await records.heldAs(place, digest);
    if (heldAs !== undefined && (await records.hasFrom(place.registry, digest))) {
      const content = await this.#stored(digest);
      if (content) return describe(content, digest, heldAs, false);
    }
    return await this.fetch(client, rights, digest, [mediaType]);
  }

  /** From the origin, by digest or (of registries that tell no digest) by tag. @throws as `read` */
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
      const { content, digest, mediaType } = await firstAllowed(rights, ({ credential }) =>
        client.getManifest(place.repository, reference, { accept, signal, credential }),
      );
      const manifest = describe(content, digest, mediaType, true);
      await this.#keep(place, manifest);
      return manifest;
    };
    return await this.#fetches.run(`${placeKey(place)} ${name} ${accept.join()}`, fetch, isRefusal);
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
