import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { OciError } from '../../oci/error.ts';
import { parsePushRequest } from '../../oci/push-request.ts';
import { parseRegistry } from '../../oci/reference.ts';

const NAMES = { default: parseRegistry('docker.io'), isListed: (name: string) => name === 'lab' };
const D = digestOf(Buffer.from('x'));
const D512 = digestOf(Buffer.from('x'), 'sha512');

function parse(method: string, url: string, headers: Record<string, string> = {}) {
  return parsePushRequest({ method, url, headers }, NAMES);
}

function codeOf(method: string, url: string, headers: Record<string, string> = {}): string {
  try {
    parse(method, url, headers);
  } catch (error) {
    return OciError.from(error).code;
  }
  return 'none';
}

describe('a request that changes a repository', () => {
  test.each([
    [
      'POST',
      '/v2/org/app/blobs/uploads/?ns=quay.io',
      { kind: 'upload-start', registry: 'quay.io', form: 'ns', name: 'org/app' },
    ],
    [
      'POST',
      '/v2/quay.io/org/app/blobs/uploads',
      { kind: 'upload-start', repository: 'org/app', name: 'quay.io/org/app' },
    ],
    ['POST', `/v2/app/blobs/uploads/?digest=${D}`, { digest: D, mount: undefined, repository: 'library/app' }],
    ['POST', `/v2/lab/a/blobs/uploads/?mount=${D}&from=lab/b`, { mount: { digest: D, from: 'b' } }],
    ['POST', `/v2/a/b/blobs/uploads/?ns=quay.io&mount=${D}&from=c/d`, { mount: { digest: D, from: 'c/d' } }],
    ['POST', `/v2/lab/a/blobs/uploads/?mount=${D}`, { mount: { digest: D, from: undefined } }],
    ['POST', `/v2/lab/a/blobs/uploads/?mount=${D}&from=quay.io/b`, { mount: undefined }],
    ['POST', '/v2/lab/a/blobs/uploads/?digest-algorithm=sha512', { algorithm: 'sha512' }],
    ['PATCH', '/v2/lab/a/blobs/uploads/u?_state=s', { kind: 'upload', action: 'append', state: 's', name: 'lab/a' }],
    ['PUT', `/v2/lab/a/blobs/uploads/u?_state=s&digest=${D512}`, { action: 'finish', digest: D512 }],
    ['GET', '/v2/lab/a/blobs/uploads/u?_state=s', { action: 'status' }],
    ['DELETE', '/v2/lab/a/blobs/uploads/u?_state=s', { action: 'cancel' }],
    [
      'PUT',
      '/v2/lab/a/manifests/v1',
      { kind: 'manifest-put', reference: { kind: 'tag', tag: 'v1' }, mediaType: undefined },
    ],
    ['PUT', `/v2/lab/a/manifests/${D}?tag=b&tag=c`, { tags: ['b', 'c'] }],
    ['DELETE', '/v2/lab/a/manifests/v1', { kind: 'delete', what: 'manifests' }],
    ['DELETE', `/v2/lab/a/blobs/${D}`, { kind: 'delete', what: 'blobs' }],
  ])('%s %s is understood', (method, url, expected) => {
    expect(parse(method, url)).toMatchObject(expected);
  });

  test.each([
    ['GET', '/v2/'],
    ['GET', '/v2/lab/a/manifests/v1'],
    ['HEAD', `/v2/lab/a/blobs/${D}`],
    ['POST', '/v2/lab/a/manifests/v1'],
    ['PUT', `/v2/lab/a/blobs/${D}`],
    ['PATCH', '/v2/lab/a/blobs/uploads/'],
    ['GET', '/v2/lab/a/tags/list'],
    ['DELETE', '/v2/lab/a/tags/list'],
  ])('%s %s is none', (method, url) => {
    expect(parse(method, url)).toBeUndefined();
  });

  test('has the length of its body, none when it is chunked, and no parameters of its type', () => {
    const headers = { 'content-type': 'a/b; charset=utf-8', 'content-length': '7' };
    expect(parse('PUT', '/v2/lab/a/manifests/v1', headers)).toMatchObject({ mediaType: 'a/b', lengthBytes: 7 });
    const chunked = { 'transfer-encoding': 'chunked' };
    expect(parse('PATCH', '/v2/lab/a/blobs/uploads/u', chunked)).toMatchObject({ lengthBytes: undefined });
  });

  test.each([
    ['0-9', '10', { start: 0, end: 10 }],
    ['bytes 5-6', '2', { start: 5, end: 7 }],
    ['5-6', undefined, { start: 5, end: 7 }],
  ])('says with Content-Range %s where its part belongs', (range, length, expected) => {
    const headers = {
      'content-range': range,
      ...(length === undefined ? { 'transfer-encoding': 'chunked' } : { 'content-length': length }),
    };
    expect(parse('PATCH', '/v2/lab/a/blobs/uploads/u', headers)).toMatchObject({ range: expected });
  });

  test.each([
    ['POST', '/v2/lab/a/blobs/uploads/?digest=md5:1', 'DIGEST_INVALID'],
    ['POST', '/v2/lab/a/blobs/uploads/?mount=x', 'DIGEST_INVALID'],
    ['POST', '/v2/lab/a/blobs/uploads/?digest-algorithm=md5', 'DIGEST_INVALID'],
    ['POST', `/v2/lab/a/blobs/uploads/?digest=${D}&digest=${D}`, 'BLOB_UPLOAD_INVALID'],
    ['POST', `/v2/lab/a/blobs/uploads/?mount=${D}&from=lab/../b`, 'NAME_INVALID'],
    ['POST', '/v2/A/b/blobs/uploads/', 'NAME_INVALID'],
    ['PUT', '/v2/lab/a/blobs/uploads/u?_state=s', 'DIGEST_INVALID'],
    ['PUT', '/v2/lab/a/manifests/sha256:baddigeststring', 'DIGEST_INVALID'],
    ['PUT', `/v2/lab/a/manifests/${D}?tag=${D}`, 'TAG_INVALID'],
    ['PUT', `/v2/lab/a/manifests/${D}?${'tag=a&'.repeat(33)}`, 'TAG_INVALID'],
    ['DELETE', '/v2/lab/a/blobs/latest', 'DIGEST_INVALID'],
  ])('%s %s is refused', (method, url, code) => {
    expect(codeOf(method, url)).toBe(code);
  });
});
