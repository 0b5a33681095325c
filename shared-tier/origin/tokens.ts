import { LRUCache } from 'lru-cache';
import type { Repository } from '../../oci/reference.ts';
import type { Challenge } from './challenge.ts';
import type { Origin } from './origin.ts';
import { isRealmOf } from './realm.ts';

/** Fetches JSON from a token endpoint; undefined when it refuses. */
export type FetchToken = (url: URL) => Promise<unknown>;

const MAX_TOKENS = 10_000;
const DEFAULT_LIFE_S = 60; // https://distribution.github.io/distribution/spec/auth/token/
const MAX_LIFE_S = 3_600;
/** A token is given up this much before its end, so that it does not expire on its way. */
const MARGIN_MS = 5_000;

/** Anonymous tokens of one registry, kept until they expire. */
export class AnonymousTokens {
  readonly #tokens = new LRUCache<Repository, { value: string; endsAt: number }>({ max: MAX_TOKENS });
  readonly #fetching = new Map<string, Promise<string | undefined>>();
  readonly #origin: Origin;
  readonly #fetch: FetchToken;

  constructor(origin: Origin, fetch: FetchToken) {
    this.#origin = origin;
    this.#fetch = fetch;
  }

  /** The token for pulling from the repository that is known to be valid now. */
  known(repository: Repository): string | undefined {
    const token = this.#tokens.get(repository);
    return token && token.endsAt > performance.now() ? token.value : undefined;
  }

  /** A token refused by the registry is not used again. */
  forget(repository: Repository, token: string): void {
    if (this.#tokens.peek(repository)?.value === token) this.#tokens.delete(repository);
  }

  /** Answers a Bearer challenge; equal ones at once share one exchange. Undefined when there is no token to be had. */
  async obtain(repository: Repository, challenge: Challenge): Promise<string | undefined> {
    const known = this.known(repository); // another request may have got one while this one was refused
    if (known !== undefined) return known;
    const url = tokenUrl(this.#origin, repository, challenge);
    if (!url) return undefined;
    const running = this.#fetching.get(url.href);
    if (running) return await running;
    const fetching = this.#exchange(repository, url).finally(() => this.#fetching.delete(url.href));
    this.#fetching.set(url.href, fetching);
    return await fetching;
  }

  async #exchange(repository: Repository, url: URL): Promise<string | undefined> {
    const answer = await this.#fetch(url);
    if (typeof answer !== 'object' || answer === null) return undefined;
    const { token, access_token: accessToken, expires_in: expiresIn } = answer as Record<string, unknown>;
    const value = typeof token === 'string' ? token : accessToken;
    // A token is put into a header: anything but its own alphabet is no token.
    if (typeof value !== 'string' || !/^[\w.~+/=:-]{1,16384}$/.test(value)) return undefined;
    const lifeS = typeof expiresIn === 'number' && expiresIn > 0 ? Math.min(expiresIn, MAX_LIFE_S) : DEFAULT_LIFE_S;
    this.#tokens.set(repository, { value, endsAt: performance.now() + lifeS * 1000 - MARGIN_MS });
    return value;
  }
}

function tokenUrl(origin: Origin, repository: Repository, { parameters }: Challenge): URL | undefined {
  const realm = parameters.get('realm');
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  if (!isRealmOf(origin, url)) return undefined;
  const service = parameters.get('service');
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', parameters.get('scope') ?? `repository:${repository}:pull`);
  return url;
}
