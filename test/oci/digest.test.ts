import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { algorithmOf, digestOf, hexOf, isDigest, parseDigest } from '../../oci/digest.ts';

const HEX_256 = 'a1'.repeat(32);
const HEX_512 = '0f'.repeat(64);

describe('parseDigest', () => {
  test.each([`sha256:${HEX_256}`, `sha512:${HEX_512}`])('accepts %s', (text) => {
    expect(parseDigest(text)).toBe(text);
  });

  test.each([
    ['nothing', ''],
    ['no algorithm', HEX_256],
    ['no hex', 'sha256:'],
    ['sha256 with the length of sha512', `sha256:${HEX_512}`],
    ['sha512 with the length of sha256', `sha512:${HEX_256}`],
    ['one digit too few', `sha256:${HEX_256.slice(1)}`],
    ['one digit too many', `sha256:${HEX_256}0`],
    ['upper-case hex', `sha256:${HEX_256.toUpperCase()}`],
    ['an upper-case algorithm', `SHA256:${HEX_256}`],
    ['an algorithm that is not registered', `md5:${'a'.repeat(32)}`],
    ['sha384', `sha384:${'a'.repeat(96)}`],
    ['a digit that is not hex', `sha256:g${HEX_256.slice(1)}`],
    ['a full-width digit', `sha256:${'\uff10'.repeat(64)}`],
    ['a trailing newline', `sha256:${HEX_256}\n`],
    ['a leading space', ` sha256:${HEX_256}`],
    ['a NUL at the end', `sha256:${HEX_256}\0`],
    ['two lines of which one is good', `x\nsha256:${HEX_256}`],
    ['dots and slashes', `sha256:${'../'.repeat(21)}a`],
    ['two digests', `sha256:${HEX_256},sha256:${HEX_256}`],
  ])('refuses %s', (_, text) => {
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }));
  });

  test('does not repeat hostile text in its message', () => {
    expect(() => parseDigest('sha256:<script>')).toThrow(/^[^<]*$/);
  });

  test('accepts only what is safe in a path', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^sha(256|512):[0-9a-f./%]{64,128}$/)), (text) => {
        expect(!isDigest(text) || /^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$/.test(text)).toBe(true);
      }),
    );
  });
});

describe('digestOf', () => {
  test('is what the system of hashes says, and can be taken apart again', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        (bytes, of) => {
          const digest = digestOf(bytes, of);
          expect(parseDigest(digest)).toBe(digest);
          expect(algorithmOf(digest)).toBe(of);
          expect(hexOf(digest)).toBe(createHash(of).update(bytes).digest('hex'));
        },
      ),
    );
  });

  test('is sha256 unless told otherwise', () => {
    expect(digestOf(Buffer.from('abc'))).toBe(
      'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
  });
});
