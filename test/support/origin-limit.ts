import type { Caller } from './origin-access.ts';
import { sendError } from './origin-send.ts';
import type { Exchange } from './origin-server.ts';

/** How many pulls there are in the window, and what who has none left is told. */
export interface PullLimitRules {
  anonymous: number;
  user: number;
  windowSeconds: number;
  retryAfterSeconds: number;
}

/**
 * Counts pulls as Docker Hub does: a GET of a manifest is one, a HEAD is free.
 * @see https://docs.docker.com/docker-hub/usage/pulls/
 */
export class PullLimit {
  readonly rules: PullLimitRules = { anonymous: 100, user: 200, windowSeconds: 21_600, retryAfterSeconds: 60 };
  readonly #used = new Map<string, number>();

  /** Pulls that were counted for a user; for the anonymous ones, without a name. */
  counted(name = ''): number {
    return this.#used.get(name) ?? 0;
  }

  /** Counts the request if it is a pull, and tells how many are left. False: none was, and that has been answered. */
  take(exchange: Exchange, caller: Caller): boolean {
    const { request, response, record } = exchange;
    if (record.kind !== 'manifest') return true;
    const name = typeof caller === 'string' ? '' : caller.name;
    const { anonymous, user, windowSeconds, retryAfterSeconds } = this.rules;
    const allowed = name === '' ? anonymous : user;
    const isPull = request.method === 'GET';
    if (isPull && this.counted(name) >= allowed) {
      sendError(exchange, 429, 'TOOMANYREQUESTS', { 'retry-after': retryAfterSeconds });
      return false;
    }
    if (isPull) this.#used.set(name, this.counted(name) + 1);
    response.setHeader('ratelimit-limit', `${allowed};w=${windowSeconds}`);
    response.setHeader('ratelimit-remaining', `${allowed - this.counted(name)};w=${windowSeconds}`);
    return true;
  }
}

/** Answers 429 to whatever comes beyond so many requests a second, as the gateway before a registry does. */
export class RateLimit {
  /** Requests that were refused. */
  refused = 0;
  readonly #perSecond: number;
  #left: number;
  #atMs = performance.now();

  /** @param perSecond as many may also come at once after a pause */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** Counts the request. False: it was one too many, and that has been answered. */
  take(exchange: Exchange): boolean {
    const now = performance.now();
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = now;
    if (this.#left >= 1) {
      this.#left -= 1;
      return true;
    }
    this.refused += 1;
    sendError(exchange, 429, 'TOOMANYREQUESTS');
    return false;
  }
}
