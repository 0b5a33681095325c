import type { ByteRange } from '../../oci/range.ts';

/** Up to this size a blob is one request; it is also the least size of a segment of larger ones. */
export const SEGMENT_BYTES = 16 * 1024 * 1024;
export const SINGLE_REQUEST_BYTES = 64 * 1024 * 1024;
const MAX_SEGMENTS = 256;

/** The parts of one blob that are still to be fetched, given out in the order in which readers want them. */
export class Segments {
  readonly #todo: ByteRange[] = [];

  /** @param from where the first request's own part ends */
  constructor(from: number, sizeBytes: number) {
    const length = Math.max(SEGMENT_BYTES, Math.ceil((sizeBytes - from) / MAX_SEGMENTS));
    for (let start = from; start < sizeBytes; start += length) {
      this.#todo.push({ start, end: Math.min(sizeBytes, start + length) });
    }
  }

  /** The segment that somebody waits for, else the first one; undefined when all are given out. */
  next(wanted: readonly number[]): ByteRange | undefined {
    const isWanted = ({ start, end }: ByteRange): boolean => wanted.some((at) => start <= at && at < end);
    const index = Math.max(0, this.#todo.findIndex(isWanted));
    return this.#todo.splice(index, 1)[0];
  }
}
