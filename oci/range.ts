import { OciError } from './error.ts';

/** Bytes from `start` up to and without `end`. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** What a Range header asks for, before the size is known: the last bytes, or bytes from `first` (to `last`, inclusive). */
export type RangeRequest = { readonly suffix: number } | { readonly first: number; readonly last: number | undefined };

const DIGITS = 15; // 10^15 bytes; keeps every number exact

/**
 * Parses `Range` (RFC 9110 section 14.2). Several ranges, other units and malformed headers are ignored, as the RFC
 * allows: the answer is then the whole content. One that ends before it begins is refused, as registries do.
 */
export function parseRange(header: string | undefined): RangeRequest | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '');
  if (!match) return undefined;
  const [, first = '', last = ''] = match;
  if (first.length > DIGITS || last.length > DIGITS) return undefined;
  if (first === '') return last === '' ? undefined : { suffix: Number(last) };
  return { first: Number(first), last: last === '' ? undefined : Number(last) };
}

/** @throws OciError RANGE_INVALID when nothing of the content lies in the range */
export function resolveRange(request: RangeRequest, sizeBytes: number): ByteRange {
  const start = 'suffix' in request ? Math.max(0, sizeBytes - request.suffix) : request.first;
  const end = 'suffix' in request ? sizeBytes : Math.min(sizeBytes, (request.last ?? sizeBytes - 1) + 1);
  if (start >= end) {
    throw new OciError('RANGE_INVALID', `the range lies outside of the content's ${sizeBytes} bytes`, { sizeBytes });
  }
  return { start, end };
}

/** `Content-Range` of a 206. */
export function formatContentRange(range: ByteRange, sizeBytes: number): string {
  return `bytes ${range.start}-${range.end - 1}/${sizeBytes}`;
}

/** Parses the `Content-Range` of a 206; undefined when it does not name its bytes and the whole size. */
export function parseContentRange(header: string | undefined): (ByteRange & { sizeBytes: number }) | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(header ?? '');
  if (!match) return undefined;
  const [start, last, sizeBytes] = [Number(match[1]), Number(match[2]), Number(match[3])];
  return start <= last && last < sizeBytes ? { start, end: last + 1, sizeBytes } : undefined;
}
