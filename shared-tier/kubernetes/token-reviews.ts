import { createHash } from 'node:crypto';
import { ApiException, AuthenticationV1Api, type V1TokenReviewStatus } from '@kubernetes/client-node';
import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { OciError } from '../../oci/error.ts';
import { SharedFlight } from '../shared-flight.ts';
import type { KubernetesApi } from './api.ts';

/** Who somebody is to the Kubernetes API: what its authorization decides by. */
export interface Identity {
  readonly username: string;
  readonly uid: string | undefined;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, string[]>>;
}

export interface TokenReviewsOptions {
  readonly api: KubernetesApi;
  /** What tokens must be made for. */
  readonly audience: string;
  /** How long an answer is believed: so long does a deleted agent's token go on. */
  readonly ttlMs?: number;
}

const TTL_MS = 60_000;
/** A token may become valid, for the API's servers do not all learn of it at once. */
const REFUSED_TTL_MS = 5_000;
const MAX_REMEMBERED = 10_000;
/** Questions at once. More different tokens at once than this is no cluster's start, it is a flood. */
const MAX_ASKING = 100;
const MAX_TOKEN_LENGTH = 16 * 1024;

/**
 * Whose ServiceAccount tokens these are, by TokenReview at the Kubernetes API
 * (https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/). Tokens are kept as
 * hashes only.
 */
export class TokenReviews {
  readonly #client: AuthenticationV1Api;
  readonly #audience: string;
  readonly #ttlMs: number;
  /** An OciError for a token that is not valid. */
  readonly #known = new LRUCache<string, Identity | OciError>(atMost(MAX_REMEMBERED));
  readonly #asking = new SharedFlight<Identity | OciError>();
  #askingCount = 0;

  constructor({ api, audience, ttlMs = TTL_MS }: TokenReviewsOptions) {
    this.#client = api.makeApiClient(AuthenticationV1Api);
    this.#audience = audience;
    this.#ttlMs = ttlMs;
  }

  /** @throws OciError UNAUTHORIZED for a token that is not valid here, UNAVAILABLE when the API cannot be asked */
  async userOf(token: string): Promise<string> {
    return (await this.identityOf(token)).username;
  }

  /** @throws as `userOf` */
  async identityOf(token: string): Promise<Identity> {
    const key = createHash('sha256').update(token).digest('base64');
    const identity = this.#known.get(key) ?? (await this.#asking.run(key, () => this.#ask(key, token)));
    if (identity instanceof OciError) throw identity;
    return identity;
  }

  async #ask(key: string, token: string): Promise<Identity | OciError> {
    if (token.length > MAX_TOKEN_LENGTH) return invalid('it is too long');
    if (this.#askingCount >= MAX_ASKING)
      throw new OciError('UNAVAILABLE', 'too many tokens are being reviewed; try again');
    this.#askingCount += 1;
    try {
      const identity = this.#judge(await this.#review(token));
      const ttl = identity instanceof OciError ? REFUSED_TTL_MS : Math.min(this.#ttlMs, endOf(token) - Date.now());
      if (ttl > 0) this.#known.set(key, identity, { ttl });
      return identity;
    } finally {
      this.#askingCount -= 1;
    }
  }

  async #review(token: string): Promise<V1TokenReviewStatus> {
    const spec = { token, audiences: [this.#audience] };
    try {
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec };
      return (await this.#client.createTokenReview({ body })).status ?? {};
    } catch (error) {
      // An answer's text might repeat the question, and the question is a secret.
      const cause = error instanceof ApiException ? new Error(`the Kubernetes API answered ${error.code}`) : error;
      const may = error instanceof ApiException && error.code === 403;
      const message = may
        ? 'the shared tier’s ServiceAccount may not create tokenreviews.authentication.k8s.io; let it'
        : 'the shared tier cannot ask the Kubernetes API whose token this is';
      throw new OciError('UNAVAILABLE', message, { cause });
    }
  }

  /** An API server that knows nothing of audiences names none: its yes is no yes. */
  #judge({ authenticated, audiences, user, error }: V1TokenReviewStatus): Identity | OciError {
    if (authenticated !== true) return invalid(error);
    if (audiences?.includes(this.#audience) !== true) return invalid('it is for another audience');
    if (user?.username === undefined) return invalid('it has no user');
    const { username, uid, groups = [], extra = {} } = user;
    return { username, uid, groups, extra };
  }
}

function invalid(why: string | undefined): OciError {
  return new OciError(
    'UNAUTHORIZED',
    'the ServiceAccount token is not valid: expired, or not made for the audience in the shared tier’s CIRC_TIER_CLIENTS',
    { cause: new Error(why ?? 'the Kubernetes API does not know it') },
  );
}

/** `exp` of a token that the API has found good, in ms since 1970; Infinity if it has none. */
function endOf(token: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const end = (claims as { exp?: unknown } | null)?.exp;
    return typeof end === 'number' ? end * 1000 : Infinity;
  } catch {
    return Infinity; // not a JWT; the API's word stands
  }
}
