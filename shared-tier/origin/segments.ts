import type { ByteRange } from '../../oci/range.ts';

/** Up to this size a blob is one request. */
export const SINGLE_REQUEST_BYTES = 64 * 1024 * 1024;
/** Connections that one blob uses at once. */
export const PARALLEL = 6;
/** What a segment has at first; more of a blob so large that it would be too many. */
export const SEGMENT_BYTES = 16 * 1024 * 1024;
/** Towards the end segments get smaller, but not smaller than is worth a request. */
const LEAST_BYTES = 4 * 1024 * 1024;
const MAX_SEGMENTS = 256;

/**
 * The parts of one blob that are still to be fetched, given out in the order in which readers want them. They shrink
 * towards the end: what arrives last arrives on all connections at once, and a reader who takes the bytes in order
 * would have to wait for the first of them to come whole, and then for all the others to be hashed and sent.
 */
export class Segments {
  readonly #todo: ByteRange[] = [];

  /** @param from where the first request's own part ends */
  constructor(from: number, sizeBytes: number) {
    const most = Math.max(SEGMENT_BYTES, Math.ceil((sizeBytes - from) / MAX_SEGMENTS));
    for (let start = from; start < sizeBytes;) {
      const share = Math.ceil((sizeBytes - start) / (2 * PARALLEL));
      const end = Math.min(sizeBytes, start + Math.min(most, Math.max(LEAST_BYTES, share)));
      this.#todo.push({ start, end });
      start = end;
    }
  }

  /** The segment that somebody waits for, else the first one; undefined when all are given out. */
  next(wanted: readonly number[]): ByteRange | undefined {
    const isWanted = ({ start, end }: ByteRange): boolean => wanted.some((at) => start <= at && at < end);
    const index = Math.max(0, this.#todo.findIndex(isWanted));
    return this.#todo.splice(index, 1)[0];
  }
}
