import { errors } from 'undici';
import { OciError } from '../../oci/error.ts';
import type { OriginResponse } from './response.ts';

/** The origin cannot be reached, is broken, or limits for longer than one can wait: it has said neither yes nor no. */
export class OriginDown extends OciError {
  constructor(cause: unknown) {
    super('UNAVAILABLE', 'the origin does not answer now', { cause });
  }
}

/** Not an answer; the same question may be asked again. */
export class RetryLater extends Error {
  readonly #reason: 'limited' | 'busy' | 'broken';
  /** How long the origin wants to be left alone. */
  readonly afterMs: number;

  constructor(reason: 'limited' | 'busy' | 'broken', cause: unknown, afterMs = 0) {
    super('retry later', { cause });
    this.#reason = reason;
    this.afterMs = afterMs;
  }

  /** @param whose for the log: who answered */
  static fromAnswer({ statusCode, headers }: OriginResponse, whose: string): RetryLater {
    const reason = statusCode === 429 ? 'limited' : statusCode === 503 ? 'busy' : 'broken';
    const cause = new Error(`${whose} answered ${statusCode}`);
    return new RetryLater(reason, cause, retryAfterMs(headers['retry-after']));
  }

  static isFor({ statusCode }: OriginResponse): boolean {
    return statusCode === 429 || statusCode >= 500;
  }

  /** 429: the origin has had enough of this caller, or of this address. */
  get isLimit(): boolean {
    return this.#reason === 'limited';
  }

  /**
   * How long to wait where there is no queue: a busy origin is asked again with patience, what is broken gets one more
   * try, because the client can still go to the origin itself, and should soon.
   */
  waitMs(attempt: number): number | undefined {
    if (this.isBroken && attempt > 1) return undefined;
    const backoffMs = this.isBroken ? 100 : 250 * 2 ** (attempt - 1);
    return Math.max(this.afterMs, backoffMs) * (1 + Math.random() / 4);
  }

  /** It, or the way to it, fails. Else it is there, and asks for patience. */
  get isBroken(): boolean {
    return this.#reason === 'broken';
  }
}

/** The connection failed; whether the registry would say yes or no is not known. */
export function isTransient(error: unknown): boolean {
  return !(error instanceof OciError) && (error instanceof errors.UndiciError || isTransport(error));
}

function isTransport(error: unknown): boolean {
  return OciError.from(error).code === 'UNAVAILABLE';
}

/** Seconds or a date (RFC 9110 section 10.2.3). */
function retryAfterMs(header: string | string[] | undefined): number {
  if (typeof header !== 'string') return 0;
  const seconds = Number(header);
  const waitMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(waitMs) && waitMs > 0 ? waitMs : 0;
}
