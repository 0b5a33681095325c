import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import type { Reference } from '../../oci/reference.ts';
import type { Credential } from '../origin/credential.ts';
import type { OriginClient } from '../origin/origin-clients.ts';
import type { ManifestHead } from '../origin/registry-client.ts';
import type { Place } from '../records.ts';
import type { Rights } from '../right.ts';
import type { Grant, Grants, Holder } from './grants.ts';
import type { Asking, Proofs } from './proofs.ts';
import type { PublicPlaces } from './public-places.ts';

export interface VisitOptions {
  readonly grants: Grants;
  readonly proofs: Proofs;
  readonly publicPlaces: PublicPlaces;
  readonly client: OriginClient;
  readonly credential: Credential;
  readonly place: Place;
  /** The sealed grant that the caller has presented. */
  readonly token: Uint8Array;
}

/** One caller at one repository: what it may read, and how that is found out. Ends are in ms since 1970; 0: no. */
export class Visit {
  readonly place: Place;
  readonly client: OriginClient;
  readonly #options: VisitOptions;
  readonly #holder: Holder;

  constructor(options: VisitOptions) {
    const { place, client, credential } = options;
    this.#options = options;
    this.place = place;
    this.client = client;
    this.#holder = { caller: credential.key, place };
  }

  /** Until when all that the repository is known to hold may be read. */
  get repositoryEnd(): number {
    return this.#options.grants.repositoryEnd(this.#holder, this.#options.token);
  }

  /** Until when the origin's yes to this very manifest holds. */
  manifestEnd(digest: Digest): number {
    return this.#options.grants.manifestEnd(this.#holder, this.#options.token, digest);
  }

  /** Until when the origin's yes to this very blob holds. */
  blobEnd(digest: Digest): number {
    return this.#options.grants.blobEnd(this.#holder, digest);
  }

  /** The manifests that a proved one names are proved with it. */
  inherit(parent: Digest, children: readonly Digest[]): void {
    this.#options.grants.inherit(this.#holder, this.#options.token, parent, children);
  }

  /** The manifest for which another replica has given the grant that was presented. */
  get grantedRoot(): Digest | undefined {
    return this.#options.grants.rootOf(this.#holder, this.#options.token);
  }

  /** What the caller may present with its next question; undefined when it has no grant. */
  get grant(): Grant | undefined {
    return this.#options.grants.sealed(this.#holder, this.#options.token);
  }

  /** Asks the origin for this very reference. @param isReplaceable see `Subject` @throws OciError see `Proofs` */
  async proveManifest(reference: Reference, accept: readonly string[], isReplaceable: boolean): Promise<ManifestHead> {
    return await this.#options.proofs.manifest({ ...this.#options, isReplaceable }, reference, accept);
  }

  /**
   * Asks the origin for a blob. Harbor's proxy cache answers HEAD with 404 when it has to get the blob itself first: what
   * a manifest names is asked for once more, by GET.
   *
   * @param isReplaceable see `Subject`
   * @throws OciError see `Proofs`
   */
  async proveBlob(digest: Digest, isReplaceable: boolean, question: Asking): Promise<{ sizeBytes: number }> {
    const { proofs } = this.#options;
    const subject = { ...this.#options, isReplaceable };
    try {
      return await proofs.blob(subject, digest, question);
    } catch (reason) {
      const { code, denied } = OciError.from(reason);
      const isMissing = code === 'BLOB_UNKNOWN' && !denied && question.as === 'question' && this.repositoryEnd > 0;
      const isNamed = isMissing && (await question.sizeIfUntold?.()) !== undefined;
      if (!isNamed) throw reason;
      return await proofs.blob(subject, digest, { ...question, as: 'fetch' });
    }
  }

  /** May it be served without the origin, because anybody could read it a short while ago? */
  async isPublic(): Promise<boolean> {
    return await this.#options.publicPlaces.has(this.place);
  }

  /** What the tag meant when an anonymous caller last asked. */
  lastDigest(tag: string): Digest | undefined {
    return this.#options.publicPlaces.tag(this.place, tag);
  }

  /** With what the caller has things fetched: the operator's credentials, if there are any, then its own. */
  get rights(): Rights {
    const { place, client, credential } = this.#options;
    const operator = client.operator?.credential();
    const own = { place, credential };
    return operator ? [{ place, credential: operator }, own] : [own];
  }
}
