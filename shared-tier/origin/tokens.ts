import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import type { Authorization } from '../../oci/authorization.ts';
import type { Repository } from '../../oci/reference.ts';
import type { Challenge } from './challenge.ts';
import type { Credential } from './credential.ts';
import type { Origin } from './origin.ts';
import { realmOf } from './realm.ts';

/** What a token is asked for with. */
export interface TokenQuestion {
  readonly realm: URL;
  readonly service: string | undefined;
  readonly scope: string;
  /** Basic, or none for an anonymous token. */
  readonly authorization: Authorization | undefined;
}

/** Asks a token endpoint and gives its JSON; undefined when it refuses. */
export type AskForToken = (question: TokenQuestion) => Promise<unknown>;

export interface Token {
  readonly value: string;
  /** When it was asked for: its owner's credentials were good then. Of `performance.now()`, as the end. */
  readonly sinceMs: number;
  readonly untilMs: number;
}

const MAX_TOKENS = 10_000;
const DEFAULT_LIFE_S = 60; // https://distribution.github.io/distribution/spec/auth/token/
const MAX_LIFE_S = 3_600;
/** A token is given up this much before its end, so that it does not expire on its way. */
const MARGIN_MS = 5_000;

/**
 * Tokens that one registry's token service gave, one for each credential and scope, until they expire. A token says of
 * its owner's credentials only that they were good when it was asked for: who wants to know whether they still are says
 * how old it may be.
 */
export class Tokens {
  readonly #tokens = new LRUCache<string, Token>(atMost(MAX_TOKENS));
  /** What a repository's challenge led to: its scope need not be the repository's own. */
  readonly #scopes = new LRUCache<Repository, string>(atMost(MAX_TOKENS));
  readonly #asking = new Map<string, { sinceMs: number; answer: Promise<Token | undefined> }>();
  readonly #origin: Origin;
  readonly #ask: AskForToken;
  readonly #actions: string;

  /** @param actions what the tokens are for, where a challenge does not say it */
  constructor(origin: Origin, ask: AskForToken, actions = 'pull') {
    this.#origin = origin;
    this.#ask = ask;
    this.#actions = actions;
  }

  /** The token for the repository that is known to be valid now. */
  known({ key }: Credential, repository: Repository, maxAgeMs: number): Token | undefined {
    const token = this.#tokens.get(keyOf(key, this.#scopes.get(repository) ?? ''));
    const now = performance.now();
    return token && token.untilMs > now && now - token.sinceMs < maxAgeMs ? token : undefined;
  }

  /** A token refused by the registry is not used again. */
  forget({ key }: Credential, repository: Repository, token: Token): void {
    const name = keyOf(key, this.#scopes.get(repository) ?? '');
    if (this.#tokens.peek(name) === token) this.#tokens.delete(name);
  }

  /** Answers a Bearer challenge; equal ones at once share one exchange. Undefined when there is no token to be had. */
  async obtain(
    credential: Credential,
    repository: Repository,
    challenge: Challenge,
    maxAgeMs: number,
  ): Promise<Token | undefined> {
    const question = this.#question(credential, repository, challenge);
    if (!question) return undefined;
    const name = keyOf(credential.key, scopeOf(question));
    this.#scopes.set(repository, scopeOf(question));
    // Another request may have got one while this one was refused, or be about to.
    const known = this.known(credential, repository, maxAgeMs);
    const running = this.#asking.get(name);
    if (known) return known;
    if (running && performance.now() - running.sinceMs < maxAgeMs) return await running.answer;
    const sinceMs = performance.now();
    const asking = { sinceMs, answer: this.#exchange(name, question, sinceMs) };
    this.#asking.set(name, asking);
    try {
      return await asking.answer;
    } finally {
      if (this.#asking.get(name) === asking) this.#asking.delete(name);
    }
  }

  async #exchange(name: string, question: TokenQuestion, sinceMs: number): Promise<Token | undefined> {
    const answer = await this.#ask(question);
    if (typeof answer !== 'object' || answer === null) return undefined;
    const { token, access_token: accessToken, expires_in: expiresIn } = answer as Record<string, unknown>;
    const value = typeof token === 'string' ? token : accessToken;
    // A token is put into a header: anything but its own alphabet is no token.
    if (typeof value !== 'string' || !/^[\w.~+/=:-]{1,16384}$/.test(value)) return undefined;
    const lifeS = typeof expiresIn === 'number' && expiresIn > 0 ? Math.min(expiresIn, MAX_LIFE_S) : DEFAULT_LIFE_S;
    const made: Token = { value, sinceMs, untilMs: performance.now() + lifeS * 1000 - MARGIN_MS };
    this.#tokens.set(name, made);
    return made;
  }

  #question({ authorization }: Credential, repository: Repository, challenge: Challenge): TokenQuestion | undefined {
    const realm = realmOf(this.#origin, challenge);
    if (!realm) return undefined;
    const { parameters } = challenge;
    const scope = parameters.get('scope') ?? `repository:${repository}:${this.#actions}`;
    return { realm, service: parameters.get('service'), scope, authorization };
  }
}

function scopeOf({ realm, service, scope }: TokenQuestion): string {
  return JSON.stringify([realm.href, service, scope]);
}

function keyOf(credential: string, scope: string): string {
  return `${credential} ${scope}`;
}
