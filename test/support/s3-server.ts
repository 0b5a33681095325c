import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { BucketConfig } from '../../shared-tier/store/bucket.ts';
import { S3Objects } from './s3-objects.ts';
import { answerS3 } from './s3-answers.ts';

/** What the server was asked. */
export interface S3Request {
  readonly method: string;
  /** Without the bucket; empty for questions about the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  /** 0 until it is answered, and when it never was. */
  status: number;
}

/** How the server treats requests that match; the first that matches counts. */
export interface S3Mood {
  readonly method?: string;
  readonly key?: RegExp;
  /** How many requests; all unless given. */
  readonly times?: number;
  /** Waits before the answer. */
  readonly slowMs?: number;
  /** Never answers. */
  readonly silent?: boolean;
  /** `503 SlowDown`, `403 AccessDenied`, `404 NoSuchBucket`, `501 NotImplemented`… instead of an answer. */
  readonly error?: readonly [number, string];
  /** Breaks the connection after so many bytes of the body, sent or received. */
  readonly cutAfter?: number;
}

export const ACCESS_KEY = 'a-key-of-a-test';
const BUCKET = 'bucket-of-a-test';
const MAX_KEYS = 100;

/**
 * An S3-compatible server of a test, with one bucket: objects, ranges, multipart uploads, lists, conditional requests.
 * It believes whoever names the right access key; signatures are verified by the real server of the end-to-end tests.
 */
export class S3Server implements AsyncDisposable {
  readonly bucket = new S3Objects();
  readonly requests: S3Request[] = [];
  readonly moods: S3Mood[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #used = new Map<S3Mood, number>();
  readonly #stop = new AbortController();
  #port = 0;

  constructor() {
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** How a client comes here. @param prefix in the bucket */
  config(prefix = 'of/a/test/'): BucketConfig {
    return {
      bucket: BUCKET,
      prefix,
      endpoint: this.url,
      region: 'us-east-1',
      pathStyle: true,
      ca: undefined,
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: 'secret' },
    };
  }

  /** The same for the environment of a shared tier. */
  get env(): Record<string, string> {
    return {
      CIRC_TIER_STORE: `s3://${BUCKET}/of/a/test`,
      AWS_ENDPOINT_URL: this.url,
      AWS_ACCESS_KEY_ID: ACCESS_KEY,
      AWS_SECRET_ACCESS_KEY: 'secret',
      AWS_REGION: 'us-east-1',
    };
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** How many requests match. */
  count(match: Pick<S3Mood, 'method' | 'key'> = {}): number {
    return this.requests.filter((request) => isLike(request, match)).length;
  }

  async up(): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#server.listen(this.#port, '127.0.0.1', () => resolve(undefined));
    await promise;
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** Cuts all connections and refuses new ones, until `up`. */
  async down(): Promise<void> {
    if (!this.#server.listening) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#server.close(() => resolve(undefined));
    for (const socket of this.#sockets) socket.destroy();
    await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.down();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const [, bucket = '', key = ''] = /^\/([^/]*)\/?(.*)$/.exec(decodeURIComponent(url.pathname)) ?? [];
    const method = request.method ?? '';
    const record: S3Request = { method, key, query: url.searchParams, headers: request.headers, status: 0 };
    this.requests.push(record);
    response.on('error', () => undefined); // the client went away; 'close' follows
    response.on('close', () => (record.status = response.headersSent ? response.statusCode : 0));
    const mood = this.#moodFor(record);
    try {
      if (mood.silent === true) return;
      if (mood.slowMs !== undefined) await delay(mood.slowMs, undefined, { signal: this.#stop.signal });
      const body = await received(request, method === 'GET' ? undefined : mood.cutAfter);
      const error = bucket === BUCKET ? mood.error : ([404, 'NoSuchBucket'] as const);
      answerS3(this.bucket, { ...record, url, body, maxKeys: MAX_KEYS, error, accessKey: ACCESS_KEY }, response, mood);
    } catch {
      request.socket.destroy();
    }
  }

  #moodFor(request: S3Request): S3Mood {
    const mood = this.moods.find(
      (each) => isLike(request, each) && (this.#used.get(each) ?? 0) < (each.times ?? Infinity),
    );
    if (mood) this.#used.set(mood, (this.#used.get(mood) ?? 0) + 1);
    return mood ?? {};
  }
}

export async function s3Server(): Promise<S3Server> {
  return await new S3Server().up();
}

function isLike(request: S3Request, { method, key }: Pick<S3Mood, 'method' | 'key'>): boolean {
  return (method === undefined || method === request.method) && (key === undefined || key.test(request.key));
}

async function received(request: IncomingMessage, cutAfter: number | undefined): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    pieces.push(piece);
    bytes += piece.length;
    if (cutAfter !== undefined && bytes >= cutAfter) throw new Error('cut, as the mood says');
  }
  return Buffer.concat(pieces);
}
