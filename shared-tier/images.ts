import { LRUCache } from 'lru-cache';
import type { Content, ContentStore } from '../content/store.ts';
import { type Descriptor, isManifestMediaType } from '../oci/descriptor.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import { type Reference, formatReference } from '../oci/reference.ts';
import type { Fetches } from './fetches.ts';
import { type Manifest, Manifests } from './manifests.ts';
import type { OriginClient, OriginClients } from './origin/origin-clients.ts';
import type { Proofs } from './proofs.ts';
import type { Place, Records } from './records.ts';

export interface ImagesOptions {
  readonly clients: OriginClients;
  readonly proofs: Proofs;
  readonly store: ContentStore;
  readonly records: Records;
  readonly fetches: Fetches;
  readonly notKept: (error: OciError) => void;
}

export interface ManifestQuestion {
  readonly place: Place;
  readonly reference: Reference;
  readonly accept: readonly string[];
  readonly withContent: boolean;
}

export interface BlobQuestion {
  readonly place: Place;
  readonly digest: Digest;
  /** A sealed grant, if the caller has one. */
  readonly grant: Uint8Array;
}

export interface ResolvedManifest {
  readonly descriptor: Descriptor;
  readonly content: Uint8Array | undefined;
  /** What the manifest names and the cluster can serve under the same grant. */
  readonly readable: readonly Descriptor[];
  readonly fromOrigin: boolean;
}

export interface LocatedBlob {
  readonly sizeBytes: number;
  readonly fromOrigin: boolean;
}

const NO_GRANT = new Uint8Array();

/**
 * What the shared tier knows how to do, in the order that makes it safe: proof → store → fetch. The origin is asked
 * before the cache is looked at, so that "cached, but not for you" and "not cached" are the same answer.
 */
export class Images {
  readonly #options: ImagesOptions;
  readonly #manifests: Manifests;
  /** What manifests said of their blobs' sizes: hints only. */
  readonly #sizes = new LRUCache<Digest, number>({ max: 100_000 });
  readonly #tags = new LRUCache<string, Descriptor>({ max: 100_000 });

  constructor(options: ImagesOptions) {
    this.#options = options;
    this.#manifests = new Manifests(options);
  }

  /** @throws OciError NAME_UNKNOWN (registry not served), MANIFEST_UNKNOWN, CORRUPT, UNAVAILABLE */
  async resolve({ place, reference, accept, withContent }: ManifestQuestion): Promise<ResolvedManifest> {
    const client = this.#options.clients.get(place.registry);
    const known = await this.#known(place, reference, accept);
    if (known && !withContent) return { descriptor: known, content: undefined, readable: [], fromOrigin: false };

    const manifest = await this.#read(client, place, reference, accept, known, withContent);
    if (!known)
      this.#rememberTag(client, place, reference, accept, 'content' in manifest ? manifest.descriptor : manifest);
    if (!('content' in manifest)) return { descriptor: manifest, content: undefined, readable: [], fromOrigin: false };
    const { descriptor, content, links, fromOrigin } = manifest;
    const children = links.manifests.map(({ digest }) => digest);
    this.#options.proofs.inherit(place, descriptor.digest, children);
    for (const blob of links.blobs) this.#sizes.set(blob.digest, blob.sizeBytes);
    const named = [...links.manifests, ...links.blobs];
    const readable = await Promise.all(named.map(({ digest: link }) => this.#readable(place, link)));
    return { descriptor, content, readable: readable.filter((each) => each !== undefined), fromOrigin };
  }

  /** Size of a blob, without fetching it. @throws OciError NAME_UNKNOWN, BLOB_UNKNOWN, UNAVAILABLE */
  async statBlob(question: BlobQuestion): Promise<LocatedBlob> {
    const { place, digest } = question;
    const client = this.#options.clients.get(place.registry);
    this.#assertBlob(digest, place);
    const stored = await this.#stored(place, digest);
    if (stored && this.#isAllowed(question)) return { ...stored, fromOrigin: false };
    const { sizeBytes } = await this.#prove(client, question);
    return { sizeBytes, fromOrigin: !stored };
  }

  /** Makes sure that the blob can be read with `read`; begins to fetch it if need be. @throws as `statBlob`, and CORRUPT */
  async locateBlob(question: BlobQuestion): Promise<LocatedBlob> {
    const { place, digest } = question;
    const { clients, fetches } = this.#options;
    const client = clients.get(place.registry);
    this.#assertBlob(digest, place);
    fetches.assertTrusted(place.registry, digest);
    const stored = await this.#openable(place, digest);
    const running = fetches.find(place.registry, digest);
    // Where nothing is cached, the fetch itself is the proof: the origin answers this caller or does not.
    const isOwnFetch = running?.place.repository === place.repository;
    if ((stored || (running && !isOwnFetch)) && !this.#isAllowed(question)) await this.#prove(client, question);
    if (stored) return { ...stored, fromOrigin: false };
    return { ...(await this.#open(client, place, digest)), fromOrigin: true };
  }

  /** Joins the fetch under way, or begins one. Another repository's no is not this one's: then it is tried here. */
  async #open(client: OriginClient, place: Place, digest: Digest): Promise<{ sizeBytes: number }> {
    const { fetches } = this.#options;
    const fetch = fetches.start(client, place, digest, this.#sizes.get(digest));
    try {
      return await fetch.opened();
    } catch (error) {
      if (fetch.place.repository === place.repository || OciError.from(error).code !== 'BLOB_UNKNOWN') throw error;
      return await fetches.start(client, place, digest).opened();
    }
  }

  /** The bytes of what `locateBlob` found. Undefined when they have gone since: locate again. */
  async read(place: Pick<Place, 'registry'>, digest: Digest): Promise<Content | undefined> {
    return (
      (await this.#openStored(place, digest)) ?? (await this.#options.fetches.find(place.registry, digest)?.follow())
    );
  }

  /** What is already known of the reference, and proved. */
  async #known(place: Place, reference: Reference, accept: readonly string[]): Promise<Descriptor | undefined> {
    const { proofs, records } = this.#options;
    if (reference.kind === 'tag') {
      const tagged = this.#tags.get(tagKey(place, reference, accept));
      return tagged && proofs.isGranted(place, NO_GRANT) ? tagged : undefined;
    }
    const { digest } = reference;
    const mediaType = records.holds(place, digest);
    // What was read as a blob has no media type of a manifest: only the origin can tell it.
    if (mediaType === undefined || !isManifestMediaType(mediaType) || !proofs.isProved(place, digest)) return undefined;
    const stored = await this.#stored(place, digest);
    return stored && { digest, mediaType, sizeBytes: stored.sizeBytes };
  }

  async #read(
    { registry }: OriginClient,
    place: Place,
    reference: Reference,
    accept: readonly string[],
    known: Descriptor | undefined,
    withContent: boolean,
  ): Promise<Manifest | Descriptor> {
    if (known) return await this.#manifests.read(registry, place, known.digest, known.mediaType);
    const { digest, mediaType, sizeBytes } = await this.#options.proofs.manifest(registry, place, reference, accept);
    // Registries without a digest header on HEAD: only the bytes tell.
    if (digest === undefined) {
      const by = reference.kind === 'digest' ? reference.digest : reference;
      return await this.#manifests.fetch(registry, place, by, accept);
    }
    this.#options.records.proved(place, digest, mediaType);
    if (withContent || sizeBytes === undefined) return await this.#manifests.read(registry, place, digest, mediaType);
    return { digest, mediaType, sizeBytes };
  }

  #rememberTag(
    { origin }: OriginClient,
    place: Place,
    reference: Reference,
    accept: readonly string[],
    descriptor: Descriptor,
  ): void {
    if (reference.kind === 'tag' && origin.tagTtlMs > 0) {
      this.#tags.set(tagKey(place, reference, accept), descriptor, { ttl: origin.tagTtlMs });
    }
  }

  async #stored({ registry }: Place, digest: Digest): Promise<{ sizeBytes: number } | undefined> {
    return this.#options.records.has(registry, digest) ? await this.#options.store.stat(digest) : undefined;
  }

  /** As `#stored`, but it has been tried: content that cannot be read is fetched as if it were not there. */
  async #openable(place: Place, digest: Digest): Promise<{ sizeBytes: number } | undefined> {
    await using content = await this.#openStored(place, digest);
    return content && { sizeBytes: content.sizeBytes };
  }

  async #openStored({ registry }: Pick<Place, 'registry'>, digest: Digest): Promise<Content | undefined> {
    const { records, store, notKept } = this.#options;
    if (!records.has(registry, digest)) return undefined;
    try {
      return await store.open(digest);
    } catch (error) {
      notKept(OciError.from(error));
      return undefined;
    }
  }

  /** What can be served to who may read the repository, as it is stored: what a manifest says of it may be a lie. */
  async #readable(place: Place, digest: Digest): Promise<Descriptor | undefined> {
    const mediaType = this.#options.records.holds(place, digest);
    const stored = mediaType === undefined ? undefined : await this.#stored(place, digest);
    return mediaType === undefined || !stored ? undefined : { digest, mediaType, sizeBytes: stored.sizeBytes };
  }

  /** A blob rides on a manifest's grant if the repository is known to hold it; else it needs a proof of its own. */
  #isAllowed({ place, digest, grant }: BlobQuestion): boolean {
    const { proofs, records } = this.#options;
    return (
      proofs.isProved(place, digest) || (proofs.isGranted(place, grant) && records.holds(place, digest) !== undefined)
    );
  }

  async #prove({ registry }: OriginClient, { place, digest }: BlobQuestion): Promise<{ sizeBytes: number }> {
    const answer = await this.#options.proofs.blob(registry, place, digest);
    // Only this origin's own bytes: another's would tell it what they have that it must not know of.
    const stored = await this.#stored(place, digest);
    if (stored && stored.sizeBytes !== answer.sizeBytes)
      throw new OciError('UNAVAILABLE', 'the origin tells another size');
    this.#options.records.proved(place, digest, 'application/octet-stream');
    return answer;
  }

  /** A manifest served as a blob would lose its media type, and poison what the client keeps. */
  #assertBlob(digest: Digest, place: Place): void {
    const mediaType = this.#options.records.holds(place, digest);
    if (mediaType !== undefined && isManifestMediaType(mediaType)) throw new OciError('BLOB_UNKNOWN', 'blob unknown');
  }
}

/** Which manifest a tag names depends on what the client accepts; the list is hashed because it may be long. */
function tagKey({ registry, repository }: Place, reference: Reference, accept: readonly string[]): string {
  return `${registry}/${repository} ${formatReference(reference)} ${digestOf(Buffer.from(accept.join()))}`;
}
