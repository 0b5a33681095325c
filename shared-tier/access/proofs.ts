import { LRUCache } from 'lru-cache';
import type { Digest } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { type Reference, formatReference } from '../../oci/reference.ts';
import { ANONYMOUS, type Credential } from '../origin/credential.ts';
import type { OriginClient } from '../origin/origin-clients.ts';
import type { ManifestHead, Options, Yes } from '../origin/registry-client.ts';
import { OriginDown } from '../origin/retry.ts';
import type { Place } from '../records.ts';
import { SharedFlight } from '../shared-flight.ts';
import type { Grants, Holder } from './grants.ts';
import type { PublicPlaces } from './public-places.ts';
import { Refusals } from './refusals.ts';

export interface ProofsOptions {
  readonly grants: Grants;
  /** How long a proof is remembered; 0 asks for every request. */
  readonly ttlMs: number;
  readonly publicPlaces: PublicPlaces;
  /** One question to an origin was answered. */
  readonly report: (result: 'yes' | 'no' | 'unknown') => void;
}

/** Who asks for what, and where. */
export interface Subject {
  readonly client: OriginClient;
  readonly credential: Credential;
  readonly place: Place;
  /** It can be served without the origin as well: then the origin is not waited for as long. */
  readonly isReplaceable: boolean;
}

/** How a blob is asked for. */
export interface Asking {
  /** To answer a question, or to serve it. */
  readonly as: 'question' | 'fetch';
  /** See `Options`. */
  readonly sizeIfUntold: Options['sizeIfUntold'];
}

/** Origins are asked on behalf of all who wait, so no caller's end may end the question; this bounds it instead. */
const PROOF_MS = 23_000;
/** The same for what can be served without the origin. */
const SHORT_PROOF_MS = 8_000;
const SHORT_PATIENCE_MS = 3_000;
/** An origin that did not answer is not asked again for what can be served without it, for a moment. */
const DOWN_MS = 5_000;

/**
 * Asks origins whether a caller may read something, with that caller's own credentials. Equal questions of equal callers
 * at once are one; a yes becomes a grant, a no is remembered for a moment, everything else is neither.
 */
export class Proofs {
  readonly #options: ProofsOptions;
  readonly #refusals: Refusals;
  /** By caller and registry: an account that has no pulls left says nothing of others. */
  readonly #down = new LRUCache<string, OriginDown>({ max: 1_000, ttl: DOWN_MS });
  readonly #manifests = new SharedFlight<ManifestHead>();
  readonly #blobs = new SharedFlight<{ sizeBytes: number }>();

  constructor(options: ProofsOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.ttlMs);
  }

  /** How old may be what says that a caller's credentials are good. */
  get maxAgeMs(): number {
    return this.#options.ttlMs;
  }

  /** Asks for this very reference. @throws OciError see `RegistryClient.headManifest` */
  async manifest(subject: Subject, reference: Reference, accept: readonly string[]): Promise<ManifestHead> {
    const { client, place } = subject;
    const object = `${formatReference(reference)} ${accept.join()}`;
    const { grants, publicPlaces } = this.#options;
    const isAnonymous = subject.credential.key === ANONYMOUS.key;
    return await this.#manifests.run(keyOf(subject, object), async () => {
      try {
        const head = await this.#ask(subject, object, (options) =>
          client.registry.headManifest(place.repository, reference, { accept, ...options }),
        );
        grants.manifest(holderOf(subject), head.digest, this.#endOf(head));
        if (isAnonymous) publicPlaces.proved(place, reference, head.digest);
        return head;
      } catch (error) {
        if (isAnonymous && isNo(OciError.from(error))) publicPlaces.gone(place, reference);
        throw error;
      }
    });
  }

  /** The repository has changed: refusals in it are void. */
  changed(place: Place): void {
    this.#refusals.forget(place);
  }

  /**
   * Asks for a blob; of a repository that may be read it is asked as if the blob were fetched, by GET, and a no is not
   * remembered either: else one could see by what the question costs whether another repository's copy is here.
   *
   * @throws OciError see `RegistryClient.headBlob`
   */
  async blob(subject: Subject, digest: Digest, question: Asking): Promise<{ sizeBytes: number }> {
    const { client, place } = subject;
    const { registry } = client;
    const { as, sizeIfUntold } = question;
    return await this.#blobs.run(keyOf(subject, `${as} ${digest}`), async () => {
      const yes = await this.#ask(subject, as === 'fetch' ? undefined : digest, (options) =>
        as === 'fetch'
          ? registry.touchBlob(place.repository, digest, { ...options, sizeIfUntold })
          : registry.headBlob(place.repository, digest, { ...options, sizeIfUntold }),
      );
      this.#options.grants.blob(holderOf(subject), digest, this.#endOf(yes));
      return yes;
    });
  }

  /** A proof holds as long as proofs do, counted from when the credentials were seen to be good, and no longer than they. */
  #endOf({ sinceMs, untilMs }: Yes): number {
    return Math.min(sinceMs + this.#options.ttlMs, untilMs);
  }

  /** @param object what is remembered to be refused; undefined: nothing is */
  async #ask<T>(subject: Subject, object: string | undefined, ask: (options: Options) => Promise<T>): Promise<T> {
    const holder = holderOf(subject);
    const refused = object === undefined ? undefined : this.#refusals.find(holder, object);
    if (refused) throw refused;
    const { credential, isReplaceable } = subject;
    const asked = `${credential.key} ${subject.place.registry}`;
    const down = isReplaceable ? this.#down.get(asked) : undefined;
    if (down) throw down;
    const signal = AbortSignal.timeout(isReplaceable ? SHORT_PROOF_MS : PROOF_MS);
    const patienceMs = isReplaceable ? SHORT_PATIENCE_MS : undefined;
    try {
      const yes = await ask({ credential, maxAgeMs: this.#options.ttlMs, patienceMs, signal });
      this.#down.delete(asked);
      this.#options.report('yes');
      return yes;
    } catch (reason) {
      const error = signal.aborted ? new OriginDown(reason) : OciError.from(reason);
      this.#options.report(isNo(error) ? 'no' : 'unknown');
      if (error.denied && object !== undefined) this.#remember(holder, object, error);
      if (error instanceof OriginDown) this.#down.set(asked, error);
      else this.#down.delete(asked);
      throw error;
    }
  }

  #remember(holder: Holder, object: string, error: OciError): void {
    this.#refusals.refused(holder, object, error);
    // Some registries refuse what is not there. That must not close a repository that was open a moment ago.
    const isOpen = this.#options.grants.repositoryEnd(holder, new Uint8Array()) > 0;
    if (holder.caller !== ANONYMOUS.key || isOpen) return;
    this.#options.publicPlaces.refused(holder.place);
    if (error.code === 'UNAUTHORIZED') this.#refusals.closed(holder, error);
  }
}

function isNo(error: OciError): boolean {
  return error.denied || error.code === 'MANIFEST_UNKNOWN' || error.code === 'BLOB_UNKNOWN';
}

function holderOf({ credential, place }: Subject): Holder {
  return { caller: credential.key, place };
}

function keyOf({ credential, place: { registry, repository } }: Subject, object: string): string {
  return `${credential.key} ${registry}/${repository} ${object}`;
}
