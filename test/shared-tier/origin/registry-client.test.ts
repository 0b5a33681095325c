import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { MANIFEST_MEDIA_TYPES, MAX_MANIFEST_BYTES } from '../../../oci/descriptor.ts';
import { type Digest, digestOf } from '../../../oci/digest.ts';
import type { Moods } from '../../support/origin-moods.ts';
import { MEDIA_TYPES } from '../../support/origin-content.ts';
import { startBlobStore } from '../../support/origin-blob-store.ts';
import { type Origin, startOrigin } from '../../support/origin.ts';
import { APP, clientsOf, failureOf, forever, httpServer, refOf, REGISTRY } from '../fixtures.ts';

const ask = { accept: [], signal: forever };
const tag = refOf('v1');
const LAYER = Buffer.from('the bytes of a layer');
const WRONG = `sha256:${'5'.repeat(64)}`;

/** An origin with an image, and a client of it. */
async function registryOf(mood: Moods = {}, image: { docker?: boolean } = {}) {
  const stack = new AsyncDisposableStack();
  const origin: Origin = stack.use(await startOrigin());
  const { manifest } = await origin.addImage(APP, 'v1', { layers: [LAYER], ...image });
  const tier = stack.use(clientsOf({ [REGISTRY]: origin }));
  origin.mood = mood;
  return {
    origin,
    manifest,
    layer: digestOf(LAYER),
    registry: tier.registry(),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('HEAD of a manifest', () => {
  test.each([{ docker: false }, { docker: true }])('tells type, digest and size: %j', async (image) => {
    await using it = await registryOf({}, image);
    const { mediaType, digest, sizeBytes } = it.manifest;
    expect(await it.registry.headManifest(APP, tag, ask)).toMatchObject({ mediaType, digest, sizeBytes });
    expect(await it.registry.headManifest(APP, refOf(digest), ask)).toMatchObject({ mediaType, digest, sizeBytes });
  });

  test.each(['none', 'invalid'] as const)('with the digest header %s tells no digest', async (digestHeader) => {
    await using it = await registryOf({ digestHeader });
    const { mediaType, sizeBytes } = it.manifest;
    expect(await it.registry.headManifest(APP, tag, ask)).toMatchObject({ mediaType, digest: undefined, sizeBytes });
  });

  test('by digest with another digest in the header is no answer', async () => {
    await using it = await registryOf({ digestHeader: 'wrong' });
    const error = await failureOf(it.registry.headManifest(APP, refOf(it.manifest.digest), ask));
    expect(error.code).toBe('UNAVAILABLE');
  });

  test.each<Moods>([
    { html: true },
    { html: true, headers: { 'docker-content-digest': WRONG } },
    { headers: { 'content-type': 'TEXT/HTML; charset=utf-8' } },
    { digestHeader: 'none', headers: { 'content-type': 'application/octet-stream' } },
    { digestHeader: 'invalid', headers: { 'content-type': 'application/json' } },
  ])('is no answer when it says %j', async (mood) => {
    await using it = await registryOf(mood);
    expect(await failureOf(it.registry.headManifest(APP, tag, ask))).toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('tells no size when the origin tells no length', async () => {
    await using it = await registryOf({ noLength: true });
    expect(await it.registry.headManifest(APP, tag, ask)).toMatchObject({ sizeBytes: undefined });
  });

  test('hands the caller’s Accept list on, and the usual one when there is none', async () => {
    await using it = await registryOf();
    const accept = [MEDIA_TYPES.oci.manifest, 'application/json'];
    await it.registry.headManifest(APP, tag, { accept, signal: forever });
    await it.registry.headManifest(APP, tag, ask);
    expect(it.origin.requests.map(({ headers }) => headers.accept)).toEqual([
      accept.join(', '),
      MANIFEST_MEDIA_TYPES.join(', '),
    ]);
  });

  test('with an Accept list that would be a header of its own asks nobody', async () => {
    await using it = await registryOf();
    const accept = ['a/b\r\nauthorization: Bearer x'];
    expect(await failureOf(it.registry.headManifest(APP, tag, { accept, signal: forever }))).toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(it.origin.requests).toEqual([]);
  });
});

describe('GET of a manifest', () => {
  test.each([{ docker: false }, { docker: true }])('gives its bytes: %j', async (image) => {
    await using it = await registryOf({}, image);
    const { mediaType, digest } = it.manifest;
    for (const reference of [tag, refOf(digest)]) {
      const got = await it.registry.getManifest(APP, reference, ask);
      expect([got.mediaType, got.digest, digestOf(got.content)]).toEqual([mediaType, digest, digest]);
    }
  });

  test('by a sha512 digest is verified by that', async () => {
    await using it = await registryOf();
    const { digest } = it.origin.addManifest(APP, undefined, { a: 1 }, MEDIA_TYPES.oci.manifest, 'sha512');
    expect((await it.registry.getManifest(APP, refOf(digest), ask)).digest).toBe(digest);
  });

  test.each<Moods>([
    { digestHeader: 'none' },
    { digestHeader: 'wrong' },
    { digestHeader: 'invalid' },
    { gzip: true },
    { noLength: true },
    { headers: { 'content-encoding': 'identity' } },
  ])('does not mind %j', async (mood) => {
    await using it = await registryOf(mood);
    const got = await it.registry.getManifest(APP, refOf(it.manifest.digest), ask);
    expect(digestOf(got.content)).toBe(it.manifest.digest);
  });

  test('by tag is known by its bytes, whatever the header says', async () => {
    await using it = await registryOf({ digestHeader: 'wrong' });
    expect((await it.registry.getManifest(APP, tag, ask)).digest).toBe(it.manifest.digest);
  });

  test.each<[Moods, string]>([
    [{ lie: true }, 'CORRUPT'],
    [{ longer: 3 }, 'CORRUPT'],
    [{ shorter: 3 }, 'CORRUPT'],
    [{ truncateAt: 10 }, 'UNAVAILABLE'],
    [{ resetAt: 10 }, 'UNAVAILABLE'],
    [{ html: true }, 'UNAVAILABLE'],
    [{ headers: { 'content-encoding': 'zstd' } }, 'UNAVAILABLE'],
    [{ headers: { 'content-encoding': 'gzip' } }, 'UNAVAILABLE'],
  ])('by digest fails on %j with %s', async (mood, code) => {
    await using it = await registryOf(mood);
    const error = await failureOf(it.registry.getManifest(APP, refOf(it.manifest.digest), ask));
    expect(error.code).toBe(code);
  });

  test('does not take a part for the whole', async () => {
    await using server = await httpServer((_request, response) => {
      response.writeHead(206, { 'content-type': MEDIA_TYPES.oci.manifest, 'content-range': 'bytes 0-1/100' }).end('{}');
    });
    await using tier = clientsOf({ [REGISTRY]: server });
    expect(await failureOf(tier.registry().getManifest(APP, tag, ask))).toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('takes 4 MiB, and not a byte more', async () => {
    await using it = await registryOf();
    const [fits, over] = [0, 1].map((more) =>
      it.origin.addManifest(APP, undefined, Buffer.alloc(MAX_MANIFEST_BYTES + more, ' '), MEDIA_TYPES.oci.manifest),
    );
    const content = (digest: Digest | undefined) => it.registry.getManifest(APP, refOf(digest ?? ''), ask);
    expect((await content(fits?.digest)).content.length).toBe(MAX_MANIFEST_BYTES);
    expect((await failureOf(content(over?.digest))).code).toBe('UNAVAILABLE');
  });

  test('is not blown up by a gzip bomb', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    await using server = await httpServer((_request, response) => {
      response.writeHead(200, { 'content-type': MEDIA_TYPES.oci.manifest, 'content-encoding': 'gzip' }).end(bomb);
    });
    await using tier = clientsOf({ [REGISTRY]: server });
    expect(await failureOf(tier.registry().getManifest(APP, tag, ask))).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('the question for a blob', () => {
  test('is answered by HEAD', async () => {
    await using it = await registryOf();
    expect(await it.registry.headBlob(APP, it.layer, ask)).toMatchObject({ sizeBytes: LAYER.length });
    expect(it.origin.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  test.each([400, 401, 403, 405])('is asked by GET of one byte when HEAD is answered %i', async (status) => {
    await using it = await registryOf();
    it.origin.when({ method: 'HEAD' }, { status });
    expect(await it.registry.headBlob(APP, it.layer, ask)).toMatchObject({ sizeBytes: LAYER.length });
    expect(it.origin.requests.map(({ method, range }) => [method, range])).toEqual([
      ['HEAD', undefined],
      ['GET', 'bytes=0-0'],
    ]);
  });

  test('is asked by GET when HEAD leads to a URL that is signed for GET', async () => {
    await using it = await registryOf();
    await using store = await startBlobStore(it.origin, { signed: true });
    await using tier = clientsOf({ [REGISTRY]: it.origin }, { entry: { redirectHosts: [store.host] } });
    it.origin.mood = { redirectTo: store };
    expect(await tier.registry().headBlob(APP, it.layer, ask)).toMatchObject({ sizeBytes: LAYER.length });
  });

  test('is asked by GET when HEAD tells no length', async () => {
    await using it = await registryOf();
    it.origin.when({ method: 'HEAD' }, { noLength: true });
    expect(await it.registry.headBlob(APP, it.layer, ask)).toMatchObject({ sizeBytes: LAYER.length });
  });

  test('of an origin without ranges tells the whole size', async () => {
    await using it = await registryOf({ ranges: false });
    it.origin.when({ method: 'HEAD' }, { status: 401 });
    expect(await it.registry.headBlob(APP, it.layer, ask)).toMatchObject({ sizeBytes: LAYER.length });
  });

  test('works for empty content of an origin that refuses HEAD', async () => {
    await using it = await registryOf();
    const { digest } = await it.origin.addBlob(APP, Buffer.alloc(0));
    it.origin.when({ method: 'HEAD' }, { status: 401 });
    expect(await it.registry.headBlob(APP, digest, ask)).toMatchObject({ sizeBytes: 0 });
  });

  test('is not asked again when the origin has none', async () => {
    await using it = await registryOf();
    const error = await failureOf(it.registry.headBlob(APP, digestOf(Buffer.from('absent')), ask));
    expect([error.code, it.origin.requests.length]).toEqual(['BLOB_UNKNOWN', 1]);
  });

  test('is answered with no when GET is refused like HEAD', async () => {
    await using it = await registryOf({ status: 401 });
    const error = await failureOf(it.registry.headBlob(APP, it.layer, ask));
    expect(error).toMatchObject({ code: 'BLOB_UNKNOWN', denied: true });
  });

  test.each<Moods>([{ html: true }, { status: 500 }])('is not answered by %j', async (mood) => {
    await using it = await registryOf(mood);
    expect(await failureOf(it.registry.headBlob(APP, it.layer, ask))).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('GET of a blob', () => {
  const range = { start: 4, end: 9 };

  test('gives all of it', async () => {
    await using it = await registryOf();
    const { pieces, ...body } = await it.registry.getBlob(APP, it.layer, undefined, ask);
    expect(body).toMatchObject({ start: 0, sizeBytes: LAYER.length, isRange: false });
    expect(Buffer.concat(await Array.fromAsync(pieces))).toEqual(LAYER);
  });

  test('gives a range', async () => {
    await using it = await registryOf();
    const { pieces, ...body } = await it.registry.getBlob(APP, it.layer, range, ask);
    expect(body).toMatchObject({ start: 4, sizeBytes: LAYER.length, isRange: true });
    expect(Buffer.concat(await Array.fromAsync(pieces)).toString()).toBe('bytes');
  });

  test('gives all of it when the origin knows no ranges', async () => {
    await using it = await registryOf({ ranges: false });
    const { pieces, ...body } = await it.registry.getBlob(APP, it.layer, range, ask);
    expect(body).toMatchObject({ start: 0, sizeBytes: LAYER.length, isRange: false });
    expect(Buffer.concat(await Array.fromAsync(pieces))).toEqual(LAYER);
  });

  test.each<Moods>([
    { shiftRange: 2 },
    { html: true },
    { gzip: true },
    { noLength: true, ranges: false },
    { headers: { 'content-encoding': 'br' } },
    { headers: { 'content-range': 'bytes */20' } },
    { headers: { 'content-range': 'nonsense' } },
    { headers: { 'content-range': 'bytes 4-8/*' } },
    { headers: { 'content-range': 'bytes 4-80/20' } },
    { headers: { 'content-type': 'text/html' } },
  ])('is no answer with %j', async (mood) => {
    await using it = await registryOf(mood);
    expect(await failureOf(it.registry.getBlob(APP, it.layer, range, ask))).toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('does not mind a digest header that lies about right bytes', async () => {
    await using it = await registryOf({ digestHeader: 'wrong' });
    const { pieces } = await it.registry.getBlob(APP, it.layer, undefined, ask);
    expect(Buffer.concat(await Array.fromAsync(pieces))).toEqual(LAYER);
  });

  test('outside of the content is refused', async () => {
    await using it = await registryOf();
    const outside = { start: 1_000, end: 1_001 };
    expect(await failureOf(it.registry.getBlob(APP, it.layer, outside, ask))).toMatchObject({ code: 'RANGE_INVALID' });
  });

  test('that is cancelled ends the transfer', async () => {
    await using origin = await startOrigin();
    const { digest } = await origin.addBlob(APP, Buffer.alloc(50_000_000));
    await using tier = clientsOf({ [REGISTRY]: origin });
    const body = await tier.registry().getBlob(APP, digest, undefined, ask);
    body.cancel();
    await origin.idle();
    expect(origin.bodyBytes(digest)).toBeLessThan(20_000_000);
  });
});

test('a registry that is given up for others is still good for who uses it', async () => {
  await using it = await registryOf();
  await using tier = clientsOf({ [REGISTRY]: it.origin });
  const { registry } = tier.client();
  for (let index = 0; index < 300; index += 1) tier.client(`r${index}.example.com` as typeof REGISTRY);

  expect(await registry.headManifest(APP, tag, ask)).toMatchObject({ digest: it.manifest.digest });
});
