import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { Registry } from '../../oci/reference.ts';
import { type Place, type Records, isEmpty, placeKey, withHold, withRegistry, withoutHold } from '../records.ts';
import { type Catalog, type Change, type Entry, alive } from './catalog.ts';

/**
 * Records in the bucket, of all replicas. A yes may be a minute old, like the content itself; a no is always asked for,
 * because another replica may just have fetched what this one looks for.
 */
export class S3Records implements Records {
  readonly #catalog: Catalog;
  readonly #failed: (error: OciError) => void;
  readonly #writing = new Set<Promise<void>>();

  constructor(catalog: Catalog, failed: (error: OciError) => void) {
    this.#catalog = catalog;
    this.#failed = failed;
  }

  async hasFrom(registry: Registry, digest: Digest): Promise<boolean> {
    const has = (entry: Entry): boolean => entry.has.includes(registry);
    const entry = await this.#read(digest, has);
    return entry !== undefined && has(entry);
  }

  async heldAs(place: Place, digest: Digest): Promise<string | undefined> {
    const key = placeKey(place);
    const entry = await this.#read(digest, ({ holds }) => Object.hasOwn(holds, key));
    return entry?.holds[key];
  }

  async placesOf(digest: Digest): Promise<readonly string[]> {
    return Object.keys((await this.#read(digest, () => true))?.holds ?? {});
  }

  async fetched(place: Place, digest: Digest, mediaType: string): Promise<void> {
    await this.#catalog.change(digest, (entry) => {
      const known = alive(entry);
      return known && { ...held(known, place, mediaType), has: withRegistry(known.has, place) };
    });
  }

  proved(place: Place, digest: Digest, mediaType: string): void {
    const change: Change = (entry) => {
      const known = alive(entry);
      return known?.holds[placeKey(place)] === mediaType ? undefined : known && held(known, place, mediaType);
    };
    const writing = this.#catalog.change(digest, change).finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  async deleted(place: Place, digest: Digest): Promise<boolean> {
    let isLast = false;
    await this.#catalog.change(digest, (entry) => {
      const known = alive(entry);
      const holds = known && withoutHold(known.holds, place);
      isLast = holds !== undefined && isEmpty(holds) && !isEmpty(known?.holds ?? {});
      return known && holds && { ...known, holds };
    });
    return isLast;
  }

  get isAway(): boolean {
    return this.#catalog.isAway;
  }

  async settled(): Promise<void> {
    await Promise.all(this.#writing);
    await this.#catalog.settled();
  }

  async #read(digest: Digest, isEnough: (entry: Entry) => boolean): Promise<Entry | undefined> {
    try {
      return await this.#catalog.read(digest, isEnough);
    } catch (error) {
      this.#failed(OciError.from(error));
      return undefined;
    }
  }
}

function held(entry: Entry, place: Place, mediaType: string): Entry {
  return { ...entry, holds: withHold(entry.holds, place, mediaType) };
}
