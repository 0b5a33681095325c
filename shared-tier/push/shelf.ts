import type { ContentStore } from '../../content/store.ts';
import { isManifestMediaType, manifestMediaType, parseManifestLinks } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { Reference } from '../../oci/reference.ts';
import type { Access } from '../access/access.ts';
import type { Images } from '../images.ts';
import type { Place, Records } from '../records.ts';
import type { LocalUpload } from './local-uploads.ts';

export interface ShelfOptions {
  readonly store: ContentStore;
  readonly records: Records;
  readonly images: Images;
  readonly access: Access;
  /** Something could not be kept; it was pushed all the same. */
  readonly notKept: (error: OciError) => void;
}

const BLOB_MEDIA_TYPE = 'application/octet-stream';

/** What pushes leave in the cache, always after the origin has said yes. Caching that fails fails no push. */
export class Shelf {
  readonly #options: ShelfOptions;

  constructor(options: ShelfOptions) {
    this.#options = options;
  }

  /** The origin has taken a blob, all bytes of which went through here if `local` has them. */
  async blob(place: Place, digest: Digest, local: LocalUpload): Promise<void> {
    await this.#try(async () => {
      if (await local.commit(digest)) await this.#options.records.fetched(place, digest, BLOB_MEDIA_TYPE);
    });
    this.#options.access.changed(place);
  }

  /** The origin says that the repository has it; no byte of it was seen. */
  held(place: Place, digest: Digest): void {
    this.#options.records.proved(place, digest, BLOB_MEDIA_TYPE);
    this.#options.access.changed(place);
  }

  /** The origin has taken a manifest. @param digest of its bytes; undefined when the origin says another one */
  async manifest(place: Place, digest: Digest | undefined, content: Uint8Array, told: string): Promise<void> {
    const { store, records, images, access } = this.#options;
    access.changed(place);
    images.forgetTags(place);
    if (digest === undefined) return;
    await this.#try(async () => {
      const mediaType = manifestMediaType(content, told);
      if (!isManifestMediaType(mediaType)) return;
      parseManifestLinks(content, mediaType); // what cannot be read is not served from here either
      await store.put(digest, content);
      await records.fetched(place, digest, mediaType);
    });
  }

  /** The origin has deleted it from the repository. Content that no other repository holds goes from the store. */
  async deleted(place: Place, reference: Reference): Promise<void> {
    const { store, records, images, access } = this.#options;
    access.changed(place, reference);
    images.forgetTags(place);
    if (reference.kind === 'tag') return;
    const { digest } = reference;
    await this.#try(async () => {
      if (await records.deleted(place, digest)) await store.delete(digest);
    });
  }

  async #try(keep: () => Promise<void>): Promise<void> {
    try {
      await keep();
    } catch (error) {
      this.#options.notKept(OciError.from(error));
    }
  }
}
