import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ByteRange } from '../../../oci/range.ts';
import { SEGMENT_BYTES, Segments } from '../../../shared-tier/origin/segments.ts';

function all(segments: Segments, wanted: readonly number[] = []): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (let range = segments.next(wanted); range; range = segments.next(wanted)) ranges.push(range);
  return ranges;
}

describe('segments', () => {
  test('cover everything behind the first request once, whatever the size', () => {
    const sizes = fc.tuple(fc.nat(2 ** 27), fc.nat(2 ** 40));
    fc.assert(
      fc.property(sizes, ([from, more]) => {
        const ranges = all(new Segments(from, from + more));
        const ends = [from, ...ranges.map(({ end }) => end)];
        expect(ranges.map(({ start }) => start)).toEqual(ends.slice(0, -1));
        expect(ends.at(-1)).toBe(from + more);
        expect(ranges.length).toBeLessThanOrEqual(350);
      }),
      { numRuns: 200 },
    );
  });

  test('are none when the first request has everything', () => {
    expect(all(new Segments(1000, 1000))).toEqual([]);
  });

  test('come in order when nobody waits', () => {
    const starts = all(new Segments(0, 2 ** 30)).map(({ start }) => start);
    expect(starts).toEqual(starts.toSorted((a, b) => a - b));
  });

  test('shrink towards the end, so that all connections end at about the same time', () => {
    const lengths = all(new Segments(0, 2 ** 30)).map(({ start, end }) => end - start);
    expect(lengths[0]).toBe(SEGMENT_BYTES);
    expect(lengths).toEqual(lengths.toSorted((a, b) => b - a));
    expect(lengths.at(-1)).toBeLessThanOrEqual(SEGMENT_BYTES / 4);
  });

  test('that are waited for come first, and each comes once', () => {
    const size = 64 * SEGMENT_BYTES;
    const wanted = [2 * SEGMENT_BYTES + 5, 3 * SEGMENT_BYTES];
    const starts = all(new Segments(0, size), wanted).map(({ start }) => start);
    expect(starts.slice(0, 4).map((start) => start / SEGMENT_BYTES)).toEqual([2, 3, 0, 1]);
    expect(starts.toSorted((a, b) => a - b)).toEqual(all(new Segments(0, size)).map(({ start }) => start));
  });

  test('come in order when what is waited for is given out already', () => {
    expect(new Segments(SEGMENT_BYTES, 3 * SEGMENT_BYTES).next([5])?.start).toBe(SEGMENT_BYTES);
  });
});
