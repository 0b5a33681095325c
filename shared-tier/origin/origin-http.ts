import { setTimeout as delay } from 'node:timers/promises';
import { type Dispatcher, errors } from 'undici';
import { OciError } from '../../oci/error.ts';
import type { Registry, Repository } from '../../oci/reference.ts';
import type { AddressGuard } from './address-guard.ts';
import { parseChallenges } from './challenge.ts';
import { PrivateAddressError, assertDialable } from './dispatcher.ts';
import type { Origin } from './origin.ts';
import { AnonymousTokens } from './tokens.ts';

export type OriginKind = 'manifest' | 'blob' | 'token';

/** One request was answered (status) or not (0). */
export type ObserveOrigin = (event: {
  origin: Origin;
  kind: OriginKind;
  method: 'GET' | 'HEAD';
  status: number;
}) => void;

export interface OriginRequest {
  readonly method: 'GET' | 'HEAD';
  readonly kind: OriginKind;
  readonly repository: Repository;
  /** Below /v2/<repository>/, built from parsed values only. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export type OriginResponse = Dispatcher.ResponseData;

export interface OriginHttpOptions {
  readonly origin: Origin;
  readonly guard: AddressGuard;
  /** For blobs. */
  readonly bulk: Dispatcher;
  /** For questions, which must not wait behind blobs. */
  readonly control: Dispatcher;
  readonly observe: ObserveOrigin;
  /** The registry, or where it redirects to, has a private address that the operator did not list. */
  readonly refused: (registry: Registry) => void;
  /** How long a request may wait for an origin that limits or fails, all tries together; 20 s unless given. */
  readonly patienceMs?: number | undefined;
}

const MAX_REDIRECTS = 5;
const MAX_ERROR_BYTES = 64 * 1024;
const MAX_TOKEN_BYTES = 64 * 1024;
const PATIENCE_MS = 20_000;
const MAX_WAITING = 1_000;

/** HTTP to one registry: tokens, redirects, retries. Answers are 200, 206, or an OciError. */
export class OriginHttp {
  readonly origin: Origin;
  readonly #options: OriginHttpOptions;
  readonly #tokens: AnonymousTokens;
  #waiting = 0;

  constructor(options: OriginHttpOptions) {
    this.#options = options;
    this.origin = options.origin;
    this.#tokens = new AnonymousTokens(options.origin, (url) => this.#fetchToken(url));
  }

  /**
   * @throws OciError MANIFEST_UNKNOWN or BLOB_UNKNOWN when the origin says no (400, 401, 403, 404: they cannot be told
   *   apart on purpose); RANGE_INVALID (416); UNAVAILABLE for everything that is neither yes nor no
   */
  async request(request: OriginRequest): Promise<OriginResponse> {
    const deadline = performance.now() + (this.#options.patienceMs ?? PATIENCE_MS);
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#try(request);
      if (!(outcome instanceof RetryLater)) return outcome;
      const waitMs = outcome.waitMs(attempt);
      if (waitMs === undefined || performance.now() + waitMs > deadline || this.#waiting >= MAX_WAITING) {
        throw new OciError('UNAVAILABLE', 'the origin does not answer now', { cause: outcome.cause });
      }
      this.#waiting += 1;
      try {
        await delay(waitMs, undefined, { signal: request.signal });
      } finally {
        this.#waiting -= 1;
      }
    }
  }

  async #try(request: OriginRequest): Promise<OriginResponse | RetryLater> {
    try {
      return await this.#authorized(request);
    } catch (error) {
      if (error instanceof RetryLater) return error;
      request.signal.throwIfAborted();
      if (error instanceof PrivateAddressError) this.#options.refused(this.origin.registry);
      if (!isTransient(error)) throw OciError.from(error);
      return new RetryLater('broken', error);
    }
  }

  async #authorized(request: OriginRequest): Promise<OriginResponse> {
    const known = this.#tokens.known(request.repository);
    const first = await this.#follow(request, known);
    if (first.statusCode !== 401) return await this.#judge(request, first);
    if (known !== undefined) this.#tokens.forget(request.repository, known);
    const bearer = parseChallenges(first.headers['www-authenticate']).find(({ scheme }) => scheme === 'bearer');
    await discard(first); // now: whatever becomes of the token, its connection is needed again
    const token = bearer && (await this.#tokens.obtain(request.repository, bearer));
    if (token === undefined) return await this.#judge(request, first);
    return await this.#judge(request, await this.#follow(request, token));
  }

  /** Sends the request and goes where it is redirected; the token goes to the registry's own endpoint only. */
  async #follow(request: OriginRequest, token: string | undefined): Promise<OriginResponse> {
    const start = new URL(`/v2/${request.repository}/${request.path}`, this.origin.endpoint);
    let url = start;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      const response = await this.#send(request, url, url.origin === start.origin ? token : undefined);
      const { location } = response.headers;
      if (!isRedirect(response.statusCode) || typeof location !== 'string' || !URL.canParse(location, url.href)) {
        return response;
      }
      await discard(response);
      url = new URL(location, url);
    }
    throw new OciError('UNAVAILABLE', 'the origin redirects too often');
  }

  async #send(request: OriginRequest, url: URL, token: string | undefined): Promise<OriginResponse> {
    assertDialable(url, this.#options);
    const { origin, bulk, control, observe } = this.#options;
    const { kind, method, headers, signal } = request;
    try {
      const response = await (kind === 'blob' && method === 'GET' ? bulk : control).request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: {
          'user-agent': 'circ',
          'accept-encoding': 'identity',
          ...headers,
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        signal,
      });
      observe({ origin, kind, method, status: response.statusCode });
      return response;
    } catch (error) {
      if (!signal.aborted) observe({ origin, kind, method, status: 0 });
      throw error;
    }
  }

  async #judge(request: OriginRequest, response: OriginResponse): Promise<OriginResponse> {
    const { statusCode, headers } = response;
    // A part that nobody asked for would be taken for the whole.
    if (statusCode === 200 || (statusCode === 206 && 'range' in request.headers)) return response;
    await discard(response);
    if (statusCode === 416) throw new OciError('RANGE_INVALID', 'the origin has no such range');
    if ([400, 401, 403, 404].includes(statusCode)) {
      const code = request.kind === 'blob' ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN';
      throw new OciError(code, `${request.kind} unknown`, { denied: statusCode !== 404 });
    }
    if (statusCode === 405 && request.method === 'HEAD' && request.kind === 'blob') {
      throw new OciError('BLOB_UNKNOWN', 'blob unknown', { denied: true }); // it refuses the question; a GET tells more
    }
    const status = new Error(`the origin answered ${statusCode}`);
    if (statusCode === 429 || statusCode >= 500) throw RetryLater.fromStatus(statusCode, headers, status);
    throw new OciError('UNAVAILABLE', 'the origin gave no usable answer', { cause: status });
  }

  async #fetchToken(url: URL): Promise<unknown> {
    assertDialable(url, this.#options);
    const signal = AbortSignal.timeout(10_000); // shared by callers, so none of their signals may end it
    const { origin, control, observe } = this.#options;
    const response = await control.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'GET',
      headers: { 'user-agent': 'circ', accept: 'application/json' },
      signal,
    });
    observe({ origin, kind: 'token', method: 'GET', status: response.statusCode });
    if (response.statusCode !== 200) {
      await discard(response);
      if (response.statusCode === 429 || response.statusCode >= 500) {
        const cause = new Error(`the token endpoint answered ${response.statusCode}`);
        throw RetryLater.fromStatus(response.statusCode, response.headers, cause);
      }
      return undefined;
    }
    const text = (await readBody(response, MAX_TOKEN_BYTES)).toString('utf8');
    try {
      return JSON.parse(text) as unknown;
    } catch {
      return undefined; // a login page, say: there is no token to be had
    }
  }
}

/** Reads a body that must be small. @throws OciError UNAVAILABLE when it is larger */
export async function readBody({ body }: OriginResponse, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBytes) throw new OciError('UNAVAILABLE', 'the origin sent more than such an object may have');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** A body that nobody wants is read to its end if it is short, so that the connection can be used again. */
export async function discard({ body }: OriginResponse): Promise<void> {
  await body.dump({ limit: MAX_ERROR_BYTES }).catch(() => undefined);
}

/** Not an answer; the same question may be asked again. */
class RetryLater extends Error {
  readonly #reason: 'busy' | 'broken';
  readonly #afterMs: number;

  constructor(reason: 'busy' | 'broken', cause: unknown, afterMs = 0) {
    super('retry later', { cause });
    this.#reason = reason;
    this.#afterMs = afterMs;
  }

  static fromStatus(status: number, headers: OriginResponse['headers'], cause: unknown): RetryLater {
    const isBusy = status === 429 || status === 503;
    return new RetryLater(isBusy ? 'busy' : 'broken', cause, retryAfterMs(headers['retry-after']));
  }

  /**
   * A busy origin is asked again with patience, because a herd that is sent to it instead makes it busier. What is
   * broken gets one more try: the client can still go to the origin itself, and should soon.
   */
  waitMs(attempt: number): number | undefined {
    if (this.#reason === 'broken' && attempt > 1) return undefined;
    const backoffMs = this.#reason === 'busy' ? 250 * 2 ** (attempt - 1) : 100;
    return Math.max(this.#afterMs, backoffMs) * (1 + Math.random() / 4);
  }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}

/** Seconds or a date (RFC 9110 section 10.2.3). */
function retryAfterMs(header: string | string[] | undefined): number {
  if (typeof header !== 'string') return 0;
  const seconds = Number(header);
  const waitMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - Date.now();
  return Number.isFinite(waitMs) && waitMs > 0 ? waitMs : 0;
}

/** The connection failed; whether the registry would say yes or no is not known. */
function isTransient(error: unknown): boolean {
  // Ten seconds of silence are enough of a try.
  if (error instanceof OciError || error instanceof errors.HeadersTimeoutError) return false;
  return error instanceof errors.UndiciError || OciError.from(error).code === 'UNAVAILABLE';
}
