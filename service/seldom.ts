import { LRUCache } from 'lru-cache';

const QUIET_MS = 10 * 60_000;
const MAX_KINDS = 1_000;

/** Keeps a trouble that lasts, a full disk say, from filling the log: it is told at once, and then every 10 minutes. */
export class Seldom {
  readonly #kinds = new LRUCache<string, { toldAtMs: number; since: number }>({ max: MAX_KINDS });

  /** @param tell is called if it is time; `times`: how often it has happened since it was told, this time included */
  happened(kind: string, tell: (times: number) => void): void {
    const now = Date.now();
    const known = this.#kinds.get(kind) ?? { toldAtMs: -Infinity, since: 0 };
    known.since += 1;
    this.#kinds.set(kind, known);
    if (now - known.toldAtMs < QUIET_MS) return;
    tell(known.since);
    known.toldAtMs = now;
    known.since = 0;
  }
}
