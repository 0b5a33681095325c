import type { ByteRange } from '../oci/range.ts';
import { type RangeRead, type RangeReadOptions, openRangeRead } from '../service/range-read.ts';

export type TierReadOptions = Omit<RangeReadOptions, keyof typeof TIMES> & Partial<typeof TIMES>;

const TIMES = {
  connectMs: 1_000,
  /** The tier sends the head before it has the bytes. */
  headMs: 4_000,
  /** The tier itself gives an origin up after 10 s and resumes: this leaves it the time for that. */
  silenceMs: 15_000,
};

/** Begins to read a range from a signed URL of the shared tier. @throws OciError see `openRangeRead` */
export async function openTierRead(url: URL, range: ByteRange, options: TierReadOptions): Promise<RangeRead> {
  return await openRangeRead(url, range, { ...TIMES, ...options });
}
