import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Layout } from '../../content/layout.ts';
import { digestOf, hexOf } from '../../oci/digest.ts';

const layout = new Layout('/cache');

describe('Layout', () => {
  test('keeps content by algorithm, first byte and hex', () => {
    const digest = digestOf(Buffer.from('abc'));
    expect(layout.blob(digest)).toBe(`/cache/v1/blobs/sha256/ba/${hexOf(digest)}`);
  });

  test('knows each digest again by its path', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.constantFrom('sha256' as const, 'sha512' as const), (bytes, algorithm) => {
        const digest = digestOf(bytes, algorithm);
        expect(layout.digestAt(layout.blob(digest).slice(layout.blobs.length + 1))).toBe(digest);
      }),
    );
  });

  test('takes for content only what lies where that content belongs', () => {
    const hex = 'ab'.repeat(32);
    const part = fc.constantFrom('sha256', 'sha512', 'a', 'ab', 'abab', hex, hex.toUpperCase(), '..', '.', '', 'x');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const path = parts.join('/');
        const digest = layout.digestAt(path);
        expect(digest === undefined || layout.blob(digest) === join(layout.blobs, path)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test('never gives a temporary path twice, and all in one directory', () => {
    const paths = Array.from({ length: 100 }, () => layout.temporary());
    expect(new Set(paths).size).toBe(100);
    expect(new Set(paths.map((path) => join(path, '..')))).toEqual(new Set(['/cache/v1/ingest']));
  });
});
