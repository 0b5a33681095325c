import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { Authorization } from '../../oci/authorization.ts';
import { OciError } from '../../oci/error.ts';

function jwt(claims: unknown): string {
  return `${encoded({ alg: 'none' })}.${encoded(claims)}.signature`;
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function codeOf(values: readonly string[]): string {
  try {
    return Authorization.parse(values) ? 'taken' : 'none';
  } catch (error) {
    return OciError.from(error).code;
  }
}

describe('an Authorization header', () => {
  test.each(['Bearer abc', 'bearer  a.b.c', 'Basic dTpw', 'Digest username="a", realm="b"', 'AWS4-HMAC-SHA256 x=y'])(
    '%s is taken as it is',
    (header) => {
      expect(Authorization.parse([header])?.header).toBe(header);
    },
  );

  test('may be missing', () => {
    expect(Authorization.parse([])).toBeUndefined();
  });

  test.each(['Basic Og==', 'basic Og', 'Basic  Og=='])('%s names nobody: it is none', (header) => {
    expect(Authorization.parse([header])).toBeUndefined();
  });

  test.each(['Basic dTo=', 'Basic OnA=', 'Basic Ojo=', 'Bearer Og=='])('%s is one all the same', (header) => {
    expect(Authorization.parse([header])?.header).toBe(header);
  });

  test.each<readonly string[]>([
    ['Basic Og==', 'Bearer b'],
    ['Bearer a', 'Bearer b'],
    ['Bearer a', 'Bearer a'],
    [''],
    [' '],
    ['Bearer'],
    ['Bearer '],
    ['Bearer a '],
    [' Bearer a'],
    ['Bearer\ta'],
    ['Bearer a\r\nx-injected: 1'],
    ['Bearer a\nb'],
    ['Bearer a\0b'],
    ['Bearer ä'],
    ['Bearer 中'],
    ['Bea rer\u007f'],
    [`Bearer ${'a'.repeat(12 * 1024)}`],
  ])('is refused as %j', (...values) => {
    expect(codeOf(values)).toBe('AUTHORIZATION_INVALID');
  });

  test('that is refused is not repeated in the error', async () => {
    const error: unknown = await Promise.try(() => Authorization.parse(['Bearer top-secret\n'])).catch(
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(OciError);
    expect(inspect(error)).not.toContain('top-secret');
  });

  test('of any text is taken whole, or refused; and what is taken can be sent on', () => {
    const pieces = fc.array(fc.constantFrom('a', 'b', '=', '"', ',', ' ', '\t', '\r', '\n', '\0', 'é'), {
      maxLength: 6,
    });
    const anything = fc.oneof(
      fc.string({ maxLength: 30 }),
      pieces.map((each) => `Bearer ${each.join('')}`),
    );
    let taken = 0;
    fc.assert(
      fc.property(anything, (text) => {
        if (codeOf([text]) !== 'taken') return;
        taken += 1;
        if (Authorization.parse([text])?.header !== text || /[^\x20-\x7e]/.test(text)) throw new Error(text);
      }),
      { numRuns: 1_000 },
    );
    expect(taken).toBeGreaterThan(20);
  });

  test('is shown by nothing that shows objects', () => {
    const secret = Authorization.parse(['Bearer top-secret']);
    const lines: string[] = [];
    pino({ level: 'info' }, { write: (line) => lines.push(line) }).info({ secret, nested: { secret } }, 'x');
    const error = new OciError('UNAVAILABLE', 'x', { cause: { secret } });
    const shown = [JSON.stringify({ secret }), inspect(secret, { depth: 9, showHidden: true })];
    expect([...shown, ...lines, inspect(error, { depth: 9 })].join()).not.toContain('top-secret');
  });
});

describe('Basic credentials', () => {
  test.each([
    ['u', 'p'],
    ['', 'identity'],
    ['user', ''],
    ['user', 'with:colons:in:it'],
    ['_json_key', '{"type": "service_account"}'],
    ['ü', '中'],
  ])('of %j and %j come back as they were', (username, password) => {
    expect(Authorization.basic({ username, password }).basic).toEqual({ username, password });
  });

  test('survive any name without a colon, and any password', () => {
    const name = fc.string({ maxLength: 20, unit: 'grapheme' }).filter((each) => !each.includes(':'));
    fc.assert(
      fc.property(name, fc.string({ maxLength: 20, unit: 'grapheme' }), (username, password) => {
        expect(Authorization.basic({ username, password }).basic).toEqual({ username, password });
      }),
    );
  });

  test.each(['Bearer dTpw', 'Basic dXA', 'Basic !!!', 'Basic-x dTpw'])('are not in %s', (header) => {
    expect(Authorization.parse([header])?.basic).toBeUndefined();
  });

  test('are known by their scheme in any case', () => {
    expect(Authorization.parse(['bAsIc dTpw'])?.basic).toEqual({ username: 'u', password: 'p' });
  });
});

describe('the end of a token', () => {
  test('is what a JWT says', () => {
    expect(Authorization.bearer(jwt({ exp: 1_800_000_000 })).expiresAtMs).toBe(1_800_000_000_000);
  });

  test.each<unknown>([{}, { exp: 'soon' }, { exp: null }, { exp: Infinity }, null, 1, 'text'])(
    'is not known of a JWT that says %j',
    (claims) => {
      expect(Authorization.bearer(jwt(claims)).expiresAtMs).toBeUndefined();
    },
  );

  test.each(['Bearer opaque', 'Bearer a.b.c', 'Bearer ..', 'Basic dTpw', `Basic ${jwt({ exp: 1 })}`])(
    'is not known of %s',
    (header) => {
      expect(Authorization.parse([header])?.expiresAtMs).toBeUndefined();
    },
  );
});
