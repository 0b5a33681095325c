import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import { type Reference, formatReference } from '../oci/reference.ts';
import type { ManifestHead, RegistryClient } from './origin/registry-client.ts';
import type { Place } from './records.ts';
import type { Seal, Sealed } from './seal.ts';
import { SharedFlight } from './shared-flight.ts';

/** What a grant says: its holder may read this repository until then. */
export interface GrantClaims extends Sealed {
  readonly registry: string;
  readonly repository: string;
}

export interface Grant {
  readonly token: Uint8Array;
  readonly validForMs: number;
}

/** Origins are asked on behalf of all who wait, so no caller's end may end the question; this bounds it instead. */
const PROOF_MS = 20_000;
const MAX_REMEMBERED = 100_000;

/**
 * Proofs that somebody may read something: the origin was asked and said yes. Remembered for the grant's life, and
 * only yes: everything else is asked again. Callers are anonymous for now, so what is proved once is proved for all.
 */
export class Proofs {
  readonly #seal: Seal<GrantClaims>;
  readonly #ttlMs: number;
  /** `place` → end of its grant; `place digest` → end of its proof. */
  readonly #places = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  readonly #objects = new LRUCache<string, number>({ max: MAX_REMEMBERED });
  readonly #heads = new SharedFlight<ManifestHead>();
  readonly #blobs = new SharedFlight<{ sizeBytes: number }>();

  /** @param ttlMs how long a proof is remembered; 0 asks for every request */
  constructor({ seal, ttlMs }: { seal: Seal<GrantClaims>; ttlMs: number }) {
    this.#seal = seal;
    this.#ttlMs = ttlMs;
  }

  /** Asks the origin for this very reference. @throws OciError see `RegistryClient.headManifest` */
  async manifest(
    client: RegistryClient,
    place: Place,
    reference: Reference,
    accept: readonly string[],
  ): Promise<ManifestHead> {
    const key = `${keyOf(place)} ${formatReference(reference)} ${accept.join()}`;
    const head = await this.#heads.run(key, async () => {
      const signal = AbortSignal.timeout(PROOF_MS);
      return await client.headManifest(place.repository, reference, { accept, signal });
    });
    this.#remember(place, head.digest);
    return head;
  }

  /** Asks the origin for a blob. @throws OciError see `RegistryClient.headBlob` */
  async blob(client: RegistryClient, place: Place, digest: Digest): Promise<{ sizeBytes: number }> {
    const answer = await this.#blobs.run(`${keyOf(place)} ${digest}`, async () => {
      return await client.headBlob(place.repository, digest, { signal: AbortSignal.timeout(PROOF_MS) });
    });
    this.#rememberUntil(Date.now() + this.#ttlMs, place, digest);
    return answer;
  }

  /**
   * What a proved manifest names is proved as well, and itself by its digest when it was asked for by tag: until that
   * proof ends, and not a moment longer, or who asks often enough would never be asked again.
   */
  inherit(place: Place, parent: Digest, children: readonly Digest[]): void {
    const endsAtMs = this.#objects.get(`${keyOf(place)} ${parent}`) ?? this.#places.get(keyOf(place)) ?? 0;
    for (const digest of [parent, ...children]) this.#rememberUntil(endsAtMs, place, digest);
  }

  /** Has the origin said yes to this very object, in this repository, within the grant's life? */
  isProved(place: Place, digest: Digest): boolean {
    return (this.#objects.get(`${keyOf(place)} ${digest}`) ?? 0) > Date.now();
  }

  /** Is there a proof for the repository: our own, or another replica's in the caller's hand? */
  isGranted(place: Place, token: Uint8Array): boolean {
    if ((this.#places.get(keyOf(place)) ?? 0) > Date.now()) return true;
    const claims = token.length > 0 ? this.#seal.open(token) : undefined;
    return claims?.registry === place.registry && claims.repository === place.repository;
  }

  /** The grant of a repository that was proved; undefined when it was not, or proofs are not remembered. */
  grantOf(place: Place): Grant | undefined {
    const endsAtMs = this.#places.get(keyOf(place)) ?? 0;
    const validForMs = endsAtMs - Date.now();
    if (validForMs <= 0) return undefined;
    const { registry, repository } = place;
    return { token: this.#seal.close({ registry, repository, endsAtMs }), validForMs };
  }

  #remember(place: Place, digest: Digest | undefined): void {
    if (this.#ttlMs === 0) return;
    const endsAtMs = Date.now() + this.#ttlMs;
    this.#places.set(keyOf(place), endsAtMs, { ttl: this.#ttlMs });
    if (digest) this.#rememberUntil(endsAtMs, place, digest);
  }

  #rememberUntil(endsAtMs: number, place: Place, digest: Digest): void {
    const key = `${keyOf(place)} ${digest}`;
    const ttl = endsAtMs - Date.now();
    if (ttl > 0 && endsAtMs > (this.#objects.get(key) ?? 0)) this.#objects.set(key, endsAtMs, { ttl });
  }
}

function keyOf({ registry, repository }: Place): string {
  return `${registry}/${repository}`;
}
