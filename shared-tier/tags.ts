import { LRUCache } from 'lru-cache';
import type { Descriptor } from '../oci/descriptor.ts';
import { digestOf } from '../oci/digest.ts';
import { type Reference, formatReference } from '../oci/reference.ts';
import { type Place, placeKey } from './records.ts';

const MAX_TAGS = 100_000;

/** What tags meant a moment ago, of origins whose operator wants them remembered (`tagTtl`). */
export class Tags {
  readonly #tags = new LRUCache<string, Descriptor>({ max: MAX_TAGS });

  find(place: Place, reference: Reference, accept: readonly string[]): Descriptor | undefined {
    return this.#tags.get(keyOf(place, reference, accept));
  }

  /** Does nothing for digests, and without a time. */
  remember(place: Place, reference: Reference, accept: readonly string[], meaning: Descriptor, ttlMs: number): void {
    if (reference.kind === 'tag' && ttlMs > 0) {
      this.#tags.set(keyOf(place, reference, accept), meaning, { ttl: ttlMs });
    }
  }
}

/** Which manifest a tag names depends on what the client accepts; the list is hashed because it may be long. */
function keyOf(place: Place, reference: Reference, accept: readonly string[]): string {
  return `${placeKey(place)} ${formatReference(reference)} ${digestOf(Buffer.from(accept.join()))}`;
}
