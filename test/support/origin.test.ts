import { describe, expect, test } from 'vitest';
import { generatedBlob, readBytes } from './blobs.ts';
import { ask } from './origin-client.ts';
import { MEDIA_TYPES, toWire } from './origin-content.ts';
import { startOrigin } from './origin.ts';

const MIB = 1024 * 1024;

describe('an origin without moods', () => {
  test('serves a manifest by tag and by digest with its digest, type and length', async () => {
    await using origin = await startOrigin();
    const { manifest } = await origin.addImage('org/app', 'v1', { layers: [Buffer.from('layer')] });
    for (const reference of ['v1', manifest.digest]) {
      const answer = await ask(`${origin.url}/v2/org/app/manifests/${reference}`);
      expect(answer).toMatchObject({
        status: 200,
        headers: {
          'content-type': MEDIA_TYPES.oci.manifest,
          'content-length': String(manifest.sizeBytes),
          'docker-content-digest': manifest.digest,
        },
      });
      expect(answer.body.byteLength).toBe(manifest.sizeBytes);
    }
  });

  test('answers HEAD with the headers of GET and no body', async () => {
    await using origin = await startOrigin();
    const { layers } = await origin.addImage('org/app', 'v1', { layers: [generatedBlob(1000)] });
    const url = `${origin.url}/v2/org/app/blobs/${layers[0]?.digest}`;
    const [head, get] = [await ask(url, { method: 'HEAD' }), await ask(url)];
    expect({ ...head.headers, date: '' }).toEqual({ ...get.headers, date: '' });
    expect(head.body.byteLength).toBe(0);
    expect(get.body.equals(readBytes(generatedBlob(1000)))).toBe(true);
  });

  test('serves the image of an index, in the media types of Docker too', async () => {
    await using origin = await startOrigin();
    const { manifest } = await origin.addImage('org/app', undefined, { layers: [Buffer.from('x')], docker: true });
    origin.addIndex('org/app', 'multi', [manifest]);
    const answer = await ask(`${origin.url}/v2/org/app/manifests/multi`);
    expect(answer.headers['content-type']).toBe(MEDIA_TYPES.docker.index);
    expect(JSON.parse(answer.body.toString())).toMatchObject({
      manifests: [{ digest: manifest.digest, size: manifest.sizeBytes, platform: { os: 'linux' } }],
    });
  });

  test.each([
    ['bytes=10-19', 206, 'bytes 10-19/1000', [10, 20]],
    ['bytes=990-', 206, 'bytes 990-999/1000', [990, 1000]],
    ['bytes=-5', 206, 'bytes 995-999/1000', [995, 1000]],
    ['bytes=990-5000', 206, 'bytes 990-999/1000', [990, 1000]],
    ['bytes=0-1,5-6', 200, undefined, [0, 1000]],
  ] as const)('answers the range %s with %i', async (range, status, contentRange, [start, end]) => {
    await using origin = await startOrigin();
    const { digest } = await origin.addBlob('org/app', generatedBlob(1000));
    const answer = await ask(`${origin.url}/v2/org/app/blobs/${digest}`, { headers: { range } });
    expect(answer.status).toBe(status);
    expect(answer.headers['content-range']).toBe(contentRange);
    expect(answer.body.equals(readBytes(generatedBlob(1000), start, end))).toBe(true);
  });

  test('answers a range behind the end with 416 and the size', async () => {
    await using origin = await startOrigin();
    const { digest } = await origin.addBlob('org/app', Buffer.from('abc'));
    const answer = await ask(`${origin.url}/v2/org/app/blobs/${digest}`, { headers: { range: 'bytes=3-' } });
    expect(answer).toMatchObject({ status: 416, headers: { 'content-range': 'bytes */3' } });
  });

  test.each([
    ['manifests/none', 'MANIFEST_UNKNOWN'],
    [`blobs/sha256:${'0'.repeat(64)}`, 'BLOB_UNKNOWN'],
    ['nothing/else/there', 'UNSUPPORTED'],
  ])('answers %s with 404 %s', async (path, code) => {
    await using origin = await startOrigin();
    await origin.addBlob('org/app', Buffer.from('abc'));
    const answer = await ask(`${origin.url}/v2/org/app/${path}`);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ errors: [{ code }] });
  });

  test('serves a blob only in the repository that has it', async () => {
    await using origin = await startOrigin();
    const { digest } = await origin.addBlob('org/app', Buffer.from('abc'));
    await origin.addBlob('org/other', Buffer.from('def'));
    expect((await ask(`${origin.url}/v2/org/other/blobs/${digest}`)).status).toBe(404);
  });

  test('lists tags page by page', async () => {
    await using origin = await startOrigin();
    for (const tag of ['c', 'a', 'b']) await origin.addImage('org/app', tag, { layers: [] });
    const first = await ask(`${origin.url}/v2/org/app/tags/list?n=2`);
    expect(JSON.parse(first.body.toString())).toEqual({ name: 'org/app', tags: ['a', 'b'] });
    expect(first.headers['link']).toBe('</v2/org/app/tags/list?n=2&last=b>; rel="next"');
    const second = await ask(`${origin.url}/v2/org/app/tags/list?n=2&last=b`);
    expect(JSON.parse(second.body.toString())).toEqual({ name: 'org/app', tags: ['c'] });
  });

  test('lists referrers, by artifact type too', async () => {
    await using origin = await startOrigin();
    const { manifest } = await origin.addImage('org/app', 'v1', { layers: [] });
    const signature = { schemaVersion: 2, artifactType: 'application/x.sig', subject: toWire(manifest) };
    const { digest } = origin.addManifest('org/app', undefined, signature, MEDIA_TYPES.oci.manifest);
    const url = `${origin.url}/v2/org/app/referrers/${manifest.digest}`;
    const all = await ask(url);
    expect(JSON.parse(all.body.toString())).toMatchObject({
      manifests: [{ digest, artifactType: 'application/x.sig' }],
    });
    const none = await ask(`${url}?artifactType=application/x.sbom`);
    expect(JSON.parse(none.body.toString())).toMatchObject({ manifests: [] });
  });

  test('remembers what it was asked and how many bytes left', async () => {
    await using origin = await startOrigin();
    const { digest } = await origin.addBlob('org/app', generatedBlob(MIB));
    const url = `${origin.url}/v2/org/app/blobs/${digest}`;
    await ask(`${url}?ns=registry.lab`, { headers: { range: 'bytes=0-99', 'x-test': 'yes' } });
    await ask(url);
    await ask(url, { method: 'HEAD' });
    await origin.idle();
    expect(origin.requests[0]).toMatchObject({
      method: 'GET',
      path: `/v2/org/app/blobs/${digest}`,
      range: 'bytes=0-99',
      status: 206,
      bodyBytes: 100,
      repository: 'org/app',
    });
    expect(origin.requests[0]?.query.get('ns')).toBe('registry.lab');
    expect(origin.requests[0]?.headers['x-test']).toBe('yes');
    expect(origin.bodyBytes(digest)).toBe(MIB + 100);
    expect(origin.count({ kind: 'blob', method: 'GET', digest })).toBe(2);
    expect(origin.count({ kind: 'manifest' })).toBe(0);
  });

  test('knows the digest behind a tag that was asked for', async () => {
    await using origin = await startOrigin();
    const { manifest } = await origin.addImage('org/app', 'v1', { layers: [] });
    await ask(`${origin.url}/v2/org/app/manifests/v1`, { method: 'HEAD' });
    expect(origin.count({ kind: 'manifest', reference: 'v1', digest: manifest.digest })).toBe(1);
  });

  test('refuses connections while it is down, and is back at the same place', async () => {
    await using origin = await startOrigin();
    await origin.down();
    expect(await ask(`${origin.url}/v2/`)).toMatchObject({ status: 0, failure: 'ECONNREFUSED' });
    await origin.up();
    expect((await ask(`${origin.url}/v2/`)).status).toBe(200);
  });
});
