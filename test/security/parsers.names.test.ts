import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import { DOCKER_HUB, parseReference, parseRegistry, parseRepository } from '../../oci/reference.ts';
import { anyText } from '../support/any-text.ts';
import { isDigestText, isRegistryInside, isRegistryText, isRepository, isTag } from './grammar.ts';

const RUNS = { numRuns: 2_000 };
const QUAY = parseRegistry('quay.io');

/** Texts near the grammars: their own characters and whole names, with what an attacker would slip in between. */
const PARTS = [
  'a z 0 9 A . .. _ __ ___ - -- / // : :5000 :443 :0 :65536 @ % %2f \\ ? # \0 \t \r\n \u212a \uff0e \u0430'.split(' '),
  'quay.io docker.io index.docker.io localhost 127.0.0.1 [::1] 0x7f.1 xn--a library sha256: sha512:'.split(' '),
  [' ', 'a'.repeat(63), 'f'.repeat(64), '0'.repeat(128)],
].flat();
const part = fc.constantFrom(...PARTS);
const near = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''));
const text = fc.oneof(near, near, fc.string(), anyText());

/** What a parser made of a text; undefined when it refused it, as the client's error. */
function parsed<T>(parse: (given: string) => T, given: string): T | undefined {
  try {
    return parse(given);
  } catch (error) {
    if (error instanceof OciError && error.status === 400) return undefined;
    throw error;
  }
}

describe('names that no grammar has', () => {
  test('are no repositories', () => {
    fc.assert(
      fc.property(text, (given) => {
        expect(parsed((name) => parseRepository(name, QUAY), given)).toBe(isRepository(given) ? given : undefined);
      }),
      RUNS,
    );
  });

  test('are no repositories of Docker Hub', () => {
    fc.assert(
      fc.property(text, (given) => {
        const whole = given.includes('/') ? given : `library/${given}`;
        const isOne = isRepository(given);
        expect(parsed((name) => parseRepository(name, DOCKER_HUB), given)).toBe(isOne ? whole : undefined);
      }),
      RUNS,
    );
  });

  test('are neither tags nor digests', () => {
    fc.assert(
      fc.property(text, (given) => {
        const reference = parsed(parseReference, given);
        const expected = isDigestText(given)
          ? { kind: 'digest', digest: given }
          : isTag(given)
            ? { kind: 'tag', tag: given }
            : undefined;
        expect(reference).toEqual(expected);
      }),
      RUNS,
    );
  });

  test('are no registries', () => {
    fc.assert(
      fc.property(text, (given) => {
        const registry = parsed(parseRegistry, given);
        if (registry === undefined) return;
        expect([given, isRegistryText(given)]).toEqual([given, true]);
        expect([registry, isRegistryInside(registry)]).toEqual([registry, true]);
        expect(parseRegistry(registry)).toBe(registry);
      }),
      RUNS,
    );
  });
});

describe('names of the grammar', () => {
  const letters = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz0123456789'.split(''));
  const run = fc.string({ unit: letters, minLength: 1, maxLength: 8 });
  const separator = fc.constantFrom('.', '_', '__', '-', '--', '---');

  test('are repositories', () => {
    const component = fc
      .tuple(run, fc.array(fc.tuple(separator, run), { maxLength: 3 }))
      .map(([first, rest]) => first + rest.flat().join(''));
    const name = fc.array(component, { minLength: 1, maxLength: 6 }).map((components) => components.join('/'));
    fc.assert(
      fc.property(
        name.filter((each) => each.length <= 255),
        (given) => {
          expect(parseRepository(given, QUAY)).toBe(given);
        },
      ),
      RUNS,
    );
  });

  test('are registries, whose port 443 and upper case make no difference', () => {
    const host = fc
      .tuple(fc.array(run, { minLength: 1, maxLength: 4 }), fc.constantFrom('io', 'test', 'com'))
      .map(([labels, top]) => [...labels, top].join('.'))
      .filter((name) => !name.endsWith('docker.io'));
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65_535 }), (name, port) => {
        expect(parseRegistry(name)).toBe(name);
        expect(parseRegistry(`${name.toUpperCase()}:443`)).toBe(name);
        expect(parseRegistry(`${name}:${port}`)).toBe(port === 443 ? name : `${name}:${port}`);
      }),
      RUNS,
    );
  });
});
