import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { DOCKER_HUB } from '../../oci/reference.ts';
import { type OciRequest, parseRequest } from '../../oci/request.ts';

const D = digestOf(Buffer.from('x'));

describe('a hostile ns is refused:', () => {
  test.each([
    ['empty', 'ns='],
    ['empty without =', 'ns'],
    ['given twice', 'ns=quay.io&ns=quay.io'],
    ['given twice, one encoded', 'ns=quay.io&%6es=ghcr.io'],
    ['userinfo', 'ns=me:pw@quay.io'],
    ['a path', 'ns=quay.io/x'],
    ['an encoded path', 'ns=quay.io%2Fx'],
    ['a scheme', 'ns=http://quay.io'],
    ['a space', 'ns=quay.io%20'],
    ['a plus, which is a space', 'ns=quay.io+'],
    ['a newline', 'ns=quay.io%0A'],
    ['a carriage return', 'ns=quay.io%0D%0AX:1'],
    ['an encoded NUL', 'ns=quay.io%00'],
    ['a trailing dot', 'ns=quay.io.'],
    ['unicode', 'ns=qu%D0%B0y.io'],
    ['the Kelvin sign for k', 'ns=doc%E2%84%AAer.io'],
    ['bad percent-encoding', 'ns=quay.io%ZZ'],
    ['bad UTF-8', 'ns=%FF'],
    ['a second question mark', 'ns=quay.io?ns=ghcr.io'],
    ['a semicolon', 'ns=quay.io;x=1'],
    ['a fragment', 'ns=quay.io#x'],
    ['a glob', 'ns=*.io'],
    ['encoded twice', 'ns=quay%252eio'],
    ['over-long', `ns=${'a.'.repeat(200)}io`],
  ])('%s', (_, query) => {
    expect(outcome(`/v2/org/app/manifests/v1?${query}`)).toBe('NAME_INVALID');
  });
});

describe('a hostile path is refused:', () => {
  test.each([
    ['an encoded slash', '/v2/org%2fapp/manifests/v1'],
    ['an encoded slash in capitals', '/v2/org%2Fapp/manifests/v1'],
    ['an encoded backslash', '/v2/org%5capp/manifests/v1'],
    ['an encoded dot', '/v2/%2e%2e/app/manifests/v1'],
    ['a slash encoded twice', '/v2/org%252fapp/manifests/v1'],
    ['an encoded NUL', '/v2/org/app%00/manifests/v1'],
    ['an encoded newline', '/v2/org/app/manifests/v1%0A'],
    ['a dot-dot', '/v2/org/../app/manifests/v1'],
    ['a dot-dot in front', '/v2/../manifests/v1'],
    ['two slashes', '/v2/org//app/manifests/v1'],
    ['two slashes behind', '/v2/org//manifests/v1'],
    ['a backslash', '/v2/org\\app/manifests/v1'],
    ['upper case', '/v2/Org/app/manifests/v1'],
    ['a space', '/v2/my%20app/manifests/v1'],
    ['DEL', '/v2/app%7f/manifests/v1'],
    ['unicode', '/v2/b%C3%BCcher/manifests/v1'],
    ['an over-long encoding of a slash', '/v2/org%c0%afapp/manifests/v1'],
    ['bad percent-encoding', '/v2/a%/manifests/v1'],
    ['a registry with userinfo', '/v2/me@quay.io/app/manifests/v1'],
    ['a registry with a trailing dot', '/v2/quay.io./app/manifests/v1'],
    ['only dots for a registry', '/v2/.../app/manifests/v1'],
    ['a registry with an absurd port', '/v2/quay.io:99999/app/manifests/v1'],
    ['a question mark, encoded', '/v2/app%3fns=x/manifests/v1'],
    ['a name of 256', `/v2/org/${'a'.repeat(252)}/manifests/v1`],
    ['a path of kilobytes that is no endpoint', `/v2/${'a'.repeat(2_000)}`],
    ['a path of kilobytes', `/v2/${'a/'.repeat(2_000)}manifests/v1`],
  ])('%s', (_, url) => {
    expect(outcome(url)).toBe('NAME_INVALID');
  });

  test.each(['.hidden', '-x', 'a'.repeat(129), 'v1#x', 'v%201', '%F0%9F%98%80'])('the tag %s', (tag) => {
    expect(outcome(`/v2/org/app/manifests/${tag}`)).toBe('TAG_INVALID');
  });

  test.each(['x', 'sha256:', `sha256:${'a'.repeat(128)}`, `sha512:${'a'.repeat(64)}`, D.toUpperCase(), 'md5:aa'])(
    'the blob digest %s',
    (digest) => {
      expect(outcome(`/v2/org/app/blobs/${digest}`)).toBe('DIGEST_INVALID');
    },
  );
});

describe('parseRequest', () => {
  test("answers every URL with a request of checked names, or with an error that is the client's", () => {
    const names = ['a', 'quay.io', D, 'v1', '..', 'ns=', 'ns=quay.io', '[::1]'];
    const marks = ['/', '/v2/', '/manifests/', '/blobs/', '%2f', '%', '?', '&', ':', '@', '\0', '%00', '#'];
    const part = fc.constantFrom(...names, ...marks);
    const parts = fc.array(part, { maxLength: 12 }).map((each) => each.join(''));
    const near = fc.tuple(parts, parts).map(([name, query]) => `/v2/${name}/manifests/v1?${query}`);
    fc.assert(
      fc.property(fc.oneof(parts, near, fc.webPath(), fc.string()), (url) => {
        expect(outcome(url)).toMatch(
          /^(?:[A-Z]+_(?:INVALID|UNKNOWN)|ping|[a-z0-9.:[\]-]+(?:\/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+)$/,
        );
      }),
      { numRuns: 2_000 },
    );
  });
});

/** The error's code, or what the request is about. */
function outcome(url: string): string {
  let request: OciRequest;
  try {
    request = parseRequest({ method: 'GET', url, headers: {} }, { default: DOCKER_HUB, isListed: () => false });
  } catch (error) {
    return error instanceof OciError ? error.code : `not an OciError: ${String(error)}`;
  }
  return request.kind === 'ping' ? 'ping' : `${request.registry}/${request.repository}`;
}
