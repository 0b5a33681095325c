import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from '../../../shared-tier/origin/challenge.ts';

type Plain = [scheme: string, parameters: Record<string, string>];

function parsed(...lines: string[]): Plain[] | undefined {
  return parseChallenges(lines)?.map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

const HUB = {
  realm: 'https://auth.docker.io/token',
  service: 'registry.docker.io',
  scope: 'repository:library/busybox:pull',
};

describe('challenges', () => {
  test.each<[string[], Plain[]]>([
    [[], []],
    [['Basic realm="circ"'], [['basic', { realm: 'circ' }]]],
    [['BASIC Realm=circ'], [['basic', { realm: 'circ' }]]],
    [[`Bearer realm="${HUB.realm}",service="${HUB.service}",scope="${HUB.scope}"`], [['bearer', HUB]]],
    [['Bearer realm="a" , scope="b,c"'], [['bearer', { realm: 'a', scope: 'b,c' }]]],
    [['Bearer realm=""'], [['bearer', { realm: '' }]]],
    [['Negotiate'], [['negotiate', {}]]],
    [
      ['Basic realm="a", Bearer realm="b", service=c'],
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b', service: 'c' }],
      ],
    ],
    [
      ['Basic realm="a"', 'Bearer realm="b"'],
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    [['Basic realm="a, Bearer realm=b"'], [['basic', { realm: 'a, Bearer realm=b' }]]],
  ])('%j', (lines, expected) => {
    expect(parsed(...lines)).toEqual(expected);
  });

  test.each([
    [''],
    ['Bearer realm="unterminated'],
    ['Bearer realm="a" ; scope="b"'],
    ['Bearer realm="a" Bearer realm="b"'],
    ['Bearer =x'],
    ['Bearer realm='],
    ['"quoted"'],
    ['Bearer realm = "a"'],
    [',, Bearer realm="b"'],
    ['Bearer realm="b",'],
    ['Bearer realm="b",,service="c"'],
    ['Bearer realm="b", realm="c"'],
    ['Bearer realm="b", REALM="c"'],
    ['Bearer realm="a\\"b"'],
    ['Bearer realm="a\\\\b"'],
    ['Bearer realm="ä"'],
    ['Bearer realm="a\tb"'],
    ['Bearer realm="a\r\nx: y"'],
    ['Bearer realm=https://a/b'],
    ['Negotiate YII=='],
    ['Bearer realm="a"', 'Bearer realm="unterminated'],
    [`Bearer realm="${'a'.repeat(5_000)}"`],
  ])('that could be read in two ways mean nothing: %j', (...lines) => {
    expect(parsed(...lines)).toBeUndefined();
  });

  const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,10}$/);
  const value = fc.stringMatching(/^[ !#-[\]-~]{0,30}$/);
  const challenge = fc.record({
    scheme: token,
    pairs: fc.uniqueArray(fc.tuple(token, value), { selector: ([name]) => name.toLowerCase(), maxLength: 5 }),
  });

  test('come back as they were written', () => {
    fc.assert(
      fc.property(fc.array(fc.array(challenge, { minLength: 1, maxLength: 3 }), { maxLength: 3 }), (lines) => {
        const written = lines.map((line) =>
          line
            .map(({ scheme, pairs }) => [scheme, pairs.map(([name, text]) => `${name}="${text}"`).join(',')])
            .map((parts) => parts.filter((part) => part !== '').join(' '))
            .join(', '),
        );
        const expected = lines
          .flat()
          .map(({ scheme, pairs }) => [scheme.toLowerCase(), pairs.map(([name, text]) => [name.toLowerCase(), text])]);
        const actual = parseChallenges(written)?.map((each) => [each.scheme, [...each.parameters]]);
        expect(actual).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  test('of any text are parsed without an error, and name no realm that is not in the text between quotes', () => {
    const pieces = fc.array(
      fc.constantFrom('Bearer ', 'realm=', 'a', '=', '"', '\\', ',', ' ', '\r\n', '\0', 'é', '"https://a/"'),
      { maxLength: 100 },
    );
    const hostile = fc.oneof(
      fc.string({ maxLength: 300 }),
      pieces.map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(hostile, (line) => {
        for (const { parameters } of parseChallenges([line]) ?? []) {
          const realm = parameters.get('realm') ?? '';
          expect(line.includes(`"${realm}"`) || /^[\w!#$%&'*+.^`|~-]*$/.test(realm)).toBe(true);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    '"'.repeat(100_000),
    `a="${'\\'.repeat(100_000)}`,
    'a '.repeat(2_000),
    `a ${'a=b,'.repeat(1_000)}`,
    ' '.repeat(4_000),
    `a a=a${' '.repeat(4_000)}`,
    `a a=a${' ,'.repeat(2_000)}`,
    'a,'.repeat(2_000),
  ])('take no time, whatever an attacker sends', (line) => {
    const startedAt = performance.now();
    parseChallenges([line]);
    expect(performance.now() - startedAt).toBeLessThan(100);
  });
});
