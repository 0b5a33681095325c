import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { DOCKER_HUB, parseRegistry } from '../../oci/reference.ts';
import { type OciRequest, type RawRequest, type RegistryNames, parseRequest, spell } from '../../oci/request.ts';

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

  test('the tags of a repository, and what refers to a manifest, are lists', () => {
    expect(get('/v2/quay.io/a/tags/list')).toMatchObject({
      kind: 'list',
      registry: 'quay.io',
      repository: 'a',
      name: 'quay.io/a',
      subject: undefined,
    });
    expect(get(`/v2/a/b/referrers/${D}`)).toMatchObject({ kind: 'list', repository: 'a/b', subject: D });
    expect(code({ url: '/v2/a/b/referrers/latest' })).toBe('DIGEST_INVALID');
  });

  test('the query of a list is passed on but for what `ns` is for', () => {
    const request = get('/v2/a/b/tags/list?n=2&ns=quay.io&last=x');
    expect(request.kind === 'list' && [request.registry, request.query.toString()]).toEqual(['quay.io', 'n=2&last=x']);
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
    '/v2/tags/list',
    `/v2/a/referrers/${D}/x`,
    '/v2/a/blobs/uploads/',
    '/v2/_catalog',
    '/metrics',
    '/V2/a/manifests/x',
    '/v2/a/Manifests/x',
    'http://elsewhere.example/v2/a/manifests/x',
    '/x/../v2/a/manifests/x',
  ])('there is no endpoint %s', (url) => {
    expect(code({ url })).toBe('ENDPOINT_UNKNOWN');
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

test.each(['/v2/a/b/tags/list?n=2&ns=quay.io', '/v2/quay.io/a/b/tags/list?n=2', '/v2/a/b/tags/list?n=2'])(
  '%s is spelled as it came',
  (url) => {
    const request = get(url);
    expect(request.kind === 'list' && spell(request, 'tags/list', request.query)).toBe(url);
  },
);
