import { setTimeout as delay } from 'node:timers/promises';
import { type Dispatcher, errors } from 'undici';
import { OciError } from '../../oci/error.ts';
import type { AddressGuard } from './address-guard.ts';
import { challengeLines } from './challenge.ts';
import { PrivateAddressError, assertDialable } from './dispatcher.ts';
import type { Origin, Unlisted } from './origin.ts';
import { type ObserveOrigin, type OriginResponse, discard } from './response.ts';
import { OriginQueue, type Ticket } from './origin-queue.ts';
import { foreignRealm } from './realm.ts';
import { type Asked, refusalOf, unknown } from './refusal.ts';
import { OriginDown, RetryLater, isTransient } from './retry.ts';
import { type Signature, type Unsigned, Signer } from './signer.ts';
import type { Slots } from '../slots.ts';
import { TokenEndpoint } from './token-endpoint.ts';

export interface OriginRequest extends Unsigned {
  readonly method: 'GET' | 'HEAD';
  readonly kind: Asked;
  /** What matters is the answer, not its body: true unless it is the GET of a blob. */
  readonly isQuestion: boolean;
  /** Below /v2/<repository>/, built from parsed values only. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** How long it may wait for an origin that limits or fails, all tries together; 23 s unless given. */
  readonly patienceMs?: number | undefined;
  readonly signal: AbortSignal;
}

/** An answer that is a yes, and how long the credentials that it was given to have been, and can be, good. */
export interface OriginAnswer extends Pick<Signature, 'sinceMs' | 'untilMs'> {
  readonly response: OriginResponse;
}

/** What came of a request and its redirects. */
interface Followed {
  readonly response: OriginResponse;
  readonly signature: Signature;
  /** The registry itself has answered, not a host that it redirected to. */
  readonly isRegistry: boolean;
}

export interface OriginHttpOptions {
  readonly origin: Origin;
  readonly guard: AddressGuard;
  /** For blobs, in both directions. */
  readonly bulk: Dispatcher;
  /** Whose turn it is there, by repository. */
  readonly turns: Slots;
  /** For questions, which must not wait behind blobs. */
  readonly control: Dispatcher;
  /** How many HEADs are under way at once, 4 unless given: as many as there are connections for them. */
  readonly questionsAtOnce?: number;
  readonly observe: ObserveOrigin;
  /** Something leads to a host that the operator did not list. */
  readonly unlisted: (unlisted: Unlisted) => void;
  /** See `OriginRequest`. */
  readonly patienceMs?: number | undefined;
}

const MAX_REDIRECTS = 5;
const QUESTIONS_AT_ONCE = 4;
/** A little less than an agent waits, and more than a thousand nodes need at fifty answers a second. */
const PATIENCE_MS = 23_000;

/** HTTP to one registry: credentials, redirects, retries. Answers are 200, 206, or an OciError. */
export class OriginHttp {
  readonly origin: Origin;
  readonly #options: OriginHttpOptions;
  readonly #signer: Signer;
  readonly #queue: OriginQueue;

  constructor(options: OriginHttpOptions) {
    this.#options = options;
    this.origin = options.origin;
    this.#queue = new OriginQueue(options.questionsAtOnce ?? QUESTIONS_AT_ONCE);
    const endpoint = new TokenEndpoint(options);
    this.#signer = new Signer(options.origin, (question) => endpoint.ask(question));
  }

  /**
   * @throws OciError MANIFEST_UNKNOWN or BLOB_UNKNOWN when the origin says no (400, 401, 403, 404; `denied` unless it is
   *   404); UNAUTHORIZED with its challenge when it would ask this caller for (other) credentials; RANGE_INVALID (416);
   *   UNAVAILABLE for everything that is neither yes nor no, as an `OriginDown` when the origin has not answered
   */
  async request(request: OriginRequest): Promise<OriginAnswer> {
    const { kind, method, signal, isQuestion } = request;
    const patienceMs = request.patienceMs ?? this.#options.patienceMs ?? PATIENCE_MS;
    const deadlineMs = performance.now() + patienceMs;
    const isFirst = method === 'GET' && (kind !== 'blob' || !isQuestion);
    const ticket = this.#queue.ticket({ isFirst, deadlineMs });
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#inTurn(request, ticket);
      if (!(outcome instanceof RetryLater)) return outcome;
      if (outcome.isBroken) {
        const waitMs = outcome.waitMs(attempt);
        if (waitMs === undefined || performance.now() + waitMs > deadlineMs) throw new OriginDown(outcome.cause);
        await delay(waitMs, undefined, { signal });
      } else {
        this.#askInstead(request, outcome);
        this.#queue.assertHope(ticket, outcome);
      }
    }
  }

  /** An anonymous fetch is over the limit: with credentials of its own the caller is not. */
  #askInstead({ method, credential, repository }: OriginRequest, outcome: RetryLater): void {
    const lines = this.#signer.challengeOf(repository);
    if (!outcome.isLimit || method !== 'GET' || !credential.mayBeAsked || !lines) return;
    const refusal = refusalOf({ origin: this.origin, credential, kind: 'manifest', lines });
    if (refusal.code === 'UNAUTHORIZED') throw refusal;
  }

  /** A turn begins with the request, its redirects and tokens, and ends with the body. */
  async #inTurn(request: OriginRequest, ticket: Ticket): Promise<OriginAnswer | RetryLater> {
    if (request.isQuestion) {
      await this.#queue.enter(ticket, request.signal);
      return await this.#entered(request, ticket);
    }
    const turn = await this.#connectionInTurn(request, ticket);
    try {
      const outcome = await this.#entered(request, ticket);
      const body = outcome instanceof RetryLater ? undefined : outcome.response.body;
      if (body?.closed === false) body.once('close', () => turn[Symbol.dispose]());
      else turn[Symbol.dispose]();
      return outcome;
    } catch (error) {
      turn[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Enters the queue with a connection. Who waits there has none meanwhile, because others may be let in before it; and who
   * waits for one holds up nobody there.
   */
  async #connectionInTurn({ repository, signal }: OriginRequest, ticket: Ticket): Promise<Disposable> {
    const { turns } = this.#options;
    for (;;) {
      const turn = await turns.take(repository, signal);
      if (this.#queue.tryToEnter(ticket)) return turn;
      turn[Symbol.dispose]();
      await this.#queue.enter(ticket, signal);
      const free = turns.tryToTake(repository);
      if (free) return free;
      this.#queue.withdraw(ticket);
    }
  }

  async #entered(request: OriginRequest, ticket: Ticket): Promise<OriginAnswer | RetryLater> {
    let outcome: OriginAnswer | RetryLater | undefined;
    try {
      outcome = await this.#try(request);
      return outcome;
    } finally {
      if (outcome instanceof RetryLater && !outcome.isBroken) this.#queue.limited(ticket, outcome);
      else this.#queue.answered(ticket);
    }
  }

  async #try(request: OriginRequest): Promise<OriginAnswer | RetryLater> {
    try {
      return await this.#authorized(request);
    } catch (error) {
      if (error instanceof RetryLater) return error;
      request.signal.throwIfAborted();
      if (error instanceof PrivateAddressError) this.#options.unlisted({ key: 'redirectHosts', host: error.host });
      // Ten seconds of silence are enough of a try.
      if (error instanceof errors.HeadersTimeoutError) throw new OriginDown(error);
      if (!isTransient(error)) throw OciError.from(error);
      return new RetryLater('broken', error);
    }
  }

  async #authorized(request: OriginRequest): Promise<OriginAnswer> {
    let answer = await this.#follow(request, this.#signer.first(request));
    const { token } = answer.signature;
    if (token && answer.isRegistry && [400, 401, 403].includes(answer.response.statusCode)) {
      await discard(answer.response);
      answer = await this.#follow(request, this.#signer.forget(request, token));
    }
    if (!answer.isRegistry || answer.response.statusCode !== 401) return await this.#judge(request, answer);
    await discard(answer.response); // now: whatever becomes of the token, its connection is needed again
    const signature = await this.#signer.next(request, answer.signature, challengeLines(answer.response));
    return await this.#judge(request, signature ? await this.#follow(request, signature) : answer);
  }

  /** Sends the request and goes where it is redirected; once that is elsewhere, the credentials are left behind. */
  async #follow(request: OriginRequest, signature: Signature): Promise<Followed> {
    const start = new URL(`/v2/${request.repository}/${request.path}`, this.origin.endpoint);
    let url = start;
    let isRegistry = true;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      const response = await this.#send(request, url, isRegistry ? signature : undefined);
      const { location } = response.headers;
      if (!isRedirect(response.statusCode) || typeof location !== 'string' || !URL.canParse(location, url.href)) {
        return { response, signature, isRegistry };
      }
      await discard(response);
      url = new URL(location, url);
      isRegistry &&= url.origin === start.origin;
    }
    throw new OciError('UNAVAILABLE', 'the origin redirects too often');
  }

  async #send(request: OriginRequest, url: URL, signature: Signature | undefined): Promise<OriginResponse> {
    assertDialable(url, this.#options);
    const { origin, bulk, control, observe } = this.#options;
    const { kind, method, headers, signal, isQuestion } = request;
    const { authorization } = signature ?? {};
    try {
      const response = await (isQuestion ? control : bulk).request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: {
          'user-agent': 'circ',
          'accept-encoding': 'identity',
          ...headers,
          ...(authorization && { authorization: authorization.header }),
        },
        signal,
      });
      observe({ origin, kind, method, status: response.statusCode, host: url.host });
      return response;
    } catch (error) {
      if (!signal.aborted) observe({ origin, kind, method, status: 0, host: url.host, error });
      throw error;
    }
  }

  async #judge(request: OriginRequest, { response, signature, isRegistry }: Followed): Promise<OriginAnswer> {
    const { statusCode } = response;
    const { kind, method, credential, repository } = request;
    // A part that nobody asked for would be taken for the whole.
    if (statusCode === 200 || (statusCode === 206 && 'range' in request.headers)) {
      return { response, sinceMs: signature.sinceMs, untilMs: signature.untilMs };
    }
    await discard(response);
    if (statusCode === 416) throw new OciError('RANGE_INVALID', 'the origin has no such range');
    const { origin } = this;
    if (statusCode === 400 || statusCode === 401 || statusCode === 403) {
      // What came in exchange for the caller's credentials was refused: it may be told what a bare request is asked for.
      const isExchanged = signature.authorization !== credential.authorization;
      const lines = isExchanged ? (this.#signer.challengeOf(repository) ?? []) : challengeLines(response);
      const realm = isRegistry ? foreignRealm(origin, lines) : undefined;
      if (realm !== undefined) this.#options.unlisted({ key: 'tokenHosts', host: realm });
      // Where it was redirected to nobody knows the caller: no credentials would help there.
      throw refusalOf({ origin, credential, kind, lines: isRegistry ? lines : [] });
    }
    if (statusCode === 404) throw unknown(kind);
    if (statusCode === 405 && method === 'HEAD' && kind === 'blob') {
      throw refusalOf({ origin, credential, kind, lines: [] }); // it refuses the question; a GET tells more
    }
    if (RetryLater.isFor(response)) throw RetryLater.fromAnswer(response, 'the origin');
    const cause = new Error(`the origin answered ${statusCode}`);
    throw new OciError('UNAVAILABLE', 'the origin gave no usable answer', { cause });
  }
}

function isRedirect(status: number): boolean {
  return [301, 302, 303, 307, 308].includes(status);
}
