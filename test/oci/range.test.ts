import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import {
  type ByteRange,
  type RangeRequest,
  formatContentRange,
  parseContentRange,
  parseRange,
  resolveRange,
} from '../../oci/range.ts';

describe('parseRange', () => {
  test.each([
    ['bytes=0-0', { first: 0, last: 0 }],
    ['bytes=5-10', { first: 5, last: 10 }],
    ['bytes=5-', { first: 5, last: undefined }],
    ['bytes=-7', { suffix: 7 }],
    ['bytes=-0', { suffix: 0 }],
    [' bytes=1-2 ', { first: 1, last: 2 }],
    ['bytes=007-010', { first: 7, last: 10 }],
    ['bytes=0-999999999999999', { first: 0, last: 999_999_999_999_999 }],
  ])('reads %j', (header, request) => {
    expect(parseRange(header)).toEqual(request);
  });

  test.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=a-b',
    'bytes=5',
    'bytes=1-2,4-5',
    'bytes=1-2,',
    'bytes=1 - 2',
    'bytes=--5',
    'bytes=-1-2',
    'bytes=+1-2',
    'bytes=0x1-0x2',
    'bytes=1e3-',
    'bytes=1.5-2',
    'lines=1-2',
    'bytes=0-1\nbytes=2-3',
    `bytes=${'9'.repeat(16)}-`,
    `bytes=0-${'9'.repeat(400)}`,
    `bytes=-${'9'.repeat(400)}`,
    'bytes=\u0661-\u0662',
  ])('ignores %j, as the RFC allows', (header) => {
    expect(parseRange(header)).toBeUndefined();
  });

  test('makes only exact numbers of whatever comes', () => {
    const header = fc.stringMatching(/^bytes=\d{0,20}-\d{0,20}$/);
    fc.assert(
      fc.property(fc.oneof(header, fc.string()), (text) => {
        for (const number of Object.values(parseRange(text) ?? {})) {
          expect(number === undefined || Number.isSafeInteger(number)).toBe(true);
        }
        expect(text).toBeTypeOf('string');
      }),
    );
  });
});

describe('resolveRange', () => {
  test('refuses a range that ends before it begins, as the RFC allows and registries do', () => {
    expect(() => resolveRange({ first: 10, last: 5 }, 100)).toThrow(expect.objectContaining({ code: 'RANGE_INVALID' }));
  });

  test.each([
    ['bytes=0-0', 10, { start: 0, end: 1 }],
    ['bytes=9-9', 10, { start: 9, end: 10 }],
    ['bytes=3-', 10, { start: 3, end: 10 }],
    ['bytes=0-999999999999999', 10, { start: 0, end: 10 }],
    ['bytes=-3', 10, { start: 7, end: 10 }],
    ['bytes=-10', 10, { start: 0, end: 10 }],
    ['bytes=-999', 10, { start: 0, end: 10 }],
  ])('takes %s of %d bytes', (header, sizeBytes, range) => {
    expect(resolve(header, sizeBytes)).toEqual(range);
  });

  test.each([
    ['bytes=10-', 10],
    ['bytes=10-20', 10],
    ['bytes=999999999999999-', 10],
    ['bytes=-0', 10],
    ['bytes=0-', 0],
    ['bytes=-5', 0],
    ['bytes=0-0', 0],
  ])('refuses %s of %d bytes', (header, sizeBytes) => {
    expect(() => resolve(header, sizeBytes)).toThrow(expect.objectContaining({ code: 'RANGE_INVALID' }));
  });

  test('never leaves the content and never is empty', () => {
    const suffix = fc.maxSafeNat().map((length) => ({ suffix: length }));
    const fromFirst = fc.record({ first: fc.maxSafeNat(), last: fc.option(fc.maxSafeNat(), { nil: undefined }) });
    fc.assert(
      fc.property(fc.oneof(suffix, fromFirst), fc.oneof(fc.nat(20), fc.maxSafeNat()), (request, sizeBytes) => {
        const { start, end } = resolvedOrNothing(request, sizeBytes) ?? { start: 0, end: 1 };
        expect([start >= 0, start < end, end <= Math.max(1, sizeBytes)]).toEqual([true, true, true]);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('Content-Range', () => {
  test('is read as it was written', () => {
    const range = fc.tuple(fc.nat(1_000_000), fc.integer({ min: 1, max: 1_000_000 }), fc.nat(1_000_000));
    fc.assert(
      fc.property(range, ([start, length, rest]) => {
        const [end, sizeBytes] = [start + length, start + length + rest];
        expect(parseContentRange(formatContentRange({ start, end }, sizeBytes))).toEqual({ start, end, sizeBytes });
      }),
    );
  });

  test.each([
    undefined,
    '',
    'bytes */10',
    'bytes 0-4/*',
    'bytes 5-4/10',
    'bytes 0-10/10',
    'bytes 0-4/0',
    'bytes 0-4',
    'bytes=0-4/10',
    ' bytes 0-4/10',
    'bytes 0-4/10\n',
    'bytes -1-4/10',
    'bytes 0-4/1e9',
    `bytes 0-4/${'9'.repeat(16)}`,
  ])('%j names no bytes that one could rely on', (header) => {
    expect(parseContentRange(header)).toBeUndefined();
  });
});

function resolve(header: string, sizeBytes: number): ByteRange {
  const request = parseRange(header);
  if (!request) throw new Error(`${header} was ignored`);
  return resolveRange(request, sizeBytes);
}

function resolvedOrNothing(request: RangeRequest, sizeBytes: number): ByteRange | undefined {
  try {
    return resolveRange(request, sizeBytes);
  } catch (error) {
    if (error instanceof OciError && error.code === 'RANGE_INVALID') return undefined;
    throw error;
  }
}
