import { describe, expect, test } from 'vitest';
import { OciError } from '../../oci/error.ts';
import { BLOB, BYTES, DIGEST, MANIFEST, TAG, codeIn, requestText, servingOneOfEach } from './fixtures.ts';

describe('what is no read of the distribution API', () => {
  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY', 'PURGE'])(
    'refuses %s in the form of the specification',
    async (method) => {
      await using it = await servingOneOfEach();
      for (const headers of [{}, { 'content-type': 'nonsense' }, { 'content-type': 'application/json' }]) {
        const text = [
          'host: x',
          'connection: close',
          'content-length: 2',
          ...Object.entries(headers).map((h) => h.join(': ')),
        ];
        const answer = await it.raw(`${method} ${BLOB} HTTP/1.1\r\n${text.join('\r\n')}\r\n\r\n{}`);
        expect(answer).toMatch(/^HTTP\/1\.1 40[45] /);
        expect(codeIn(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toBe('UNSUPPORTED');
      }
    },
  );

  const LONG = `/v2/${'a'.repeat(5_000)}/manifests/v1`;
  test.each([
    '/',
    '/v1/',
    '/v2/_catalog',
    '/v2/org/app/tags/list/1',
    '/v2/org/app/referrers/v1',
    '/v2/org/app/blobs/uploads/',
    '/metrics',
    '//v2/',
    '/v2//manifests/v1',
    '/v2/org//app/manifests/v1',
    '/v2/../../etc/passwd',
    '/v2/org/../manifests/v1',
    '/v2/org%2fapp/manifests/v1',
    '/v2/org/app/manifests/..%2f..%2fetc',
    '/v2/org/app/manifests/%2e%2e',
    '/v2/org/app/manifests/v1%00',
    '/v2/org/app/manifests/%zz',
    '/v2/org/app/manifests/%c0%ae',
    '/v2/ORG/app/manifests/v1',
    '/v2/org/app/blobs/sha256:abc',
    '/v2/org/app/blobs/sha256:../../../../etc/passwd',
    `/v2/org/app/blobs/${DIGEST.toUpperCase()}`,
    `/v2/org/app/blobs/${DIGEST}/`,
    `${TAG}?ns=a.test&ns=b.test`,
    `${TAG}?ns=user:secret@a.test`,
    `${TAG}?ns=a.test/path`,
    `${TAG}?ns=`,
    `${TAG}?ns=http://a.test`,
    LONG,
  ])('refuses %.80s in the form of the specification, without asking its source', async (target) => {
    await using it = await servingOneOfEach();
    it.source.fail = new OciError('INTERNAL', 'was asked');
    const text = await it.raw(`GET ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 40[045] /);
    expect(codeIn(text.slice(text.indexOf('\r\n\r\n') + 4))).toMatch(/INVALID|UNKNOWN|UNSUPPORTED/);
    expect(text).not.toContain('secret');
    await expect.poll(() => it.report.length).toBe(1);
    expect(it.report[0]?.outcome).not.toMatch(/hit|origin/);
  });

  test('answers requests that were sent before the first answer, in their order', async () => {
    await using it = await servingOneOfEach();
    const last = requestText(BLOB, 'connection: close\r\n');
    const text = await it.raw(requestText('/v2/') + requestText(BLOB, 'range: bytes=9-\r\n') + requestText(TAG) + last);
    const bodies = [...text.matchAll(/\r\n\r\n(.*?)(?=HTTP\/1\.1|$)/gs)].map(([, body]) => body);
    expect(bodies).toEqual(['{}', '9', MANIFEST.toString(), BYTES.toString()]);
  });

  test('keeps a connection after an error', async () => {
    await using it = await servingOneOfEach();
    const bad = 'GET /v2/org/app/blobs/nonsense HTTP/1.1\r\nhost: x\r\n\r\n';
    const text = await it.raw(`${bad}GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400', 'HTTP/1.1 200']);
  });
});
