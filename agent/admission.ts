import { LRUCache } from 'lru-cache';
import { atMost } from '../content/at-most.ts';
import type { Digest } from '../oci/digest.ts';

/** What a node keeps. Most layers are pulled once by a node and never again; its disk is for those that are not. */
export const ADMISSION_POLICIES = ['always', 'second-request', 'never'] as const;
export type AdmissionPolicy = (typeof ADMISSION_POLICIES)[number];

const FORGET_MS = 10 * 60_000;
const MAX_COUNTED = 100_000;

/** Decides which blobs the node keeps, by how often they are asked for. */
export class Admission {
  readonly #policy: AdmissionPolicy;
  readonly #counts = new LRUCache<Digest, number>({ ...atMost(MAX_COUNTED), ttl: FORGET_MS });

  constructor(policy: AdmissionPolicy) {
    this.#policy = policy;
  }

  /**
   * Counts a GET and says whether the blob is to be kept. Only one that starts at byte 0 is a request of its own: a
   * client that fetches in ranges sends many for one pull.
   */
  request(digest: Digest, startsAtZero: boolean): boolean {
    if (this.#policy !== 'second-request') return this.#policy === 'always';
    if (!startsAtZero) return false;
    const count = (this.#counts.get(digest) ?? 0) + 1;
    this.#counts.set(digest, count);
    return count >= 2;
  }
}
