import type { Content, ContentStore } from '../content/store.ts';
import { type Descriptor, accepts } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import type { Reference } from '../oci/reference.ts';
import type { Access, Question } from './access/access.ts';
import type { Grant } from './access/grants.ts';
import type { Visit } from './access/visit.ts';
import type { OpenedFetch } from './fetch.ts';
import type { Fetches } from './fetches.ts';
import { Holdings } from './holdings.ts';
import { KnownTags } from './known-tags.ts';
import { type Manifest, Manifests } from './manifests.ts';
import type { Once } from './once.ts';
import type { ManifestHead } from './origin/registry-client.ts';
import { OriginDown } from './origin/retry.ts';
import type { Place, ReadPlace, Records } from './records.ts';
import { ToldSizes } from './told-sizes.ts';

export interface ImagesOptions {
  readonly access: Access;
  readonly store: ContentStore;
  readonly records: Records;
  readonly fetches: Fetches;
  readonly once: Once;
  readonly notKept: (error: OciError) => void;
  /** Somebody got a manifest of this repository. */
  readonly pulled?: (place: Place) => void;
}

export interface ManifestQuestion extends Question {
  readonly reference: Reference;
  readonly accept: readonly string[];
  readonly withContent: boolean;
}

export interface BlobQuestion extends Question {
  readonly digest: Digest;
}

export interface ResolvedManifest {
  readonly descriptor: Descriptor;
  readonly content: Uint8Array | undefined;
  /** What the manifest names and the cluster can serve under the same grant. */
  readonly readable: readonly Descriptor[];
  readonly fromOrigin: boolean;
  /** What this caller may present with its next question; undefined when nothing was granted. */
  readonly grant: Grant | undefined;
}

export interface LocatedBlob {
  readonly sizeBytes: number;
  readonly fromOrigin: boolean;
  readonly grant: Grant | undefined;
  /** Until when this caller may read it, in ms since 1970. */
  readonly endsAtMs: number;
  /** See `OpenedFetch`. */
  readonly isPassedThrough?: boolean;
}

/** What the origin has told of a blob, and until when its yes holds; 0: for this question only, or not at all. */
interface Proof {
  readonly sizeBytes?: number;
  readonly endsAtMs: number;
}

/** Of an index, manifests in which a size is looked for. */
const MAX_CHILDREN = 32;

/**
 * What the shared tier knows how to do, in the order that makes it safe: proof → store → fetch. The origin is asked
 * before the cache is looked at, so that "cached, but not for you" and "not cached" are the same answer, and take the
 * same way.
 */
export class Images {
  readonly #options: ImagesOptions;
  readonly #manifests: Manifests;
  readonly #holdings: Holdings;
  readonly #sizes = new ToldSizes();
  readonly #tags = new KnownTags();

  constructor(options: ImagesOptions) {
    this.#options = options;
    this.#manifests = new Manifests(options);
    this.#holdings = new Holdings(options);
  }

  /** @throws OciError NAME_UNKNOWN (registry not served), MANIFEST_UNKNOWN, UNAUTHORIZED, CORRUPT, UNAVAILABLE */
  async resolve(question: ManifestQuestion): Promise<ResolvedManifest> {
    return await this.#options.access.visit(question, 'manifest', async (visit) => {
      const { reference, accept, withContent } = question;
      const known = await this.#known(visit, reference, accept);
      const isEnough = known !== undefined && !withContent;
      const manifest = isEnough ? known : await this.#read(visit, question, known);
      if (!('content' in manifest)) {
        if (!known) this.#tags.set(visit.place, reference, accept, manifest, visit.client.origin.tagTtlMs);
        return { descriptor: manifest, content: undefined, readable: [], fromOrigin: false, grant: visit.grant };
      }
      const { descriptor, content, links, fromOrigin } = manifest;
      if (!known) this.#tags.set(visit.place, reference, accept, descriptor, visit.client.origin.tagTtlMs);
      this.#learn(visit, manifest);
      const named = [...links.manifests, ...links.blobs];
      const all = await Promise.all(named.map(({ digest }) => this.#holdings.descriptor(visit.place, digest)));
      const readable = all.filter((each) => each !== undefined);
      this.#options.pulled?.(visit.place);
      return { descriptor, content, readable, fromOrigin, grant: visit.grant };
    });
  }

  /** Size of a blob, without fetching it. @throws OciError NAME_UNKNOWN, BLOB_UNKNOWN, UNAUTHORIZED, UNAVAILABLE */
  async statBlob(question: BlobQuestion): Promise<LocatedBlob> {
    return await this.#options.access.visit(question, 'blob', async (visit) => {
      const { digest } = question;
      const endsAtMs = await this.#rightEnd(visit, digest);
      const known = endsAtMs > 0 ? await this.#holdings.stat(visit.place, digest) : undefined;
      if (known) await this.#holdings.assertBlob(visit.place, digest);
      const told = known ? { ...known, endsAtMs } : await this.#prove(visit, digest, 'question');
      this.#options.fetches.assertTrusted(visit.place.registry, digest);
      const stored = known ?? (await this.#holdings.stat(visit.place, digest));
      return { ...told, fromOrigin: !stored, grant: visit.grant };
    });
  }

  /** Makes sure that the blob can be read with `read`; begins to fetch it if need be. @throws as `statBlob`, and CORRUPT */
  async locateBlob(question: BlobQuestion): Promise<LocatedBlob> {
    return await this.#options.access.visit(question, 'blob', async (visit) => {
      const { digest } = question;
      const { place } = visit;
      const { fetches } = this.#options;
      const isGranted = visit.repositoryEnd > 0 || visit.blobEnd(digest) > 0;
      let stored = isGranted ? await this.#holdings.openable(place, digest) : undefined;
      // Only now: what has just come for this repository is recorded with it, and needs no proof of its own.
      let proof: Proof = { endsAtMs: await this.#rightEnd(visit, digest) };
      // Of a repository that may be read the fetch itself tells whether it has the blob: else there were two questions a
      // blob. Not where the operator's credentials fetch: the origin would tell what the operator may read.
      const isTrusted = fetches.isTrusted(place.registry, digest);
      const isFetchTheProof = proof.endsAtMs === 0 && isGranted && !stored && isTrusted && !visit.client.operator;
      if (proof.endsAtMs === 0 && !isFetchTheProof) {
        proof = await this.#prove(visit, digest, 'fetch');
        stored = await this.#holdings.openable(place, digest);
      }
      await this.#holdings.assertBlob(place, digest);
      fetches.assertTrusted(place.registry, digest);
      if (stored) return { ...stored, endsAtMs: proof.endsAtMs, fromOrigin: false, grant: visit.grant };
      const fetched = await this.#fetch(visit, digest, isFetchTheProof ? undefined : proof);
      return { ...fetched, fromOrigin: true, grant: visit.grant };
    });
  }

  /**
   * The bytes of what `locateBlob` found, or of what is just being fetched; if a repository is named, only of that.
   * Undefined when they have gone since: locate again.
   */
  async read(place: ReadPlace, digest: Digest): Promise<Content | undefined> {
    const { registry, repository } = place;
    const { fetches } = this.#options;
    const isAny = repository === undefined;
    const isStored = isAny || (await this.#holdings.isHeld({ registry, repository }, digest));
    const content = isStored ? await this.#holdings.open(place, digest) : undefined;
    const arriving = content ?? (await fetches.find(place, digest)?.follow());
    return arriving ?? (isAny ? await this.#manifests.arriving(registry, digest) : undefined);
  }

  /** Tags of the repository may mean something else now. */
  forgetTags(place: Place): void {
    this.#tags.forget(place);
  }

  /** What is already known of the reference, and proved. */
  async #known(visit: Visit, reference: Reference, accept: readonly string[]): Promise<Descriptor | undefined> {
    if (reference.kind === 'tag') {
      const tagged = this.#tags.get(visit.place, reference, accept);
      return tagged && visit.repositoryEnd > 0 ? tagged : undefined;
    }
    const { digest } = reference;
    if (visit.manifestEnd(digest) === 0) await this.#learnFromGrant(visit);
    return visit.manifestEnd(digest) > 0 ? await this.#holdings.manifest(visit.place, digest) : undefined;
  }

  /** The grant that was presented covers what its manifest names, whichever replica has given it. */
  async #learnFromGrant(visit: Visit): Promise<Manifest | undefined> {
    const { grantedRoot } = visit;
    return grantedRoot && (await this.#learnFrom(visit, grantedRoot));
  }

  async #learnFrom(visit: Visit, digest: Digest): Promise<Manifest | undefined> {
    const held = await this.#holdings.manifest(visit.place, digest);
    if (!held) return undefined;
    const manifest = await this.#manifests.read(visit.client.registry, visit.rights, held);
    this.#learn(visit, manifest);
    return manifest;
  }

  #learn(visit: Visit, { descriptor, links }: Manifest): void {
    visit.inherit(
      descriptor.digest,
      links.manifests.map(({ digest }) => digest),
    );
    this.#sizes.learn(visit.place, links.blobs);
  }

  /** What a manifest says of the blob's size; if none was read here, the one for which another replica gave the grant. */
  async #sizeByManifest(visit: Visit, digest: Digest): Promise<number | undefined> {
    const size = (): number | undefined => this.#sizes.of(visit.place, digest);
    const root = size() === undefined ? await this.#learnFromGrant(visit) : undefined;
    for (const child of root?.links.manifests.slice(0, MAX_CHILDREN) ?? []) {
      if (size() !== undefined) break;
      await this.#learnFrom(visit, child.digest);
    }
    return size();
  }

  async #read(
    visit: Visit,
    { reference, accept, withContent }: ManifestQuestion,
    known: Descriptor | undefined,
  ): Promise<Manifest | Descriptor> {
    const { place } = visit;
    const { registry } = visit.client;
    const rights = visit.rights;
    if (known) return await this.#manifests.read(registry, rights, known);
    const isProved = reference.kind === 'digest' && visit.manifestEnd(reference.digest) > 0;
    if (isProved && withContent) return await this.#manifests.fetch(registry, rights, reference, accept);
    const { digest, mediaType, sizeBytes } = await this.#resolve(visit, reference, accept);
    // Registries without a digest header on HEAD: only the bytes tell.
    if (digest === undefined) return await this.#manifests.fetch(registry, rights, reference, accept);
    this.#options.records.proved(place, digest, mediaType);
    if (sizeBytes !== undefined && !withContent) return { digest, mediaType, sizeBytes };
    return await this.#manifests.read(registry, rights, { digest, mediaType });
  }

  /** What the origin says of the reference; when it is down, what could be read without credentials a short while ago. */
  async #resolve(visit: Visit, reference: Reference, accept: readonly string[]): Promise<ManifestHead> {
    const last = (await visit.isPublic()) ? await this.#last(visit, reference, accept) : undefined;
    try {
      return await visit.proveManifest(reference, accept, last !== undefined);
    } catch (error) {
      if (last && error instanceof OriginDown) return last;
      throw error;
    }
  }

  async #last(visit: Visit, reference: Reference, accept: readonly string[]): Promise<Descriptor | undefined> {
    const digest = reference.kind === 'digest' ? reference.digest : visit.lastDigest(reference.tag);
    const held = digest && (await this.#holdings.manifest(visit.place, digest));
    return held && accepts(accept, held.mediaType) ? held : undefined;
  }

  /** A blob rides on a manifest's grant if the repository is known to hold it; else it needs a proof of its own. */
  async #rightEnd(visit: Visit, digest: Digest): Promise<number> {
    const { repositoryEnd } = visit;
    // Without a grant nothing is looked up: that takes longer for what is there, and the origin has not been asked yet.
    const isHeld = repositoryEnd > 0 && (await this.#holdings.isHeld(visit.place, digest));
    return Math.max(visit.blobEnd(digest), isHeld ? repositoryEnd : 0);
  }

  /** @param why to answer a question, or to serve it: to whom a repository is open its blobs are asked for by GET then */
  async #prove(
    visit: Visit,
    digest: Digest,
    why: 'question' | 'fetch',
  ): Promise<Proof & { readonly sizeBytes: number }> {
    const { place } = visit;
    const { records } = this.#options;
    const isPublic = (await visit.isPublic()) && (await this.#holdings.isHeld(place, digest));
    const last = isPublic ? await this.#holdings.stat(place, digest) : undefined;
    const as = visit.repositoryEnd > 0 && !visit.client.operator ? why : 'question';
    const sizeIfUntold = async () => await this.#sizeByManifest(visit, digest);
    let sizeBytes: number;
    try {
      ({ sizeBytes } = await visit.proveBlob(digest, last !== undefined, { as, sizeIfUntold }));
    } catch (error) {
      if (!last || !(error instanceof OriginDown)) throw error;
      ({ sizeBytes } = last);
    }
    // Only this origin's own bytes: another's would tell it what they have that it must not know of.
    const stored = await this.#holdings.stat(place, digest);
    if (stored && stored.sizeBytes !== sizeBytes) throw new OciError('UNAVAILABLE', 'the origin tells another size');
    await this.#holdings.assertBlob(place, digest);
    records.proved(place, digest, 'application/octet-stream');
    return { sizeBytes, endsAtMs: visit.blobEnd(digest) };
  }

  /** @param proof undefined when the fetch is to be the proof that the repository has the blob */
  async #fetch(visit: Visit, digest: Digest, proof: Proof | undefined): Promise<OpenedFetch & { endsAtMs: number }> {
    const { repositoryEnd, client, rights } = visit;
    const told = {
      expectedBytes: this.#sizes.of(visit.place, digest),
      sizeIfUntold: async () => await this.#sizeByManifest(visit, digest),
      provedBytes: proof?.sizeBytes,
    };
    const opened = await this.#options.fetches.open(client, rights, digest, { isProved: proof !== undefined, ...told });
    if (opened) return { ...opened, endsAtMs: proof?.endsAtMs ?? repositoryEnd };
    return await this.#fetch(visit, digest, await this.#prove(visit, digest, 'fetch'));
  }
}
