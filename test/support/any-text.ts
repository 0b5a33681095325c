import * as fc from 'fast-check';

const SURROGATES = { first: 0xd800, last: 0xdfff };

/**
 * Any text that UTF-8 can say, of any characters: what `fc.string({ unit: 'binary' })` gives, without the second that each
 * of those takes to index all of Unicode.
 */
export function anyText(): fc.Arbitrary<string> {
  const point = fc.oneof(
    fc.integer({ min: 0, max: SURROGATES.first - 1 }),
    fc.integer({ min: SURROGATES.last + 1, max: 0x10ffff }),
  );
  return fc.string({ unit: point.map((code) => String.fromCodePoint(code), pointOf) });
}

/** @throws for what is not one character, as fast-check wants it */
function pointOf(character: unknown): number {
  const code = typeof character === 'string' ? character.codePointAt(0) : undefined;
  if (code === undefined || String.fromCodePoint(code) !== character) throw new Error('not one character');
  return code;
}
