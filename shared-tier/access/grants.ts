import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { type Place, placeKey } from '../records.ts';
import type { Seal, Sealed } from '../seal.ts';

/** What a grant says: this caller may read this repository until then, because the origin said so of this manifest. */
export interface GrantClaims extends Sealed {
  readonly registry: string;
  readonly repository: string;
  /** See `Credential.key`. */
  readonly caller: string;
  readonly digest?: string;
}

export interface Grant {
  readonly token: Uint8Array;
  readonly validForMs: number;
}

/** Who may read something where: a key of a `Credential`, and a repository. */
export interface Holder {
  readonly caller: string;
  readonly place: Place;
}

interface Granted {
  readonly endsAtMs: number;
  readonly digest: Digest | undefined;
}

const MAX_REMEMBERED = 100_000;

/**
 * What origins have allowed, to whom, until when: in memory, and sealed in the hands of who may present it elsewhere
 * together with the same Authorization. Ends are absolute; nothing here makes one later than it was.
 */
export class Grants {
  readonly #seal: Seal<GrantClaims>;
  /** Manifests were proved there: all of the repository may be read. */
  readonly #repositories = new LRUCache<string, Granted>(atMost(MAX_REMEMBERED));
  /** Ends of the proofs of single objects, of manifests and of blobs: who may read one kind has not proved the other. */
  readonly #objects = new LRUCache<string, number>(atMost(MAX_REMEMBERED));

  constructor(seal: Seal<GrantClaims>) {
    this.#seal = seal;
  }

  /** The origin has said yes to a manifest. */
  manifest(holder: Holder, digest: Digest | undefined, endsAtMs: number): void {
    const ttl = endsAtMs - Date.now();
    const key = keyOf(holder);
    if (ttl > 0 && endsAtMs > (this.#repositories.get(key)?.endsAtMs ?? 0)) {
      this.#repositories.set(key, { digest, endsAtMs }, { ttl });
    }
    if (digest) this.#remember(objectKey('manifest', holder, digest), endsAtMs);
  }

  /** The origin has said yes to a blob; that says nothing of others. */
  blob(holder: Holder, digest: Digest, endsAtMs: number): void {
    this.#remember(objectKey('blob', holder, digest), endsAtMs);
  }

  /**
   * The manifests that a proved one names are proved as well, and itself by its digest when it was asked for by tag:
   * until that proof ends, and not a moment longer, or who asks often enough would never be asked again. As manifests
   * only: whoever may write an index can name anybody's layer in it.
   */
  inherit(holder: Holder, token: Uint8Array, parent: Digest, children: readonly Digest[]): void {
    const endsAtMs = this.manifestEnd(holder, token, parent) || this.repositoryEnd(holder, token);
    for (const digest of [parent, ...children]) this.#remember(objectKey('manifest', holder, digest), endsAtMs);
  }

  /** The object is not there any more, whoever could read it. */
  forget(place: Place, digest: Digest): void {
    for (const key of this.#objects.keys())
      if (key.endsWith(` ${placeKey(place)} ${digest}`)) this.#objects.delete(key);
  }

  /** Until when the origin's yes to this very manifest holds, in ms since 1970; 0 when there is none any more. */
  manifestEnd(holder: Holder, token: Uint8Array, digest: Digest): number {
    const claims = this.#open(holder, token);
    const sealed = claims?.digest === digest ? claims.endsAtMs : 0;
    return notOver(Math.max(this.#objects.get(objectKey('manifest', holder, digest)) ?? 0, sealed));
  }

  /** The same of a blob. */
  blobEnd(holder: Holder, digest: Digest): number {
    return notOver(this.#objects.get(objectKey('blob', holder, digest)) ?? 0);
  }

  /** Until when all that the repository is known to hold may be read; 0 when nothing may be. */
  repositoryEnd(holder: Holder, token: Uint8Array): number {
    const remembered = this.#repositories.get(keyOf(holder))?.endsAtMs ?? 0;
    return notOver(Math.max(remembered, this.#open(holder, token)?.endsAtMs ?? 0));
  }

  /** The manifest that a sealed grant was given for: what it names may be read as well. */
  rootOf(holder: Holder, token: Uint8Array): Digest | undefined {
    const digest = this.#open(holder, token)?.digest;
    return digest !== undefined && isDigest(digest) ? digest : undefined;
  }

  /** The sealed grant, or the one presented if that lasts longer; undefined when nothing is granted (any more). */
  sealed(holder: Holder, token: Uint8Array): Grant | undefined {
    const { caller, place } = holder;
    const { endsAtMs = 0, digest } = this.#repositories.get(keyOf(holder)) ?? {};
    const validForMs = endsAtMs - Date.now();
    const presentedForMs = (this.#open(holder, token)?.endsAtMs ?? 0) - Date.now();
    if (presentedForMs > 0 && presentedForMs >= validForMs) return { token, validForMs: presentedForMs };
    if (validForMs <= 0) return undefined;
    const { registry, repository } = place;
    const claims = { registry, repository, caller, endsAtMs, ...(digest && { digest }) };
    return { token: this.#seal.close(claims), validForMs };
  }

  #remember(key: string, endsAtMs: number): void {
    const ttl = endsAtMs - Date.now();
    if (ttl > 0 && endsAtMs > (this.#objects.get(key) ?? 0)) this.#objects.set(key, endsAtMs, { ttl });
  }

  #open({ caller, place }: Holder, token: Uint8Array): GrantClaims | undefined {
    const claims = token.length > 0 ? this.#seal.open(token) : undefined;
    const isFor = claims?.registry === place.registry && claims.repository === place.repository;
    return isFor && claims.caller === caller ? claims : undefined;
  }
}

function notOver(endsAtMs: number): number {
  return endsAtMs > Date.now() ? endsAtMs : 0;
}

function keyOf({ caller, place }: Holder): string {
  return `${caller} ${placeKey(place)}`;
}

function objectKey(kind: 'manifest' | 'blob', holder: Holder, digest: Digest): string {
  return `${kind} ${keyOf(holder)} ${digest}`;
}
