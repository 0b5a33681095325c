import { OciError } from '../oci/error.ts';
import { parseContentRange } from '../oci/range.ts';

/** Status line and headers of a signed read's answer. */
export interface ResponseHead {
  readonly status: number;
  readonly contentLength: number;
  /** Which part of what the body is, if that was told. */
  readonly contentRange: ReturnType<typeof parseContentRange>;
  /** Where the body begins in the bytes that were parsed. */
  readonly bodyStart: number;
}

const MAX_HEAD_BYTES = 8 * 1024;
const END = Buffer.from('\r\n\r\n');

/**
 * Parses the head of an answer that is HTTP/1.1 with a Content-Length, as those of the shared tier always are, and a
 * bucket's when it gives what was asked for. A general HTTP client would cost more than half of a relay's speed.
 *
 * @returns undefined when the head is not complete yet
 * @throws OciError UNAVAILABLE for anything else than that
 */
export function parseResponseHead(bytes: Buffer): ResponseHead | undefined {
  const end = bytes.indexOf(END);
  if ((end < 0 ? bytes.length : end) > MAX_HEAD_BYTES) throw unusable('its head is too long');
  if (end < 0) return undefined;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const status = /^HTTP\/1\.1 (\d{3})(?: |$)/.exec(statusLine)?.[1];
  const headers = lines.map((line) => /^([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line));
  const values = (name: string): string[] =>
    headers.flatMap((each) => (each?.[1]?.toLowerCase() === name ? [each[2] ?? ''] : []));
  const [length, ...others] = values('content-length');
  const isPlain = values('transfer-encoding').length === 0 && headers.every((each) => each !== null);
  if (status === undefined || !isPlain || length === undefined || !/^\d{1,15}$/.test(length) || others.length > 0) {
    throw unusable('it is not HTTP/1.1 with one Content-Length');
  }
  const contentRange = parseContentRange(values('content-range')[0]);
  return { status: Number(status), contentLength: Number(length), contentRange, bodyStart: end + END.length };
}

function unusable(why: string): OciError {
  return new OciError('UNAVAILABLE', 'there was no usable answer', { cause: new Error(why) });
}
