import { LRUCache } from 'lru-cache';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Registry, Repository } from '../oci/reference.ts';

export interface Place {
  readonly registry: Registry;
  readonly repository: Repository;
}

/** What the shared tier gave with an answer. */
export interface Grant {
  readonly token: Uint8Array;
  readonly validForMs: number;
}

const MAX_PLACES = 10_000;
const MAX_OBJECTS = 100_000;
const NO_GRANT = new Uint8Array();

/**
 * What the shared tier has allowed, until the end it set. With it a warm pull asks the tier once, and content on the
 * node's own disk is served only to who may read it.
 */
export class Grants {
  readonly #tokens = new LRUCache<string, Uint8Array>({ max: MAX_PLACES });
  readonly #objects = new LRUCache<string, Descriptor>({ max: MAX_OBJECTS });

  /** Remembers that these may be read in the repository as long as the grant is valid. */
  learn(place: Place, grant: Grant | undefined, readable: readonly Descriptor[]): void {
    if (!grant || grant.validForMs <= 0) return;
    const until = { ttl: grant.validForMs };
    this.#tokens.set(keyOf(place), grant.token, until);
    for (const descriptor of readable) this.#objects.set(`${keyOf(place)} ${descriptor.digest}`, descriptor, until);
  }

  /** The sealed grant to present to the tier; empty without one. */
  token(place: Place): Uint8Array {
    return this.#tokens.get(keyOf(place)) ?? NO_GRANT;
  }

  /** What is known of an object that may be read now without asking. */
  readable(place: Place, digest: Digest): Descriptor | undefined {
    return this.#objects.get(`${keyOf(place)} ${digest}`);
  }
}

function keyOf({ registry, repository }: Place): string {
  return `${registry}/${repository}`;
}
