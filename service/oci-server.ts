import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { OCI_INDEX } from '../oci/descriptor.ts';
import { OciError } from '../oci/error.ts';
import { formatContentRange, resolveRange } from '../oci/range.ts';
import {
  type BlobRequest,
  type ListRequest,
  type ManifestRequest,
  type RegistryNames,
  parseRequest,
  spell,
} from '../oci/request.ts';
import { Exchange, type RequestReport } from './exchange.ts';
import { inTime } from './in-time.ts';
import type { OciSource } from './oci-source.ts';
import { sendChunks } from './send.ts';
import { type ServerTls, createTlsServer } from './tls-server.ts';

export interface OciServerOptions {
  readonly source: OciSource;
  readonly names: RegistryNames;
  /**
   * `WWW-Authenticate` with which `/v2/` is answered to who sends no credentials: skopeo, podman and buildah send theirs
   * only then. Absent: always 200, because the Docker daemon gives up a mirror that challenges there.
   */
  readonly challenge?: string;
  /** Where clients reach the program, if relative addresses would lead them elsewhere. */
  readonly publicUrl?: URL | undefined;
  /** Answers requests of endpoints that only this program has; false: it was none of those, and the server's own turn. */
  readonly further?: (raw: IncomingMessage, exchange: Exchange) => Promise<boolean>;
  /** https instead of http. */
  readonly tls?: ServerTls | undefined;
  /** One call a request. Must not throw. */
  readonly report: (report: RequestReport) => void;
}

/** A connection that takes or gives no byte for this long is closed: it would hold buffers for ever. */
const IDLE_MS = 60_000;
/** For the request's own bytes. */
const REQUEST_MS = 30_000;
/** Of a program that takes pushes. */
const EVERY_METHOD = 'GET, HEAD, POST, PUT, PATCH, DELETE';
/** A body that nobody reads is waited for this long, so that its client gets to read the answer. */
const LINGER_MS = 5_000;

/** The read side of the distribution API over a source, and what a program has besides. */
export function createOciServer(options: OciServerOptions): FastifyInstance {
  const { source: slow, names, challenge, publicUrl, further, tls, report } = options;
  // Bodies may take any time; how slow they may be is for who reads them to say.
  const requestMs = further ? 0 : REQUEST_MS;
  const source = inTime(slow);
  const base = publicUrl?.href.replace(/\/$/, '') ?? '';
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    connectionTimeout: IDLE_MS,
    keepAliveTimeout: IDLE_MS,
    requestTimeout: requestMs,
    http: { headersTimeout: REQUEST_MS },
    forceCloseConnections: true,
    return503OnClosing: false,
    ...(tls && { serverFactory: (handler: RequestListener) => bounded(createTlsServer(tls, handler), requestMs) }),
    frameworkErrors: (_error, request, reply) => void handle(request, reply), // paths that cannot be decoded
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));

  const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    reply.hijack();
    await serve(request.raw, reply.raw);
  };
  app.all('/*', handle);
  app.setNotFoundHandler(handle); // methods that the router does not know
  app.setErrorHandler(async (_error, request, reply) => await handle(request, reply)); // bodies of unknown type

  const serve = async (raw: IncomingMessage, response: ServerResponse): Promise<void> => {
    const exchange = new Exchange(raw, response, further ? EVERY_METHOD : undefined);
    try {
      if (await further?.(raw, exchange)) return;
      const request = parseRequest(raw, names);
      exchange.request = request;
      switch (request.kind) {
        case 'ping':
          if (challenge !== undefined && raw.headers.authorization === undefined) {
            throw new OciError('UNAUTHORIZED', 'credentials are taken here', { challenge: [challenge] });
          }
          exchange.outcome = 'node-hit';
          exchange.send(200, { 'content-type': 'application/json' }, Buffer.from('{}'));
          break;
        case 'manifest':
          await serveManifest(exchange, request);
          break;
        case 'blob':
          await serveBlob(exchange, request);
          break;
        case 'list':
          await serveList(exchange, request);
          break;
      }
    } catch (reason) {
      exchange.fail(OciError.from(reason));
    } finally {
      report(exchange.report());
      if (!raw.complete) leaveBody(raw, response);
    }
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
    };
    if (request.ifNoneMatch.includes(digest) || request.ifNoneMatch.includes('*')) {
      exchange.send(304, headers);
      return;
    }
    if (isHead || !content) {
      exchange.send(200, { ...headers, 'content-length': sizeBytes });
      return;
    }
    const isWanted = request.ifRange === undefined || request.ifRange === digest;
    const range = request.range && isWanted ? resolveRange(request.range, content.length) : undefined;
    const body = range ? content.subarray(range.start, range.end) : content;
    exchange.send(
      range ? 206 : 200,
      { ...headers, ...(range && { 'content-range': formatContentRange(range, content.length) }) },
      body,
    );
  };

  const serveList = async (exchange: Exchange, request: ListRequest): Promise<void> => {
    const { content, next, filters } = await source.list(request);
    exchange.outcome = 'origin';
    const { subject } = request;
    const path = subject === undefined ? 'tags/list' : `referrers/${subject}`;
    const headers = {
      'content-type': subject === undefined ? 'application/json' : OCI_INDEX,
      ...(next !== undefined && { link: `<${base}${spell(request, path, new URLSearchParams(next))}>; rel="next"` }),
      ...(filters !== undefined && { 'oci-filters-applied': filters }),
    };
    if (exchange.isHead) exchange.send(200, { ...headers, 'content-length': content.length });
    else exchange.send(200, headers, content);
  };

  const serveBlob = async (exchange: Exchange, request: BlobRequest): Promise<void> => {
    const headers = {
      'content-type': 'application/octet-stream',
      'docker-content-digest': request.digest,
      etag: `"${request.digest}"`,
      'accept-ranges': 'bytes',
    };
    if (exchange.isHead) {
      const { sizeBytes, outcome } = await source.statBlob(request, exchange);
      exchange.outcome = outcome;
      exchange.send(200, { ...headers, 'content-length': sizeBytes });
      return;
    }
    await using blob = await source.openBlob(request, exchange);
    exchange.outcome = blob.outcome;
    const { sizeBytes, redirect } = blob;
    if (redirect) {
      exchange.send(307, { ...headers, location: redirect.href, 'content-length': 0 });
      return;
    }
    const range = request.range && resolveRange(request.range, sizeBytes);
    const { start, end } = range ?? { start: 0, end: sizeBytes };
    exchange.begin(range ? 206 : 200, {
      ...headers,
      'content-length': end - start,
      ...(range && { 'content-range': formatContentRange(range, sizeBytes) }),
    });
    // At once: the first byte may take the origin longer than a client waits for headers.
    exchange.response.flushHeaders();
    await sendChunks(exchange.response, blob.chunks({ start, end }, exchange), (bytes) => exchange.sent(bytes));
  };

  return app;
}

/** What a client still sends after its answer is dropped until its end, and after a while the connection with it. */
function leaveBody(raw: IncomingMessage, response: ServerResponse): void {
  const timer = setTimeout(() => raw.socket.destroy(), LINGER_MS).unref();
  raw.once('close', () => {
    clearTimeout(timer);
    response.end();
  });
  raw.resume();
}

/** To servers that it has not made itself fastify does not give its limits. */
function bounded(server: Server, requestMs: number): Server {
  server.keepAliveTimeout = IDLE_MS;
  server.headersTimeout = REQUEST_MS;
  server.requestTimeout = requestMs;
  return server.setTimeout(IDLE_MS);
}
