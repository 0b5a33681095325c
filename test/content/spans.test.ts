import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Spans } from '../../content/spans.ts';

const SIZE = 40;

describe('Spans', () => {
  test('says of every byte what a bitmap says', () => {
    const range = fc.tuple(fc.nat(SIZE), fc.nat(SIZE));
    fc.assert(
      fc.property(fc.array(range, { maxLength: 20 }), range, (ranges, [from, to]) => {
        const spans = new Spans();
        const bitmap = Array.from({ length: SIZE }, () => false);
        for (const [start, end] of ranges) {
          spans.add(start, end);
          if (start < end) bitmap.fill(true, start, end);
        }
        for (let at = 0; at <= SIZE; at += 1) expect(spans.endOf(at)).toBe(naiveEnd(bitmap, at));
        expect(spans.gaps(from, to)).toEqual(naiveGaps(bitmap, from, to));
      }),
      { numRuns: 2_000 },
    );
  });

  test('joins what touches and overlaps', () => {
    const spans = new Spans();
    spans.add(10, 20);
    spans.add(30, 40);
    spans.add(20, 30);
    spans.add(5, 12);
    expect([spans.endOf(5), spans.endOf(39), spans.endOf(40), spans.endOf(4)]).toEqual([40, 40, 40, 4]);
  });

  test('misses everything at first', () => {
    expect([new Spans().endOf(7), new Spans().gaps(3, 9), new Spans().gaps(9, 3)]).toEqual([
      7,
      [{ start: 3, end: 9 }],
      [],
    ]);
  });

  test('is exact beyond 32 bits', () => {
    const spans = new Spans();
    spans.add(0, 2 ** 40);
    spans.add(2 ** 40 + 1, 2 ** 41);
    expect(spans.gaps(0, 2 ** 41)).toEqual([{ start: 2 ** 40, end: 2 ** 40 + 1 }]);
  });
});

function naiveEnd(bitmap: readonly boolean[], at: number): number {
  const missing = bitmap.indexOf(false, at);
  return missing < 0 ? Math.max(at, bitmap.length) : missing;
}

function naiveGaps(bitmap: readonly boolean[], from: number, to: number): { start: number; end: number }[] {
  const gaps: { start: number; end: number }[] = [];
  for (let at = from; at < to; at += 1) {
    const last = gaps.at(-1);
    if (bitmap[at] === true) continue;
    if (last?.end === at) last.end += 1;
    else gaps.push({ start: at, end: at + 1 });
  }
  return gaps;
}
