import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { atMost } from '../content/at-most.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Registry, Repository } from '../oci/reference.ts';
import type { Asker } from '../oci/request.ts';

export interface Place {
  readonly registry: Registry;
  readonly repository: Repository;
}

/** One client and one repository: on whose behalf the tier is asked, and about what. */
export interface Caller extends Place, Asker {}

/** What the shared tier gave with an answer. */
export interface Grant {
  readonly token: Uint8Array;
  /** In ms since 1970. */
  readonly endsAtMs: number;
}

const MAX_PLACES = 10_000;
const MAX_OBJECTS = 100_000;
const NO_GRANT = new Uint8Array();

/**
 * What the shared tier has allowed, to whom, until the end it set. With it a warm pull asks the tier once a phase, and
 * content on the node's own disk is served only to who may read it.
 *
 * Credentials are not kept: callers are told apart by an HMAC of them, under a key that nobody else has.
 */
export class Grants {
  readonly #key = randomBytes(32);
  readonly #tokens = new LRUCache<string, Uint8Array>(atMost(MAX_PLACES));
  readonly #objects = new LRUCache<string, Descriptor>(atMost(MAX_OBJECTS));

  /** What this caller has been allowed at its repository. Costs an HMAC: once for each request. */
  of({ registry, repository, authorization }: Caller): CallersGrants {
    const name = authorization ? createHmac('sha256', this.#key).update(authorization.header).digest('base64') : '';
    return new CallersGrants(`${name} ${registry}/${repository}`, this.#tokens, this.#objects);
  }
}

/** The grants of one caller at one repository. */
export class CallersGrants {
  readonly #name: string;
  readonly #tokens: LRUCache<string, Uint8Array>;
  readonly #objects: LRUCache<string, Descriptor>;

  constructor(name: string, tokens: LRUCache<string, Uint8Array>, objects: LRUCache<string, Descriptor>) {
    this.#name = name;
    this.#tokens = tokens;
    this.#objects = objects;
  }

  /** Remembers that these may be read as long as the grant is valid. */
  learn(grant: Grant | undefined, readable: readonly Descriptor[]): void {
    const ttl = (grant?.endsAtMs ?? 0) - Date.now();
    if (!grant || ttl <= 0) return;
    this.#tokens.set(this.#name, grant.token, { ttl });
    for (const descriptor of readable) this.#objects.set(`${this.#name} ${descriptor.digest}`, descriptor, { ttl });
  }

  /** The sealed grant to present to the tier; empty without one. */
  get token(): Uint8Array {
    return this.#tokens.get(this.#name) ?? NO_GRANT;
  }

  /** What is known of an object that may be read now without asking. */
  readable(digest: Digest): Descriptor | undefined {
    return this.#objects.get(`${this.#name} ${digest}`);
  }
}
