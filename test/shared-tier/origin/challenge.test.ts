import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from '../../../shared-tier/origin/challenge.ts';

type Plain = [scheme: string, parameters: Record<string, string>];

function parsed(header: string | string[] | undefined): Plain[] {
  return parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);
}

describe('challenges', () => {
  test.each<[string | string[] | undefined, Plain[]]>([
    [undefined, []],
    ['', []],
    ['Basic realm="circ"', [['basic', { realm: 'circ' }]]],
    ['BASIC Realm=circ', [['basic', { realm: 'circ' }]]],
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull"',
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:library/busybox:pull',
          },
        ],
      ],
    ],
    ['Bearer realm = "a" , scope = "b,c"', [['bearer', { realm: 'a', scope: 'b,c' }]]],
    ['Bearer realm="say \\"hi\\" \\\\"', [['bearer', { realm: 'say "hi" \\' }]]],
    ['Bearer realm=""', [['bearer', { realm: '' }]]],
    ['Negotiate', [['negotiate', {}]]],
    [
      'Basic realm="a", Bearer realm="b"',
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    [
      ['Basic realm="a"', 'Bearer realm="b"'],
      [
        ['basic', { realm: 'a' }],
        ['bearer', { realm: 'b' }],
      ],
    ],
    [',, Bearer realm="b",,', [['bearer', { realm: 'b' }]]],
    ['Bearer realm="b", realm="c"', [['bearer', { realm: 'c' }]]],
  ])('%j', (header, expected) => {
    expect(parsed(header)).toEqual(expected);
  });

  test.each(['Bearer realm="unterminated', 'Bearer realm="a" ; scope="b"', 'Bearer =x', '"quoted"'])(
    'end where the grammar does: %s',
    (header) => {
      const [first] = parsed(header);
      expect(first?.[1]['scope']).toBeUndefined();
    },
  );

  test('of any text are parsed without an error, in time that does not depend on their content', () => {
    const hostile = fc.oneof(
      fc.string({ maxLength: 300 }),
      fc
        .array(fc.constantFrom('Bearer ', 'a', '=', '"', '\\', ',', ' ', '\r\n', '\0', 'é'), { maxLength: 300 })
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(hostile, (header) => {
        expect(Array.isArray(parseChallenges(header))).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    '"'.repeat(100_000),
    `a="${'\\'.repeat(100_000)}`,
    'a '.repeat(100_000),
    'a=b,'.repeat(50_000),
    ' '.repeat(200_000),
  ])('that are as long as an attacker likes are cut', (header) => {
    const startedAt = performance.now();
    parseChallenges(header);
    expect(performance.now() - startedAt).toBeLessThan(200);
  });
});
