import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { OciError } from '../oci/error.ts';
import type { OciRequest } from '../oci/request.ts';
import type { Outcome } from './oci-source.ts';

/** A request of an endpoint that only one program has, as log and metrics tell it. */
export interface OtherRequest {
  readonly kind: 'upload-start' | 'upload' | 'manifest-put' | 'delete';
  readonly registry: string;
  readonly repository: string;
  readonly reference: string;
}

/** What became of one request, for the log and the metrics. */
export interface RequestReport {
  readonly request: OciRequest | OtherRequest | undefined;
  readonly method: string;
  readonly status: number;
  readonly outcome: Outcome;
  readonly bytes: number;
  readonly durationMs: number;
  /** Until the first byte of a blob's body was handed to the socket; undefined for other requests. */
  readonly firstByteMs: number | undefined;
  readonly error: OciError | undefined;
}

/** One request and its answer, and what is to be reported of them. */
export class Exchange {
  readonly response: ServerResponse;
  readonly isHead: boolean;
  /** Aborted when the client hangs up. */
  readonly signal: AbortSignal;
  outcome: Outcome = 'error';
  readonly #startedAtMs = performance.now();
  readonly #raw: IncomingMessage;
  readonly #method: string;
  readonly #allow: string;
  #request: OciRequest | OtherRequest | undefined;
  /** Of every answer; old clients know a registry by the first one. */
  readonly #common: Record<string, string> = { 'docker-distribution-api-version': 'registry/2.0' };
  #bytes = 0;
  #firstByteMs: number | undefined;
  #error: OciError | undefined;

  /** @param allow the methods that the server knows, for who uses another one */
  constructor(raw: IncomingMessage, response: ServerResponse, allow = 'GET, HEAD') {
    this.response = response;
    this.#raw = raw;
    this.#allow = allow;
    this.#method = raw.method ?? '';
    this.isHead = this.#method === 'HEAD';
    const gone = new AbortController();
    this.signal = gone.signal;
    response.once('close', () => {
      if (!response.writableFinished) gone.abort(new OciError('UNAVAILABLE', 'the client hung up'));
    });
  }

  get request(): OciRequest | OtherRequest | undefined {
    return this.#request;
  }

  /** Set as soon as it is known: the answer, whatever it is, says which registry it is about. */
  set request(request: OciRequest | OtherRequest | undefined) {
    this.#request = request;
    if (request && 'registry' in request) this.#common['oci-namespace'] = request.registry;
  }

  begin(status: number, headers: OutgoingHttpHeaders): void {
    // Not by `setHeader`: then Node would check and store each of them by itself.
    this.response.writeHead(status, { ...this.#common, ...headers });
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
    this.begin(error.status, {
      'content-type': 'application/json',
      'content-length': body.length,
      ...(error.challenge && { 'www-authenticate': [...error.challenge] }),
      ...(error.sizeBytes !== undefined && { 'content-range': `bytes */${error.sizeBytes}` }),
      ...(error.code === 'UNSUPPORTED' && { allow: this.#allow }),
    });
    // The answer's end may be the connection's. Who still sends would be cut off by it, and might never read the answer.
    if (this.#raw.complete) this.response.end(this.isHead ? undefined : body);
    else this.response.write(body);
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

/** What became of a request that failed. */
export function outcomeOf({ code, denied }: OciError): Outcome {
  if (denied || code === 'UNAUTHORIZED' || code === 'MANIFEST_UNKNOWN' || code === 'BLOB_UNKNOWN') return 'denied';
  return code === 'UNAVAILABLE' || code === 'CORRUPT' ? 'unavailable' : 'error';
}
