import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import type { OciError } from '../../oci/error.ts';
import { ANONYMOUS } from '../origin/credential.ts';
import { type Place, placeKey } from '../records.ts';
import type { Holder } from './grants.ts';

/** Long enough for a herd, short enough for who has just been let in. */
const REFUSED_MS = 2_000;
const MAX_REMEMBERED = 10_000;

/**
 * What origins have refused a moment ago, with the words for it. That a repository refuses anonymous callers is
 * remembered as long as a yes would be: every pull of a private image begins with that question, twice.
 */
export class Refusals {
  readonly #ttlMs: number;
  readonly #objects = new LRUCache<string, OciError>(atMost(MAX_REMEMBERED));
  readonly #anonymous = new LRUCache<string, OciError>(atMost(MAX_REMEMBERED));

  /** @param ttlMs how long a yes is remembered; 0: nothing is */
  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  /** @param object what was asked for within the repository */
  find(holder: Holder, object: string): OciError | undefined {
    const closed = holder.caller === ANONYMOUS.key ? this.#anonymous.get(placeKey(holder.place)) : undefined;
    return closed ?? this.#objects.get(keyOf(holder, object));
  }

  /** The origin has refused this object to this caller. */
  refused(holder: Holder, object: string, error: OciError): void {
    if (this.#ttlMs > 0) this.#objects.set(keyOf(holder, object), error, { ttl: Math.min(REFUSED_MS, this.#ttlMs) });
  }

  /** The repository has changed: what was not there may be. */
  forget(place: Place): void {
    for (const key of this.#objects.keys()) if (key.includes(` ${placeKey(place)} `)) this.#objects.delete(key);
    this.#anonymous.delete(placeKey(place));
  }

  /** The origin reads nothing of this repository to anonymous callers. */
  closed({ place }: Holder, error: OciError): void {
    if (this.#ttlMs > 0) this.#anonymous.set(placeKey(place), error, { ttl: this.#ttlMs });
  }
}

function keyOf({ caller, place }: Holder, object: string): string {
  return `${caller} ${placeKey(place)} ${object}`;
}
