import type { IncomingMessage, ServerResponse } from 'node:http';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { OciError } from '../oci/error.ts';
import { formatContentRange, resolveRange } from '../oci/range.ts';
import {
  type BlobRequest,
  type ManifestRequest,
  type OciRequest,
  type RegistryNames,
  parseRequest,
} from '../oci/request.ts';
import type { OciSource, Outcome } from './oci-source.ts';
import { sendChunks } from './send.ts';

/** What became of one request, for the log and the metrics. */
export interface RequestReport {
  readonly request: OciRequest | undefined;
  readonly method: string;
  readonly status: number;
  readonly outcome: Outcome;
  readonly bytes: number;
  readonly durationMs: number;
  /** Until the first byte of a blob's body was handed to the socket; undefined for other requests. */
  readonly firstByteMs: number | undefined;
  readonly error: OciError | undefined;
}

export interface OciServerOptions {
  readonly source: OciSource;
  readonly names: RegistryNames;
  /** One call a request. Must not throw. */
  readonly report: (report: RequestReport) => void;
}

/** A connection that takes or gives no byte for this long is closed: it would hold buffers for ever. */
const IDLE_MS = 60_000;

/** The read side of the distribution API over a source. */
export function createOciServer({ source, names, report }: OciServerOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    connectionTimeout: IDLE_MS,
    keepAliveTimeout: IDLE_MS,
    requestTimeout: 30_000, // for the request's own bytes
    forceCloseConnections: true,
    return503OnClosing: false,
    frameworkErrors: (_error, request, reply) => {
      reply.hijack();
      new Exchange(request.raw, reply.raw).fail(new OciError('NAME_INVALID', 'the path is not valid'));
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    reply.hijack();
    await serve(request.raw, reply.raw);
  };
  app.all('/*', handle);
  app.setNotFoundHandler(handle); // methods that the router does not know

  const serve = async (raw: IncomingMessage, response: ServerResponse): Promise<void> => {
    const exchange = new Exchange(raw, response);
    try {
      const request = parseRequest(raw, names);
      exchange.request = request;
      switch (request.kind) {
        case 'ping':
          exchange.outcome = 'node-hit';
          exchange.send(200, { 'content-type': 'application/json' }, Buffer.from('{}'));
          break;
        case 'manifest':
          await serveManifest(exchange, request);
          break;
        case 'blob':
          await serveBlob(exchange, request);
          break;
      }
    } catch (reason) {
      exchange.fail(OciError.from(reason));
    }
    report(exchange.report());
  };

  const serveManifest = async (exchange: Exchange, request: ManifestRequest): Promise<void> => {
    const { signal, isHead } = exchange;
    const { descriptor, content, outcome } = await source.manifest(request, { withContent: !isHead, signal });
    exchange.outcome = outcome;
    const { digest, mediaType, sizeBytes } = descriptor;
    const headers = {
      'content-type': mediaType,
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'oci-namespace': request.registry,
    };
    if (request.ifNoneMatch.includes(digest) || request.ifNoneMatch.includes('*')) {
      exchange.send(304, headers);
      return;
    }
    if (isHead || !content) {
      exchange.send(200, { ...headers, 'content-length': sizeBytes });
      return;
    }
    const range = request.range && resolveRange(request.range, content.length);
    const body = range ? content.subarray(range.start, range.end) : content;
    exchange.send(
      range ? 206 : 200,
      { ...headers, ...(range && { 'content-range': formatContentRange(range, content.length) }) },
      body,
    );
  };

  const serveBlob = async (exchange: Exchange, request: BlobRequest): Promise<void> => {
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': request.digest,
      etag: `"${request.digest}"`,
      'accept-ranges': 'bytes',
      'oci-namespace': request.registry,
    };
    if (exchange.isHead) {
      const { sizeBytes, outcome } = await source.statBlob(request, exchange);
      exchange.outcome = outcome;
      exchange.send(200, { ...headers, 'content-length': sizeBytes });
      return;
    }
    await using blob = await source.openBlob(request, exchange);
    exchange.outcome = blob.outcome;
    const { sizeBytes } = blob;
    const range = request.range && resolveRange(request.range, sizeBytes);
    const { start, end } = range ?? { start: 0, end: sizeBytes };
    exchange.begin(range ? 206 : 200, {
      ...headers,
      'content-length': end - start,
      ...(range && { 'content-range': formatContentRange(range, sizeBytes) }),
    });
    await sendChunks(exchange.response, blob.chunks({ start, end }, exchange), (bytes) => exchange.sent(bytes));
  };

  return app;
}

/** One request and its answer, and what is to be reported of them. */
class Exchange {
  readonly response: ServerResponse;
  readonly isHead: boolean;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
  request: OciRequest | undefined;
  outcome: Outcome = 'error';
  readonly #startedAtMs = performance.now();
  readonly #method: string;
  #bytes = 0;
  #firstByteMs: number | undefined;
  #error: OciError | undefined;

  constructor(raw: IncomingMessage, response: ServerResponse) {
    this.response = response;
    this.#method = raw.method ?? '';
    this.isHead = this.#method === 'HEAD';
    const gone = new AbortController();
    this.signal = gone.signal;
    response.once('close', () => {
      if (!response.writableFinished) gone.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    });
  }

  begin(status: number, headers: Record<string, string | number>): void {
    this.response.writeHead(status, headers);
  }

  send(status: number, headers: Record<string, string | number>, body?: Uint8Array): void {
    this.begin(status, body ? { ...headers, 'content-length': body.length } : headers);
    this.#bytes += body?.length ?? 0;
    this.response.end(body);
  }

  sent(bytes: number): void {
    this.#firstByteMs ??= performance.now() - this.#startedAtMs;
    this.#bytes += bytes;
  }

  fail(error: OciError): void {
    this.#error = error;
    this.outcome = outcomeOf(error);
    if (this.response.headersSent) return; // the body's sender has broken the connection
    const body = Buffer.from(JSON.stringify(error.body));
    this.response.writeHead(error.status, {
      'content-type': 'application/json',
      'content-length': body.length,
      ...(error.challenge !== undefined && { 'www-authenticate': error.challenge }),
    });
    this.response.end(this.isHead ? undefined : body);
  }

  report(): RequestReport {
    return {
      request: this.request,
      method: this.#method,
      status: this.response.statusCode,
      outcome: this.outcome,
      bytes: this.#bytes,
      durationMs: performance.now() - this.#startedAtMs,
      firstByteMs: this.#firstByteMs,
      error: this.#error,
    };
  }
}

function outcomeOf({ code, denied }: OciError): Outcome {
  if (denied || code === 'UNAUTHORIZED' || code === 'MANIFEST_UNKNOWN' || code === 'BLOB_UNKNOWN') return 'denied';
  return code === 'UNAVAILABLE' || code === 'CORRUPT' ? 'unavailable' : 'error';
}
