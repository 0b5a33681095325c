import { gzipSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesBlob, readBytes, withFlippedByte, withSize, type Bytes } from './blobs.ts';
import { sendBody } from './origin-body.ts';
import type { Moods } from './origin-moods.ts';
import { rangeOf } from './origin-routes.ts';
import type { Exchange } from './origin-server.ts';

/** Something with a digest that an exchange is to be answered with. */
export interface Content {
  readonly bytes: Bytes;
  readonly mediaType: string;
  /** Undefined for lists, which have none. */
  readonly digest?: string;
  /** Whether the server knows ranges of it at all. */
  readonly ranges: boolean;
  readonly headers?: Record<string, string>;
}

type Headers = Record<string, string | number>;

const WRONG_DIGEST = `sha256:${'5'.repeat(64)}`;

/** A whole small answer, without moods; no body for HEAD. */
export function sendText(exchange: Exchange, status: number, headers: Headers, text: string): void {
  const { request, response, record } = exchange;
  const body = Buffer.from(text);
  record.status = status;
  response.writeHead(status, { 'content-length': body.byteLength, ...headers });
  if (request.method === 'HEAD') {
    response.end();
  } else {
    record.bodyBytes += body.byteLength;
    response.end(body);
  }
}

/** @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
export function sendError(
  exchange: Exchange,
  status: number,
  code: string,
  headers: Headers = {},
  message = code.toLowerCase().replaceAll('_', ' '),
): void {
  const body = JSON.stringify({ errors: [{ code, message, detail: null }] });
  sendText(exchange, status, { 'content-type': 'application/json', ...headers }, body);
}

/** An HTML page, as no registry sends it but much between it and its clients does. */
export function sendPage(exchange: Exchange, status: number, title: string, headers: Headers = {}): void {
  const page = `<!doctype html><title>${title}</title><h1>${title}</h1>\n`;
  sendText(exchange, status, { 'content-type': 'text/html; charset=utf-8', ...headers }, page);
}

/** Plays the moods that replace an answer. True: that was it. */
export async function sendMoodInstead(exchange: Exchange, mood: Moods): Promise<boolean> {
  const { request, response, record, signal } = exchange;
  if (mood.headersDelayMs !== undefined) await sleep(mood.headersDelayMs, undefined, { signal });
  if (mood.stallHeaders === true) return true;
  if (mood.resetHeaders === true) {
    request.socket.resetAndDestroy();
    return true;
  }
  if (mood.status !== undefined) {
    sendError(exchange, mood.status, CODES[mood.status] ?? 'UNKNOWN', mood.headers);
    return true;
  }
  if (mood.html === true) {
    sendPage(exchange, 200, 'Access to this site is blocked', mood.headers);
    return true;
  }
  const location = redirectOf(mood, record.path);
  if (location !== undefined) {
    const status = mood.loginRedirect === undefined ? (mood.redirectStatus ?? 307) : 302;
    sendText(exchange, status, { location, ...mood.headers }, '');
    return true;
  }
  return response.destroyed;
}

const CODES: Record<number, string> = {
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  404: 'NAME_UNKNOWN',
  429: 'TOOMANYREQUESTS',
};

function redirectOf(mood: Moods, path: string): string | undefined {
  if (mood.loginRedirect !== undefined) return mood.loginRedirect === true ? '/login' : mood.loginRedirect;
  if (typeof mood.redirectTo === 'string') return mood.redirectTo + path;
  return mood.redirectTo?.locate(path);
}

/** Answers with content, in the moods that concern content. */
export async function sendContent(exchange: Exchange, content: Content, mood: Moods): Promise<void> {
  const { request, response, record } = exchange;
  const bytes = inMood(content.bytes, mood);
  const ranges = content.ranges && mood.ranges !== false && mood.gzip !== true;
  const range = ranges && request.method === 'GET' ? rangeOf(request.headers.range, bytes.sizeBytes) : 'whole';
  if (range === 'unsatisfiable') {
    const headers = { 'content-range': `bytes */${bytes.sizeBytes}` };
    return sendError(exchange, 416, 'RANGE_INVALID', { ...headers, ...mood.headers });
  }
  const isWhole = range === 'whole';
  const end = isWhole ? bytes.sizeBytes : range.end;
  const start = isWhole ? 0 : Math.min(range.start + (mood.shiftRange ?? 0), end - 1);

  record.status = isWhole ? 200 : 206;
  response.writeHead(record.status, {
    'content-type': content.mediaType,
    'docker-distribution-api-version': 'registry/2.0',
    ...digestHeaders(content.digest, mood),
    ...(ranges ? { 'accept-ranges': 'bytes' } : {}),
    ...(isWhole ? {} : { 'content-range': `bytes ${start}-${end - 1}/${bytes.sizeBytes}` }),
    ...(mood.gzip === true ? { 'content-encoding': 'gzip' } : {}),
    ...(mood.noLength === true ? {} : { 'content-length': end - start }),
    ...content.headers,
    ...mood.headers,
  });
  if (request.method === 'HEAD') response.end();
  else await sendBody(exchange, bytes, start, end, mood);
}

function inMood(bytes: Bytes, mood: Moods): Bytes {
  let result = bytes;
  if (mood.lie !== undefined && mood.lie !== false) {
    result = withFlippedByte(result, mood.lie === true ? Math.floor(bytes.sizeBytes / 2) : mood.lie);
  }
  if (mood.longer !== undefined) result = withSize(result, bytes.sizeBytes + mood.longer);
  if (mood.shorter !== undefined) result = withSize(result, Math.max(0, bytes.sizeBytes - mood.shorter));
  return mood.gzip === true ? bytesBlob(gzipSync(readBytes(result))) : result;
}

function digestHeaders(digest: string | undefined, mood: Moods): Headers {
  if (digest === undefined || mood.digestHeader === 'none') return {};
  if (mood.digestHeader === 'wrong') return { 'docker-content-digest': WRONG_DIGEST };
  if (mood.digestHeader === 'invalid') return { 'docker-content-digest': 'sha256:not-a-digest' };
  return { 'docker-content-digest': digest };
}
