import type { Content, ContentStore } from '../content/store.ts';
import { type Descriptor, isManifestMediaType } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { OciError } from '../oci/error.ts';
import { unknown } from './origin/refusal.ts';
import type { Place, Records } from './records.ts';

export interface HoldingsOptions {
  readonly store: ContentStore;
  readonly records: Records;
  /** Something that is there could not be read. */
  readonly notKept: (error: OciError) => void;
}

/**
 * What the cluster has of a registry: content that this registry itself delivered, and what its repositories are known to
 * hold. The same bytes from elsewhere tell it nothing. Who asks has a right to know.
 */
export class Holdings {
  readonly #options: HoldingsOptions;

  constructor(options: HoldingsOptions) {
    this.#options = options;
  }

  /** Size of what is stored. */
  async stat({ registry }: Pick<Place, 'registry'>, digest: Digest): Promise<{ sizeBytes: number } | undefined> {
    const { records, store } = this.#options;
    return (await records.hasFrom(registry, digest)) ? await store.stat(digest) : undefined;
  }

  /** As `stat`, but it has been tried: content that cannot be read is fetched as if it were not there. */
  async openable(place: Pick<Place, 'registry'>, digest: Digest): Promise<{ sizeBytes: number } | undefined> {
    await using content = await this.open(place, digest);
    return content && { sizeBytes: content.sizeBytes };
  }

  async open({ registry }: Pick<Place, 'registry'>, digest: Digest): Promise<Content | undefined> {
    const { records, store, notKept } = this.#options;
    if (!(await records.hasFrom(registry, digest))) return undefined;
    try {
      return await store.open(digest);
    } catch (error) {
      notKept(OciError.from(error));
      return undefined;
    }
  }

  /** Is the repository known to hold it, stored here or not? */
  async isHeld(place: Place, digest: Digest): Promise<boolean> {
    return (await this.#options.records.heldAs(place, digest)) !== undefined;
  }

  /** What can be served to who may read the repository, as it is stored: what a manifest says of it may be a lie. */
  async descriptor(place: Place, digest: Digest): Promise<Descriptor | undefined> {
    const mediaType = await this.#options.records.heldAs(place, digest);
    const stored = mediaType === undefined ? undefined : await this.stat(place, digest);
    return mediaType === undefined || !stored ? undefined : { digest, mediaType, sizeBytes: stored.sizeBytes };
  }

  /** As `descriptor`, of a manifest only. What was read as a blob has no media type of a manifest. */
  async manifest(place: Place, digest: Digest): Promise<Descriptor | undefined> {
    const held = await this.descriptor(place, digest);
    return held && isManifestMediaType(held.mediaType) ? held : undefined;
  }

  /** A manifest served as a blob would lose its media type, and poison what the client keeps. @throws OciError BLOB_UNKNOWN */
  async assertBlob(place: Place, digest: Digest): Promise<void> {
    const mediaType = await this.#options.records.heldAs(place, digest);
    if (mediaType !== undefined && isManifestMediaType(mediaType)) throw unknown('blob');
  }
}
