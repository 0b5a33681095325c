import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import { formatContentRange, parseContentRange, parseRange, resolveRange } from '../../oci/range.ts';
import { type Challenge, parseChallenges } from '../../shared-tier/origin/challenge.ts';
import { anyText } from '../support/any-text.ts';
import { bytesOf, isToken } from './grammar.ts';

const RUNS = { numRuns: 2_000 };

type Plain = [scheme: string, parameters: Record<string, string>];

/** What was read; undefined if the header was refused as a whole. */
function parsed(header: string): Plain[] | undefined {
  const challenges: readonly Challenge[] | undefined = parseChallenges([header]);
  return challenges?.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

type Written = readonly [scheme: string, parameters: readonly (readonly [name: string, value: string])[]][];

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

function written(all: Written): string {
  return all
    .map(([scheme, pairs]) => `${scheme} ${pairs.map(([name, text]) => `${name}=${quoted(text)}`).join(', ')}`)
    .join(', ');
}

function asRead(all: Written): Plain[] {
  return all.map(([scheme, pairs]) => [
    scheme.toLowerCase(),
    Object.fromEntries(pairs.map(([name, text]) => [name.toLowerCase(), text])),
  ]);
}

describe('a Range header', () => {
  const number = fc.oneof(
    fc.nat(2_000).map(String),
    fc.constantFrom('', '0', '00', '999999999999999', '1e3', '-1', ' 1'),
  );
  const near = fc
    .tuple(
      fc.constantFrom('bytes=', 'bytes', 'Bytes=', 'items=', ''),
      number,
      fc.constantFrom('-', '--', ',', ''),
      number,
    )
    .map((pieces) => pieces.join(''));

  test('means what the RFC says, for every size', () => {
    fc.assert(
      fc.property(fc.oneof(near, near, fc.string()), fc.nat(1_500), (header, sizeBytes) => {
        let meant: ReturnType<typeof bytesOf>;
        try {
          const request = parseRange(header);
          const range = request && resolveRange(request, sizeBytes);
          meant = range ? [range.start, range.end] : 'whole';
        } catch (error) {
          if (!(error instanceof OciError) || error.code !== 'RANGE_INVALID') throw error;
          meant = 'none';
        }
        expect([header, sizeBytes, meant]).toEqual([header, sizeBytes, bytesOf(header, sizeBytes)]);
      }),
      RUNS,
    );
  });

  test('of any length is read or ignored, never an error', () => {
    const digits = fc.stringMatching(/^\d{0,400}$/);
    fc.assert(
      fc.property(digits, digits, (first, last) => {
        const request = parseRange(`bytes=${first}-${last}`);
        for (const value of Object.values(request ?? {})) expect(value === undefined || value < 1e15).toBe(true);
      }),
      RUNS,
    );
  });
});

describe('a Content-Range header', () => {
  test('that is read names bytes within the size, and is what it was written as', () => {
    const near = fc
      .tuple(
        fc.constantFrom('bytes ', 'bytes=', 'bytes'),
        fc.nat(99),
        fc.constantFrom('-', '/'),
        fc.nat(99),
        fc.nat(150),
      )
      .map(([unit, first, dash, last, size]) => `${unit}${first}${dash}${last}/${size}`);
    fc.assert(
      fc.property(fc.oneof(near, near, fc.string()), (header) => {
        const range = parseContentRange(header);
        if (range === undefined) return;
        expect(range.start < range.end && range.end <= range.sizeBytes).toBe(true);
        expect(formatContentRange(range, range.sizeBytes)).toBe(header);
      }),
      RUNS,
    );
  });
});

describe('a challenge', () => {
  const token = fc.stringMatching(/^[a-zA-Z][a-zA-Z0-9_-]{0,10}$/);
  const any = fc.string({ unit: 'grapheme-ascii', maxLength: 30 });
  const plain = any.filter((text) => !/["\\]/.test(text));

  /** Headers with their challenges: a scheme, and parameters each of which has another name. */
  const headersOf = (value: fc.Arbitrary<string>) => {
    const parameters = fc.uniqueArray(fc.tuple(token, value), {
      selector: ([name]) => name.toLowerCase(),
      minLength: 1,
      maxLength: 4,
    });
    return fc.array(fc.tuple(token, parameters), { minLength: 1, maxLength: 3 });
  };

  test('of the plain grammar is read back as it was written', () => {
    fc.assert(
      fc.property(headersOf(plain), (all) => {
        expect(parsed(written(all))).toEqual(asRead(all));
      }),
      RUNS,
    );
  });

  test('with escapes in it is read back as it was written, or not at all', () => {
    fc.assert(
      fc.property(headersOf(any), (all) => {
        const read = parsed(written(all));
        expect(read ?? asRead(all)).toEqual(asRead(all));
      }),
      RUNS,
    );
  });

  test('of any text has names that are tokens and values that were in the text', () => {
    const marks =
      'Bearer Basic realm service = " \\ \\" , \t \r\n \0 é \u2028 ; https://auth.test/token @ a {} =='.split(' ');
    const piece = fc.constantFrom(' ', ...marks);
    const near = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''));
    fc.assert(
      fc.property(fc.oneof(near, near, fc.string(), anyText()), (header) => {
        const bare = header.replaceAll('\\', '');
        for (const [scheme, parameters] of parsed(header) ?? []) {
          expect([scheme, isToken(scheme), scheme.toLowerCase()]).toEqual([scheme, true, scheme]);
          for (const [name, text] of Object.entries(parameters)) {
            expect([name, isToken(name)]).toEqual([name, true]);
            expect(bare).toContain(text.replaceAll('\\', ''));
          }
        }
      }),
      RUNS,
    );
  });
});
