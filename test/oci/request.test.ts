import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { DOCKER_HUB, parseRegistry } from '../../oci/reference.ts';
import { type OciRequest, type RawRequest, type RegistryNames, parseRequest } from '../../oci/request.ts';

const D = digestOf(Buffer.from('x'));
const D512 = digestOf(Buffer.from('x'), 'sha512');
const LISTED = new Set(['registry', 'mirror']);
const names: RegistryNames = { default: DOCKER_HUB, isListed: (name) => LISTED.has(name) };

describe('the endpoints', () => {
  test.each(['/v2', '/v2/', '/v2/?ns=docker.io', '/v2?x'])('%s is a ping', (url) => {
    expect(get(url)).toEqual({ kind: 'ping' });
  });

  test('a manifest is asked for by tag', () => {
    expect(get('/v2/org/app/manifests/v1')).toMatchObject({
      kind: 'manifest',
      repository: 'org/app',
      reference: { kind: 'tag', tag: 'v1' },
    });
  });

  test.each([D, D512])('a manifest is asked for by %s', (digest) => {
    expect(get(`/v2/org/app/manifests/${digest}`)).toMatchObject({ reference: { kind: 'digest', digest } });
  });

  test.each([D, D512])('a blob is asked for by %s', (digest) => {
    expect(get(`/v2/org/app/blobs/${digest}`)).toMatchObject({ kind: 'blob', repository: 'org/app', digest });
  });

  test('a digest may come percent-encoded', () => {
    expect(get(`/v2/org/app/blobs/${encodeURIComponent(D)}`)).toMatchObject({ kind: 'blob', digest: D });
  });

  test('HEAD is parsed like GET', () => {
    expect(parse({ method: 'HEAD', url: '/v2/a/b/manifests/x' })).toEqual(get('/v2/a/b/manifests/x'));
  });

  test.each([undefined, 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'get', ''])(
    'the method %s is not supported',
    (method) => {
      expect(code({ method, url: '/v2/' })).toBe('UNSUPPORTED');
    },
  );

  test.each([
    undefined,
    '',
    '/',
    '*',
    '/v1/',
    '/v2x',
    '//v2/',
    '/v2//',
    '/v22/a/manifests/x',
    '/v2/manifests/x',
    '/v2//manifests/x',
    '/v2/a/manifests/',
    '/v2/a/manifests',
    '/v2/a/blobs/x/y',
    '/v2/a/tags/list/x',
    '/v2/a/blobs/uploads/',
    '/v2/_catalog',
    '/metrics',
    '/V2/a/manifests/x',
    '/v2/a/Manifests/x',
    'http://elsewhere.example/v2/a/manifests/x',
    '/x/../v2/a/manifests/x',
  ])('there is no endpoint %s', (url) => {
    expect(code({ url })).toBe('NAME_UNKNOWN');
  });

  test('a repository may be named like an endpoint', () => {
    expect(get(`/v2/a/manifests/blobs/manifests/x`)).toMatchObject({ repository: 'a/manifests/blobs' });
    expect(get(`/v2/a/blobs/manifests/blobs/${D}`)).toMatchObject({ kind: 'blob', repository: 'a/blobs/manifests' });
  });
});

describe('the registry of a request', () => {
  test.each([
    ['?ns=quay.io', 'quay.io'],
    ['?ns=QUAY.IO', 'quay.io'],
    ['?ns=quay.io:443', 'quay.io'],
    ['?ns=quay.io%3A8443', 'quay.io:8443'],
    ['?ns=registry', 'registry'],
    ['?ns=localhost:5000', 'localhost:5000'],
    ['?ns=%5B::1%5D:5000', '[::1]:5000'],
    ['?ns=[2001:db8::1]', '[2001:db8::1]'],
    ['?ns=index.docker.io', 'docker.io'],
    ['?ns=registry-1.docker.io:443', 'docker.io'],
    ['?x=1&ns=quay.io&y=2', 'quay.io'],
  ])('is told by %s', (query, registry) => {
    expect(get(`/v2/org/app/manifests/v1${query}`)).toMatchObject({ registry, repository: 'org/app', form: 'ns' });
  });

  test('is told by ns even if the path begins like a registry', () => {
    expect(get('/v2/quay.io/app/manifests/v1?ns=ghcr.io')).toMatchObject({
      registry: 'ghcr.io',
      repository: 'quay.io/app',
      form: 'ns',
    });
  });

  test.each([
    ['/v2/quay.io/org/app', 'quay.io', 'org/app'],
    ['/v2/quay.io/app', 'quay.io', 'app'],
    ['/v2/QUAY.IO/app', 'quay.io', 'app'],
    ['/v2/quay.io:443/app', 'quay.io', 'app'],
    ['/v2/localhost:5000/app', 'localhost:5000', 'app'],
    ['/v2/localhost%3A5000/app', 'localhost:5000', 'app'],
    ['/v2/[::1]:5000/app', '[::1]:5000', 'app'],
    ['/v2/registry/app', 'registry', 'app'],
    ['/v2/docker.io/alpine', 'docker.io', 'library/alpine'],
    ['/v2/index.docker.io/bitnami/redis', 'docker.io', 'bitnami/redis'],
    ['/v2/docker.io/quay.io/app', 'docker.io', 'quay.io/app'],
  ])('is the first component of %s', (path, registry, repository) => {
    expect(get(`${path}/manifests/v1`)).toMatchObject({ registry, repository, form: 'path' });
  });

  test.each([
    ['/v2/alpine', 'library/alpine'],
    ['/v2/library/alpine', 'library/alpine'],
    ['/v2/org/app', 'org/app'],
    ['/v2/localhost/app', 'localhost/app'],
    ['/v2/registry', 'library/registry'],
    ['/v2/my.app', 'library/my.app'],
  ])('is the default one for %s', (path, repository) => {
    expect(get(`${path}/manifests/v1?other=1`)).toMatchObject({ registry: 'docker.io', repository, form: 'default' });
  });

  test('gives no library/ when the default is not Docker Hub', () => {
    const other = { ...names, default: parseRegistry('registry.lab:5000') };
    const request = parseRequest({ method: 'GET', url: '/v2/alpine/manifests/v1', headers: {} }, other);
    expect(request).toMatchObject({ registry: 'registry.lab:5000', repository: 'alpine' });
  });
});

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
    expect(code({ url: `/v2/org/app/manifests/v1?${query}` })).toBe('NAME_INVALID');
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
    ['a path of kilobytes', `/v2/${'a/'.repeat(2_000)}manifests/v1`],
  ])('%s', (_, url) => {
    expect(code({ url })).toBe('NAME_INVALID');
  });

  test.each(['.hidden', '-x', 'a'.repeat(129), 'v1#x', 'v%201', '%F0%9F%98%80'])('the tag %s', (tag) => {
    expect(code({ url: `/v2/org/app/manifests/${tag}` })).toBe('TAG_INVALID');
  });

  test.each(['x', 'sha256:', `sha256:${'a'.repeat(128)}`, `sha512:${'a'.repeat(64)}`, D.toUpperCase(), 'md5:aa'])(
    'the blob digest %s',
    (digest) => {
      expect(code({ url: `/v2/org/app/blobs/${digest}` })).toBe('DIGEST_INVALID');
    },
  );
});

describe('the headers that matter', () => {
  const manifest = '/v2/org/app/manifests/v1';

  test('are absent without harm', () => {
    expect(get(manifest)).toMatchObject({ accept: [], ifNoneMatch: [], range: undefined });
  });

  test('Accept is a list of media types without parameters', () => {
    const accept = 'application/vnd.oci.image.index.v1+json;q=0.9 , Text/HTML,,*/*;q=0.1';
    expect(get(manifest, { accept })).toMatchObject({
      accept: ['application/vnd.oci.image.index.v1+json', 'text/html', '*/*'],
    });
  });

  test('Accept given as several headers is one list', () => {
    expect(get(manifest, { accept: ['a/b', 'c/d'] })).toMatchObject({ accept: ['a/b', 'c/d'] });
  });

  test.each(['', ' ', ',', ';q=1', ' ; q=1 , ;'])('Accept %j names nothing', (accept) => {
    expect(get(manifest, { accept })).toMatchObject({ accept: [] });
  });

  test('If-None-Match is a list of digests without quotes', () => {
    const value = `"${D}", W/"${D512}", ${D}, *`;
    expect(get(manifest, { 'if-none-match': value })).toMatchObject({ ifNoneMatch: [D, D512, D, '*'] });
  });

  test.each([manifest, `/v2/org/app/blobs/${D}`])('Range is read for %s', (url) => {
    expect(get(url, { range: 'bytes=5-' })).toMatchObject({ range: { first: 5, last: undefined } });
    expect(get(url, { range: 'bytes=0-1,4-5' })).toMatchObject({ range: undefined });
  });
});

describe('parseRequest', () => {
  test('answers every URL with a request of checked names, or an OciError', () => {
    const part = fc.constantFrom('/', '/v2/', 'a', 'quay.io', '/manifests/', '/blobs/', D, 'v1', '%2f', '%', '..', '?', 'ns=', '&', 'ns=quay.io', ':', '@', '\0', '%00', '[::1]', '#');
    const url = fc.oneof(fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')), fc.webPath(), fc.string());
    fc.assert(
      fc.property(url, (text) => {
        try {
          const request = get(text);
          if (request.kind === 'ping') return;
          expect(`${request.registry}/${request.repository}`).toMatch(/^[a-z0-9.:[\]-]+(\/[a-z0-9._-]+)+$/);
          expect(request.repository.split('/')).not.toContain('..');
        } catch (error) {
          expect(error).toBeInstanceOf(OciError);
          expect((error as OciError).status).toBeLessThan(500);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

function parse(raw: Partial<RawRequest>): OciRequest {
  return parseRequest({ method: 'GET', url: '/v2/', headers: {}, ...raw }, names);
}

function get(url: string, headers: RawRequest['headers'] = {}): OciRequest {
  return parse({ url, headers });
}

function code(raw: Partial<RawRequest>): string {
  try {
    return `accepted as ${JSON.stringify(parse(raw))}`;
  } catch (error) {
    return error instanceof OciError ? error.code : `not an OciError: ${String(error)}`;
  }
}
