import { LRUCache } from 'lru-cache';
import { atMost } from '../../content/at-most.ts';
import { Authorization } from '../../oci/authorization.ts';
import type { Repository } from '../../oci/reference.ts';
import { parseChallenges } from './challenge.ts';
import type { Credential } from './credential.ts';
import type { Origin } from './origin.ts';
import { type AskForToken, type Token, Tokens } from './tokens.ts';

/** What a request is signed with, and what that tells of its caller when the origin says yes. */
export interface Signature {
  /** Undefined: a bare request. */
  readonly authorization: Authorization | undefined;
  /** The caller's credentials were good at this moment; nothing is known of later ones. In ms since 1970, as the end. */
  readonly sinceMs: number;
  /** Until when they can be good at all. */
  readonly untilMs: number;
  /** The token that was got in exchange. */
  readonly token?: Token;
}

/** What is needed to sign a request. */
export interface Unsigned {
  readonly credential: Credential;
  readonly repository: Repository;
  /** How old a token may be whose acceptance is to say something of its owner's credentials. */
  readonly maxAgeMs: number;
}

const MAX_CHALLENGES = 10_000;

/**
 * Signs the requests to one origin as its clients would: first bare, then with what its challenge asks for. A password
 * is shown to the registry only where that asks for it, else to its token service; a caller's token is passed on as it is.
 */
export class Signer {
  readonly #tokens: Tokens;
  /** With what a bare request for a repository was challenged, and when. */
  readonly #challenges = new LRUCache<Repository, { lines: readonly string[]; atMs: number }>(atMost(MAX_CHALLENGES));

  /** @param actions see `Tokens` */
  constructor(origin: Origin, ask: AskForToken, actions?: string) {
    this.#tokens = new Tokens(origin, ask, actions);
  }

  /** What the request is signed with as far as that is known now; a bare one brings the challenge. */
  first({ credential, repository, maxAgeMs }: Unsigned): Signature {
    const { authorization } = credential;
    if (authorization && !authorization.basic) return own(authorization);
    const token = this.#tokens.known(credential, repository, maxAgeMs);
    if (token) return ofToken(token);
    const asked = this.#challenges.get(repository);
    const isFresh = asked !== undefined && performance.now() - asked.atMs < maxAgeMs;
    return authorization && isFresh && schemeOf(asked.lines) === 'basic' ? own(authorization) : bare();
  }

  /** The same for a request whose body can be sent once: what is known to be challenged is not tried bare. @throws as `next` */
  async prepared(request: Unsigned): Promise<Signature> {
    const signature = this.first(request);
    const lines = signature.authorization ? undefined : this.challengeOf(request.repository);
    return (lines && (await this.next(request, signature, lines))) ?? signature;
  }

  /** A token that was taken before and is not any more: it may have died, so that all begins anew with a bare request. */
  forget({ credential, repository }: Unsigned, token: Token): Signature {
    this.#tokens.forget(credential, repository, token);
    return bare();
  }

  /**
   * What to sign with after a 401 with this challenge; undefined when there is nothing (better) to be had.
   *
   * @throws RetryLater when the token service has said neither yes nor no
   */
  async next(request: Unsigned, refused: Signature, lines: readonly string[]): Promise<Signature | undefined> {
    const { credential, repository, maxAgeMs } = request;
    const { authorization } = credential;
    if (authorization && !authorization.basic) return undefined;
    this.#challenges.set(repository, { lines, atMs: performance.now() });
    if (schemeOf(lines) === 'basic') return authorization && !refused.authorization ? own(authorization) : undefined;
    const bearer = parseChallenges(lines)?.find(({ scheme }) => scheme === 'bearer');
    const token = bearer && (await this.#tokens.obtain(credential, repository, bearer, maxAgeMs));
    return token && ofToken(token);
  }

  /** The challenge of a bare request for the repository; undefined when none was seen. */
  challengeOf(repository: Repository): readonly string[] | undefined {
    return this.#challenges.get(repository)?.lines;
  }
}

/** Bearer before Basic, as clients have it: a token tells less than a password. */
function schemeOf(lines: readonly string[]): 'bearer' | 'basic' | undefined {
  const schemes = parseChallenges(lines)?.map(({ scheme }) => scheme);
  return (['bearer', 'basic'] as const).find((each) => schemes?.includes(each));
}

function bare(): Signature {
  return { authorization: undefined, sinceMs: Date.now(), untilMs: Infinity };
}

function own(authorization: Authorization): Signature {
  return { authorization, sinceMs: Date.now(), untilMs: authorization.expiresAtMs ?? Infinity };
}

function ofToken(token: Token): Signature {
  const origin = Date.now() - performance.now();
  const authorization = Authorization.bearer(token.value);
  return { authorization, sinceMs: origin + token.sinceMs, untilMs: origin + token.untilMs, token };
}
