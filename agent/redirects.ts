import { setTimeout as delay } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';

export interface RedirectsOptions {
  /** Asks the target whether a client has begun to read from this URL. What it throws counts as no. */
  readonly hasBegun: (url: URL) => Promise<boolean>;
  /** Nobody came: this target gets no more redirects for a while. */
  readonly switchedOff: (target: string) => void;
  /** How long a client may take from the redirect to its read; 5 s unless given. */
  readonly arrivalMs?: number;
}

const ARRIVAL_MS = 5_000;
const LOOKS = 10;
const OFF_MS = 10 * 60_000;
const MAX_TARGETS = 1_000;

/**
 * Decides where clients may be sent. What they can reach is not what the agent can reach: they have a resolver, a proxy
 * and a list of CAs of their own, and where those fail a client waits 30 s for nothing. So one redirect at a time is
 * watched for each target: if the target does not tell within 5 s that the read has begun, it gets no more for 10
 * minutes, and the agent relays. Until the first client has arrived, no second one is sent.
 */
export class Redirects implements Disposable {
  readonly #options: RedirectsOptions;
  readonly #reached = new LRUCache<string, true>({ max: MAX_TARGETS });
  readonly #off = new LRUCache<string, true>({ max: MAX_TARGETS, ttl: OFF_MS });
  readonly #watched = new Set<string>();
  readonly #stop = new AbortController();

  constructor(options: RedirectsOptions) {
    this.#options = options;
  }

  /** May a client be sent to this URL, once, now? */
  take(url: URL): boolean {
    const { host } = url;
    const isWatched = this.#watched.has(host);
    if (this.#off.has(host) || (isWatched && !this.#reached.has(host))) return false;
    if (!isWatched) void this.#watch(url);
    return true;
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  async #watch(url: URL): Promise<void> {
    const { host } = url;
    this.#watched.add(host);
    try {
      if (await this.#arrives(url)) {
        this.#reached.set(host, true);
      } else {
        this.#reached.delete(host);
        this.#off.set(host, true);
        this.#options.switchedOff(host);
      }
    } catch {
      // The agent stops: there is nothing to decide any more.
    } finally {
      this.#watched.delete(host);
    }
  }

  async #arrives(url: URL): Promise<boolean> {
    const { hasBegun, arrivalMs = ARRIVAL_MS } = this.#options;
    const endsAtMs = performance.now() + arrivalMs;
    while (performance.now() < endsAtMs) {
      await delay(arrivalMs / LOOKS, undefined, { signal: this.#stop.signal, ref: false });
      if (await hasBegun(url).catch(() => false)) return true;
    }
    return false;
  }
}
