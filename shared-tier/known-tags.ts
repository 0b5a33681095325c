import { LRUCache } from 'lru-cache';
import { atMost } from '../content/at-most.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { digestOf } from '../oci/digest.ts';
import { type Reference, formatReference } from '../oci/reference.ts';
import { type Place, placeKey } from './records.ts';

const MAX_TAGS = 100_000;

/** What tags meant a while ago, for registries whose `tagTtl` allows not to ask each time. */
export class KnownTags {
  readonly #tags = new LRUCache<string, Descriptor>(atMost(MAX_TAGS));

  /** @param accept what the caller takes: one tag may mean different things to different callers */
  get(place: Place, tag: Reference, accept: readonly string[]): Descriptor | undefined {
    return this.#tags.get(keyOf(place, tag, accept));
  }

  set(place: Place, tag: Reference, accept: readonly string[], descriptor: Descriptor, ttlMs: number): void {
    if (tag.kind === 'tag' && ttlMs > 0) this.#tags.set(keyOf(place, tag, accept), descriptor, { ttl: ttlMs });
  }

  /** Tags of the repository may mean something else now. */
  forget(place: Place): void {
    for (const key of this.#tags.keys()) if (key.startsWith(`${placeKey(place)} `)) this.#tags.delete(key);
  }
}

function keyOf(place: Place, tag: Reference, accept: readonly string[]): string {
  return `${placeKey(place)} ${formatReference(tag)} ${digestOf(Buffer.from(accept.join()))}`;
}
