import { LRUCache } from 'lru-cache';
import { atMost } from '../content/at-most.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { type Place, placeKey } from './records.ts';

const MAX_SIZES = 100_000;

/** What manifests of a repository said of their blobs' sizes: hints only. */
export class ToldSizes {
  readonly #sizes = new LRUCache<string, number>(atMost(MAX_SIZES));

  learn(place: Place, blobs: readonly Descriptor[]): void {
    for (const { digest, sizeBytes } of blobs) this.#sizes.set(keyOf(place, digest), sizeBytes);
  }

  of(place: Place, digest: Digest): number | undefined {
    return this.#sizes.get(keyOf(place, digest));
  }
}

function keyOf(place: Place, digest: Digest): string {
  return `${placeKey(place)} ${digest}`;
}
