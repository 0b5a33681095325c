import { every } from '../../service/every.ts';
import type { Totals } from '../admin/totals.ts';

/** What happened within one span of time. */
export interface Span extends Totals {
  /** Its end, in ms since 1970. */
  readonly endsAtMs: number;
}

export interface HistoryOptions {
  readonly totals: () => Promise<Totals>;
  readonly everyMs?: number;
  /** Spans that are kept. */
  readonly size?: number;
}

const EVERY_MS = 30_000;
/** A day, in 250 KiB. */
const SIZE = 2_880;

/** What a replica did within the last day, span by span; in memory, so it begins with the process. */
export class History implements Disposable {
  readonly #options: HistoryOptions;
  readonly #size: number;
  readonly #spans: Span[] = [];
  readonly #sampling: Disposable;
  #before: Totals | undefined;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#size = options.size ?? SIZE;
    this.#sampling = every(options.everyMs ?? EVERY_MS, () => this.sample(), ignore);
  }

  /** Ends a span now. */
  async sample(): Promise<void> {
    const now = await this.#options.totals();
    const before = this.#before ?? { hits: 0, misses: 0, servedBytes: 0, originBytes: 0, originRequests: 0 };
    this.#spans.push({ ...differenceOf(now, before), endsAtMs: Date.now() });
    this.#before = now;
    if (this.#spans.length > this.#size) this.#spans.shift();
  }

  /** At most so many spans, the oldest first: as many neighbours are put together as need be. */
  spans(count: number): Span[] {
    const together = Math.max(1, Math.ceil(this.#spans.length / count));
    // Counted from the newest one, so that no bar changes its neighbours with each sample.
    const first = this.#spans.length % together;
    const groups = first > 0 ? [this.#spans.slice(0, first)] : [];
    for (let at = first; at < this.#spans.length; at += together) groups.push(this.#spans.slice(at, at + together));
    return groups.slice(-count).map((group) => group.reduce(sumOf));
  }

  [Symbol.dispose](): void {
    this.#sampling[Symbol.dispose]();
  }
}

/** Metrics that cannot be read leave a gap; whoever scrapes them is told. */
function ignore(): void {}

function differenceOf(now: Totals, before: Totals): Totals {
  return {
    hits: now.hits - before.hits,
    misses: now.misses - before.misses,
    servedBytes: now.servedBytes - before.servedBytes,
    originBytes: now.originBytes - before.originBytes,
    originRequests: now.originRequests - before.originRequests,
  };
}

function sumOf(a: Span, b: Span): Span {
  return {
    hits: a.hits + b.hits,
    misses: a.misses + b.misses,
    servedBytes: a.servedBytes + b.servedBytes,
    originBytes: a.originBytes + b.originBytes,
    originRequests: a.originRequests + b.originRequests,
    endsAtMs: b.endsAtMs,
  };
}
