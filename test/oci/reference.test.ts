import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { DOCKER_HUB, formatReference, parseReference, parseRegistry, parseRepository } from '../../oci/reference.ts';
import { anyText } from '../support/any-text.ts';

const DIGEST = digestOf(Buffer.from('x'));
const LABEL_63 = 'a'.repeat(63);

describe('parseRegistry', () => {
  test.each([
    ['quay.io', 'quay.io'],
    ['QUAY.io', 'quay.io'],
    ['ghcr.io:443', 'ghcr.io'],
    ['ghcr.io:0443', 'ghcr.io'],
    ['ghcr.io:80', 'ghcr.io:80'],
    ['registry.lab:5000', 'registry.lab:5000'],
    ['registry.lab:05000', 'registry.lab:5000'],
    ['registry.lab:65535', 'registry.lab:65535'],
    ['localhost', 'localhost'],
    ['localhost:5000', 'localhost:5000'],
    ['10.0.0.7:5000', '10.0.0.7:5000'],
    ['0x7f.1', '127.0.0.1'],
    ['[::1]', '[::1]'],
    ['[::ffff:127.0.0.1]', '[::ffff:7f00:1]'],
    ['[::1]:443', '[::1]'],
    ['[2001:DB8::7]:5000', '[2001:db8::7]:5000'],
    ['[2001:db8:0:0:0:0:0:7]:5000', '[2001:db8::7]:5000'],
    ['docker.io', 'docker.io'],
    ['index.docker.io', 'docker.io'],
    ['registry-1.docker.io', 'docker.io'],
    ['Registry-1.Docker.IO:443', 'docker.io'],
    ['docker.io:5000', 'docker.io:5000'],
    ['registry-2.docker.io', 'registry-2.docker.io'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    [`${LABEL_63}.io`, `${LABEL_63}.io`],
  ])('names %s as %s', (text, name) => {
    expect(parseRegistry(text)).toBe(name);
  });

  test.each([
    ['nothing', ''],
    ['a scheme', 'https://quay.io'],
    ['a path', 'quay.io/org'],
    ['a trailing slash', 'quay.io/'],
    ['userinfo', 'me:secret@quay.io'],
    ['a user', 'me@quay.io'],
    ['a query', 'quay.io?x=1'],
    ['a fragment', 'quay.io#x'],
    ['a backslash', 'quay.io\\x'],
    ['a leading space', ' quay.io'],
    ['a trailing space', 'quay.io '],
    ['a newline', 'quay.io\n'],
    ['a header behind a newline', 'quay.io\r\nX-Evil: 1'],
    ['a tab', 'qu\tay.io'],
    ['a NUL', 'quay.io\0'],
    ['a trailing dot', 'quay.io.'],
    ['a leading dot', '.quay.io'],
    ['two dots', 'quay..io'],
    ['only dots', '..'],
    ['a leading hyphen', '-quay.io'],
    ['a trailing hyphen', 'quay-.io'],
    ['an underscore', 'quay_x.io'],
    ['a percent sign', 'quay%2eio'],
    ['a Cyrillic letter', 'qu\u0430y.io'],
    ['a letter that only lower-cases to ASCII', 'doc\u212Aer.io'],
    ['a full-width dot', 'quay\uff0eio'],
    ['an empty port', 'quay.io:'],
    ['port 0', 'quay.io:0'],
    ['a port above 65535', 'quay.io:65536'],
    ['a port that is no number', 'quay.io:http'],
    ['a negative port', 'quay.io:-1'],
    ['two ports', 'quay.io:1:2'],
    ['IPv6 without brackets', '::1'],
    ['IPv6 with a zone', '[fe80::1%25eth0]'],
    ['an open bracket', '[::1'],
    ['brackets around a name', '[quay.io]'],
    ['brackets around no address', '[::::]'],
    ['brackets around too much', '[1:2:3:4:5:6:7:8:9]'],
    ['an IPv4 address out of range', '256.1.1.1'],
    ['five numbers', '1.2.3.4.5'],
    ['a label of 64', `${LABEL_63}a.io`],
    ['more than a host name may have', `${`${LABEL_63}.`.repeat(5)}io`],
  ])('refuses %s', (_, text) => {
    expect(() => parseRegistry(text)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }));
  });

  test('names the same registry again by the name it gave', () => {
    fc.assert(
      fc.property(hostile(), (text) => {
        const name = accepted(() => parseRegistry(text));
        expect(name === undefined ? undefined : parseRegistry(name)).toBe(name);
      }),
    );
  });

  test('accepts only what is a URL of that very host and nothing else', () => {
    fc.assert(
      fc.property(hostile(), (text) => {
        const name = accepted(() => parseRegistry(text));
        expect(new URL(`https://${name ?? 'none'}/v2/`).href).toBe(`https://${name ?? 'none'}/v2/`);
        expect(name ?? '').not.toMatch(/[^a-z0-9.:[\]-]/);
      }),
    );
  });
});

describe('parseRepository', () => {
  const quay = parseRegistry('quay.io');

  test.each([
    'app',
    'org/app',
    'a/b/c/d/e',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a--b',
    '0',
    'a'.repeat(255),
    'blobs/manifests',
  ])('accepts %s', (text) => {
    expect(parseRepository(text, quay)).toBe(text);
  });

  test.each([
    ['nothing', ''],
    ['upper case', 'Org/app'],
    ['two slashes', 'org//app'],
    ['a leading slash', '/app'],
    ['a trailing slash', 'app/'],
    ['..', '..'],
    ['.. inside', 'org/../app'],
    ['. inside', 'org/./app'],
    ['two dots', 'a..b'],
    ['three underscores', 'a___b'],
    ['a leading dot', '.app'],
    ['a trailing hyphen', 'app-'],
    ['mixed separators', 'a._b'],
    ['a backslash', 'org\\app'],
    ['a NUL', 'app\0'],
    ['a newline', 'app\n'],
    ['a space', 'my app'],
    ['a colon', 'app:1'],
    ['an at sign', 'app@x'],
    ['a percent sign', 'a%2fb'],
    ['unicode', 'b\u00fccher'],
    ['256 characters', 'a'.repeat(256)],
    ['256 characters in components', `${'a/'.repeat(127)}aa`],
  ])('refuses %s', (_, text) => {
    expect(() => parseRepository(text, quay)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }));
  });

  test('gives one-component names of Docker Hub their library/', () => {
    expect(parseRepository('alpine', DOCKER_HUB)).toBe('library/alpine');
    expect(parseRepository('library/alpine', DOCKER_HUB)).toBe('library/alpine');
    expect(parseRepository('bitnami/redis', DOCKER_HUB)).toBe('bitnami/redis');
  });

  test('leaves one-component names of other registries as they are', () => {
    expect(parseRepository('alpine', parseRegistry('registry.lab:5000'))).toBe('alpine');
  });

  test('takes no longer for a name that almost fits', () => {
    const almost = `${'a-'.repeat(127)}!`;
    const begin = performance.now();
    expect(() => parseRepository(almost, quay)).toThrow('repository name');
    expect(performance.now() - begin).toBeLessThan(2_000);
  });

  test('accepts only what is safe in a path', () => {
    fc.assert(
      fc.property(hostile(), (text) => {
        const name = accepted(() => parseRepository(text, quay)) ?? 'a';
        expect(new URL(`https://quay.io/v2/${name}`).pathname).toBe(`/v2/${name}`);
        expect(name).toMatch(/^[a-z0-9._/-]{1,255}$/);
      }),
    );
  });
});

describe('parseReference', () => {
  test.each(['latest', 'v1.2.3', '_x', 'A', '3.19-alpine_x', 'a'.repeat(128)])('knows the tag %s', (tag) => {
    expect(parseReference(tag)).toEqual({ kind: 'tag', tag });
  });

  test('knows digests', () => {
    expect(parseReference(DIGEST)).toEqual({ kind: 'digest', digest: DIGEST });
  });

  test.each(['', '.hidden', '-x', '..', 'a/b', 'a b', 'a\n', 'a\0', 'a%2fb', 't\u00e4g', 'a'.repeat(129)])(
    'refuses the tag %j',
    (tag) => {
      expect(() => parseReference(tag)).toThrow(expect.objectContaining({ code: 'TAG_INVALID' }));
    },
  );

  test.each([':', 'sha256:', 'sha256:abc', `sha512:${'a'.repeat(64)}`, 'latest:x', DIGEST.toUpperCase()])(
    'takes %s, which has a colon, for a bad digest',
    (text) => {
      expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'DIGEST_INVALID' }));
    },
  );

  test('is written as it was read', () => {
    fc.assert(
      fc.property(fc.oneof(fc.stringMatching(/^[\w][\w.-]{0,127}$/), fc.constant<string>(DIGEST)), (text) => {
        expect(formatReference(parseReference(text))).toBe(text);
      }),
    );
  });
});

/** Text that is sometimes nearly a name, and sometimes anything. */
function hostile(): fc.Arbitrary<string> {
  const part = fc.constantFrom(
    'a',
    'Z',
    '0',
    '127',
    '0x7f',
    '.',
    '..',
    ':',
    ':443',
    '/',
    '//',
    '-',
    '_',
    '%2f',
    '@',
    '[',
    '::1',
    ']',
    '\n',
    '\0',
    ' ',
    '\u212a',
    'xn--',
    'docker.io',
  );
  return fc.oneof(
    anyText(),
    fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')),
    fc.stringMatching(/^[a-z0-9]{1,4}([._-]{1,2}[a-z0-9]{1,3}){0,3}(:\d{1,5})?$/),
  );
}

function accepted<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof OciError && error.code === 'NAME_INVALID') return undefined;
    throw error;
  }
}
