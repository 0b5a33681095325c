import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { RequestLog, type RequestMatch, type RequestRecord } from './origin-log.ts';
import { MoodBook, type MoodMatch, type Moods } from './origin-moods.ts';
import { targetOf, type Target } from './origin-routes.ts';

/** Where a server listens, and what only it has there. */
export interface ServerOptions {
  /** A loopback address; 127.0.0.1 unless given. Servers that are different hosts in the world get different ones. */
  readonly address?: string;
  /** Where tokens are to be had; `/token` unless given. */
  readonly tokenPath?: string;
}

/** A request on its way to its answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: RequestRecord;
  /** Aborted when the answer is finished, the client is gone, or the server stops. */
  readonly signal: AbortSignal;
}

/**
 * An HTTP server of a test, on a port of its own on a loopback address, that remembers what it was asked and can be put in
 * moods. Disposing it cuts all connections; it throws then if the server itself had a bug.
 */
export abstract class TestServer implements AsyncDisposable {
  readonly #log = new RequestLog();
  readonly #moods = new MoodBook();
  #stop = new AbortController();
  readonly #sockets = new Set<Socket>();
  readonly #bugs: unknown[] = [];
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #address: string;
  readonly #tokenPath: string;
  #port = 0;

  constructor({ address = '127.0.0.1', tokenPath = '/token' }: ServerOptions = {}) {
    this.#address = address;
    this.#tokenPath = tokenPath;
    this.#server.keepAliveTimeout = 60_000;
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  protected abstract answer(exchange: Exchange): Promise<void>;

  /** What a request is about, beyond its path: the digest behind a tag. */
  protected digestOf(target: Target): string | undefined {
    return target.reference?.includes(':') === true ? target.reference : undefined;
  }

  /** `127.0.0.1:port` */
  get host(): string {
    return `${this.#address}:${this.#port}`;
  }

  /** What a challenge names as the realm of the tokens that are to be had here. */
  get realm(): string {
    return this.url + this.#tokenPath;
  }

  /** `http://127.0.0.1:port` */
  get url(): string {
    return `http://${this.host}`;
  }

  /** What the server was asked, in order of arrival. */
  get requests(): readonly RequestRecord[] {
    return this.#log.requests;
  }

  /** How many of the requests match. */
  count(match: RequestMatch = {}): number {
    return this.#log.filter(match).length;
  }

  /** Body bytes that left in answers 200 and 206 for this digest. */
  bodyBytes(digest: string): number {
    return this.#log.bodyBytes(digest);
  }

  /** Waits (10 s at most) until `times` matching requests have arrived since the start; they may be unanswered. */
  async arrived(match: RequestMatch, times = 1): Promise<void> {
    await this.#log.until(() => this.count(match) >= times, `${times} requests like ${JSON.stringify(match)}`);
  }

  /** Waits (10 s at most) until no request is being answered. */
  async idle(): Promise<void> {
    await this.#log.until(() => this.requests.every((record) => record.endedAt !== undefined), 'an idle server');
  }

  get mood(): Moods {
    return this.#moods.base;
  }

  /** The moods for all requests to manifests, blobs, tags and referrers; replaces those set before. */
  set mood(mood: Moods) {
    this.#moods.base = mood;
  }

  /** Moods for the matching requests, from now on. */
  when(match: MoodMatch, mood: Moods): void {
    this.#moods.add(mood, match, Infinity);
  }

  /** Moods for the next matching request (the next `times` of them) only. */
  once(mood: Moods, match: MoodMatch = {}, times = 1): void {
    this.#moods.add(mood, match, times);
  }

  /** A good server again: forgets `mood`, `when` and `once`. Answers that are under way keep theirs. */
  calm(): void {
    this.#moods.clear();
  }

  /** The moods for this request; to be asked once for each. */
  protected moodFor(record: RequestRecord): Moods {
    return this.#moods.take(record);
  }

  /** Begins, or begins again, to listen; the port stays the same. */
  async up(): Promise<this> {
    this.#stop = new AbortController();
    const listening = Promise.withResolvers<void>();
    this.#server.once('error', listening.reject);
    this.#server.listen(this.#port, this.#address, () => listening.resolve());
    await listening.promise;
    this.#server.off('error', listening.reject);
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** Cuts all connections and refuses new ones, until `up`. */
  async down(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = Promise.withResolvers<void>();
    this.#server.close(() => closed.resolve());
    this.#stop.abort();
    for (const socket of this.#sockets) socket.destroy();
    await closed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    if (this.#bugs.length > 0) throw new AggregateError(this.#bugs, 'the test server itself failed');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { record, signal } = this.#takeIn(request, response);
    response.on('error', () => {
      // The client went away in the middle of a write; 'close' follows.
    });
    try {
      await this.answer({ request, response, record, signal });
    } catch (error) {
      if (!signal.aborted && !request.socket.destroyed) {
        this.#bugs.push(error);
        response.destroy();
      }
    }
  }

  #takeIn(request: IncomingMessage, response: ServerResponse): { record: RequestRecord; signal: AbortSignal } {
    const gone = new AbortController();
    // Not through `new URL`: it would tidy up paths that a test wants to see as they were sent.
    const [path = '/', ...query] = (request.url ?? '/').split('?');
    const target = targetOf(path, this.#tokenPath);
    const record: RequestRecord = {
      method: request.method ?? '',
      path,
      query: new URLSearchParams(query.join('?')),
      headers: request.headers,
      range: request.headers.range,
      at: performance.now(),
      connection: request.socket.remotePort ?? 0,
      kind: target.kind,
      repository: target.repository,
      reference: target.reference,
      digest: this.digestOf(target),
      status: 0,
      receivedBytes: 0,
      bodyBytes: 0,
      endedAt: undefined,
    };
    response.on('close', () => {
      record.endedAt = performance.now();
      gone.abort();
      this.#log.changed();
    });
    this.#log.add(record);
    return { record, signal: AbortSignal.any([gone.signal, this.#stop.signal]) };
  }
}
