import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { Readable } from 'node:stream';

/** What came back, down to the last byte before the end or the failure. */
export interface Answer {
  /** 0 if no headers came. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Undecoded. */
  readonly body: Buffer;
  /** Code of the error that broke the answer off, such as ECONNRESET; undefined for a complete answer. */
  readonly failure: string | undefined;
}

/** What to send besides the URL. */
export interface AskOptions {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** Sent as it comes: with a length if it is bytes, else chunked, unless the headers say a length. */
  readonly body?: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
  /** The request target as it is to be on the wire, for those that a URL would tidy up. */
  readonly target?: string;
  readonly signal?: AbortSignal;
}

/**
 * A client without wishes of its own: no redirects, no decoding, no retries, a new connection for each request, and
 * the beginning of a broken answer is kept. Does not throw for what the server does. Plain http only.
 */
export function ask(url: string, options: AskOptions = {}): Promise<Answer> {
  const { method = 'GET', headers = {}, target, signal, body } = options;
  return new Promise((resolve) => {
    const outgoing = request(url, {
      agent: false,
      method,
      headers,
      ...(target === undefined ? {} : { path: target }),
      ...(signal === undefined ? {} : { signal }),
    });
    let failure: string | undefined;
    let incoming: IncomingMessage | undefined;
    const pieces: Buffer[] = [];
    const done = (): void => {
      const { statusCode = 0, headers: received = {} } = incoming ?? {};
      resolve({ status: statusCode, headers: received, body: Buffer.concat(pieces), failure });
    };
    outgoing.on('error', (error) => {
      failure = codeOf(error);
      // Reported here even when the answer has begun; then the bytes received so far are still to come.
      if (incoming === undefined) done();
    });
    outgoing.on('response', (response) => {
      incoming = response;
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', (error) => (failure ??= codeOf(error)));
      response.on('close', done);
    });
    if (body === undefined || body instanceof Uint8Array) outgoing.end(body);
    else Readable.from(body, { objectMode: false }).pipe(outgoing);
  });
}

/** What came over a connection, headers included. */
export interface Received {
  readonly bytes: number;
  /** As latin1. */
  readonly text: string;
  /** Code of the error that ended the connection; undefined if it was FIN. */
  readonly error: string | undefined;
}

/**
 * A GET over a bare socket, which tells FIN from RST (`node:http` calls both ECONNRESET) and hides nothing.
 * Reads until the server ends the connection, or `enough` bytes of body have come.
 */
export async function readSocket(url: string, enough = Infinity): Promise<Received> {
  const { hostname, host, port, pathname } = new URL(url);
  const socket = connect(Number(port), hostname);
  const received = { bytes: 0, text: '', error: undefined as string | undefined };
  socket.setEncoding('latin1');
  socket.on('data', (data: string) => {
    received.bytes += data.length;
    received.text += data;
    const headEnd = received.text.indexOf('\r\n\r\n') + 4;
    if (received.bytes - headEnd >= enough) socket.destroy();
  });
  const closed = Promise.withResolvers<void>();
  socket.on('error', (error: NodeJS.ErrnoException) => (received.error = error.code));
  socket.on('close', () => closed.resolve());
  socket.write(`GET ${pathname} HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
  await closed.promise;
  return received;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
}
