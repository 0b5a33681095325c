import { setTimeout as delay } from 'node:timers/promises';
import { OciError } from '../../oci/error.ts';
import { TimeLimit } from '../../service/time-limit.ts';
import { Slots } from '../slots.ts';
import { challengeLines } from './challenge.ts';
import { PrivateAddressError, assertDialable } from './dispatcher.ts';
import { givingWay } from './giving-way.ts';
import type { OriginHttpOptions } from './origin-http.ts';
import { OriginRefused } from './origin-refused.ts';
import { isRelayable } from './realm.ts';
import { type OriginResponse, discard } from './response.ts';
import { OriginDown, RetryLater, isTransient } from './retry.ts';
import { type Signature, Signer, type Unsigned } from './signer.ts';
import { TokenEndpoint } from './token-endpoint.ts';

/** On whose behalf something is changed, and for how long that may take. */
export interface Pusher extends Unsigned {
  readonly signal: AbortSignal;
}

/** A change, or a question that belongs to one. */
export interface PushQuestion extends Pusher {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Small enough to be sent again. */
  readonly body?: Uint8Array;
}

/** A body that can be sent once. */
export interface StreamedQuestion extends Omit<PushQuestion, 'body'> {
  readonly body: AsyncIterable<Uint8Array>;
  readonly lengthBytes: number | undefined;
  /** Credentials that are refused are not replaced a second time. */
  readonly isRepeated: boolean;
  /** Other requests may have its connection when it comes slowly, see `GaveWay`. */
  readonly mayGiveWay: boolean;
}

/** An answer, and where it came from: addresses in it are relative to that. */
export interface PushResponse {
  readonly response: OriginResponse;
  readonly url: URL;
}

/** What came of a change and its redirects. */
interface Followed extends PushResponse {
  /** The registry itself has answered, not a host that it redirected to. */
  readonly isRegistry: boolean;
}

/** How long a registry may take to make one object of what it was sent: those above an object store copy it first. */
const ANSWER_MS = 300_000;
const PATIENCE_MS = 20_000;
const MAX_REDIRECTS = 5;
/** Those who wait for their turn to send a body. */
const TURN_MS = 300_000;

/** HTTP to one registry for changes: signed as the pusher's own client would do it. Answers are 2xx, or an OciError. */
export class PushHttp {
  readonly #options: OriginHttpOptions;
  readonly #signer: Signer;
  /** Bodies under way: clients may be slow, and pulls need connections as well. */
  readonly #bodies: Slots;

  constructor(options: OriginHttpOptions) {
    this.#options = options;
    const { origin } = options;
    const endpoint = new TokenEndpoint(options);
    this.#signer = new Signer(origin, (question) => endpoint.ask(question), 'pull,push');
    this.#bodies = new Slots({ slots: Math.max(1, Math.floor(origin.maxConnections / 2)) });
  }

  /** Below `/v2/` of the registry. */
  url(path: string): URL {
    return new URL(`/v2/${path}`, this.#options.origin.endpoint);
  }

  /**
   * @throws OciError UNAUTHORIZED with the registry's challenge; OriginRefused for every other no; UNAVAILABLE for what
   *   is neither yes nor no
   */
  async ask(question: PushQuestion): Promise<PushResponse> {
    const deadline = performance.now() + (this.#options.patienceMs ?? PATIENCE_MS);
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#authorized(question);
      } catch (error) {
        const later = this.#laterOf(error, question.signal);
        const waitMs = later.waitMs(attempt);
        // What was deleted is not there at the second try, and that would be told instead.
        const isOver = waitMs === undefined || question.method === 'DELETE' || performance.now() + waitMs > deadline;
        if (isOver) throw new OriginDown(later.cause);
        await delay(waitMs, undefined, { signal: question.signal });
      }
    }
  }

  /** One try. @throws RetryLater when the same may be tried again from where the registry is; OciError as `ask` */
  async stream(question: StreamedQuestion): Promise<OriginResponse> {
    const { body, lengthBytes, isRepeated, headers, signal, url, repository } = question;
    using limit = new TimeLimit(TURN_MS);
    const inTime = AbortSignal.any([signal, limit.signal]);
    using push = await this.#bodies.take(repository, inTime);
    using turn = await this.#options.turns.take(repository, inTime);
    try {
      void [push, turn]; // held until the answer is there
      const signature = this.#isRegistry(url) ? await this.#signer.prepared(question) : undefined;
      const length: Record<string, string> = lengthBytes === undefined ? {} : { 'content-length': `${lengthBytes}` };
      const response = await this.#send(
        { ...question, headers: { ...headers, ...length } },
        url,
        signature,
        question.mayGiveWay ? this.#shared(body) : body,
      );
      const answer = { response, url, isRegistry: signature !== undefined };
      if (signature && response.statusCode === 401 && !isRepeated) {
        await discard(response);
        const bare = signature.token ? this.#signer.forget(question, signature.token) : signature;
        const better = await this.#signer.next(question, bare, challengeLines(response));
        if (better) throw new RetryLater('broken', new Error('the origin answered 401'));
      }
      return await this.#judge(question, answer, signature, challengeLines(response));
    } catch (error) {
      throw this.#laterOf(error, signal);
    }
  }

  /** By the last connection for bodies, a body whose client is slow goes only as long as nobody else wants to use it. */
  #shared(body: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    const { origin, turns } = this.#options;
    if (origin.maxConnections > 2) return body;
    // Of a single one, the questions of pulls are behind it as well, which take no turns.
    return givingWay(body, () => origin.maxConnections === 1 || turns.waiting > 0);
  }

  /** @throws what cannot be tried again */
  #laterOf(error: unknown, signal: AbortSignal): RetryLater {
    signal.throwIfAborted();
    if (error instanceof RetryLater) return error;
    if (error instanceof PrivateAddressError) this.#options.unlisted({ key: 'redirectHosts', host: error.host });
    if (!isTransient(error)) throw OciError.from(error);
    return new RetryLater('broken', error);
  }

  async #authorized(question: PushQuestion): Promise<PushResponse> {
    if (!this.#isRegistry(question.url)) {
      const bareAnswer = await this.#follow(question, undefined);
      return { ...bareAnswer, response: await this.#judge(question, bareAnswer, undefined, undefined) };
    }
    let signature = this.#signer.first(question);
    let answer = await this.#follow(question, signature);
    if (signature.token && answer.isRegistry && [400, 401, 403].includes(answer.response.statusCode)) {
      const { token } = signature;
      await discard(answer.response);
      signature = this.#signer.forget(question, token);
      answer = await this.#follow(question, signature);
    }
    let bare: readonly string[] | undefined;
    if (answer.isRegistry && answer.response.statusCode === 401) {
      const lines = challengeLines(answer.response);
      if (!signature.authorization) bare = lines;
      const next = await this.#signer.next(question, signature, lines);
      if (next) {
        await discard(answer.response);
        signature = next;
        answer = await this.#follow(question, signature);
      }
    }
    return { ...answer, response: await this.#judge(question, answer, signature, bare) };
  }

  /** Goes where it is redirected; once that is elsewhere, the credentials are left behind, also on the way back. */
  async #follow(question: PushQuestion, signature: Signature | undefined): Promise<Followed> {
    let { url } = question;
    let isRegistry = this.#isRegistry(url);
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      const response = await this.#send(question, url, isRegistry ? signature : undefined, question.body);
      const { location } = response.headers;
      // The others would make a GET of it.
      const isMoved = response.statusCode === 307 || response.statusCode === 308;
      if (!isMoved || typeof location !== 'string' || !URL.canParse(location, url.href)) {
        return { response, url, isRegistry };
      }
      await discard(response);
      url = new URL(location, url);
      isRegistry &&= this.#isRegistry(url);
    }
    throw new OciError('UNAVAILABLE', 'the origin redirects too often');
  }

  async #send(
    { method, headers, signal }: Pick<PushQuestion, 'method' | 'headers' | 'signal'>,
    url: URL,
    signature: Signature | undefined,
    body: Uint8Array | AsyncIterable<Uint8Array> | undefined,
  ): Promise<OriginResponse> {
    assertDialable(url, this.#options);
    const { origin, bulk, control, observe } = this.#options;
    const { authorization } = signature ?? {};
    const isStream = body !== undefined && !(body instanceof Uint8Array);
    try {
      const response = await (isStream ? bulk : control).request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: { 'user-agent': 'circ', ...headers, ...(authorization && { authorization: authorization.header }) },
        // Undici takes iterables of bytes, which its types do not say.
        body: (body ?? null) as Uint8Array | null,
        headersTimeout: ANSWER_MS,
        signal,
      });
      observe({ origin, kind: 'push', method, status: response.statusCode, host: url.host });
      return response;
    } catch (error) {
      if (!signal.aborted) observe({ origin, kind: 'push', method, status: 0, host: url.host, error });
      throw error;
    }
  }

  /** @param bare with what this request was challenged: that of others may name what they would mount from */
  async #judge(
    { credential }: Pick<PushQuestion, 'credential'>,
    { response, isRegistry }: Followed,
    signature: Signature | undefined,
    bare: readonly string[] | undefined,
  ): Promise<OriginResponse> {
    const { statusCode } = response;
    if (statusCode >= 200 && statusCode < 300) return response;
    const { origin } = this.#options;
    if (RetryLater.isFor(response)) {
      await discard(response);
      throw RetryLater.fromAnswer(response, 'the origin');
    }
    if (statusCode === 401 && isRegistry) {
      const isExchanged = signature?.authorization !== credential.authorization;
      const challenge = isExchanged ? bare : challengeLines(response);
      if (challenge && isRelayable(origin, challenge)) {
        await discard(response);
        throw new OciError('UNAUTHORIZED', 'authentication is needed', { challenge, denied: true });
      }
    }
    // A 401 without a challenge that may be passed on would make no sense to a client.
    if (statusCode >= 400) throw await OriginRefused.read(response, statusCode === 401 ? 403 : statusCode);
    await discard(response);
    throw new OciError('UNAVAILABLE', 'the origin gave no usable answer');
  }

  #isRegistry(url: URL): boolean {
    return url.origin === this.#options.origin.endpoint.origin;
  }
}
