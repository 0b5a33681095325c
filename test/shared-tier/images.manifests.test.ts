import { describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';
import { APP, failureOf, placeOf, refOf } from './fixtures.ts';
import { LAYER, NONE, OTHER, here, imagesOf, layer, tag, there } from './images-fixture.ts';

describe('a manifest', () => {
  test('is proved, then fetched, then read from the store', async () => {
    await using it = await imagesOf();
    const first = await it.resolve();
    expect([first.fromOrigin, digestOf(first.content ?? NONE)]).toEqual([true, it.manifest.digest]);
    const second = await it.resolve();
    expect([second.fromOrigin, digestOf(second.content ?? NONE)]).toEqual([false, it.manifest.digest]);
    expect(it.origin.requests.map(({ method, reference }) => [method, reference])).toEqual([
      ['HEAD', 'v1'],
      ['GET', it.manifest.digest],
      ['HEAD', 'v1'],
    ]);
  });

  test('by digest is read without a question while its proof lasts', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.resolve(refOf(it.manifest.digest));
    await it.resolve(refOf(it.manifest.digest), here, false);
    expect(it.origin.requests).toHaveLength(2);
  });

  test('by digest is asked for each time when proofs are not remembered', async () => {
    await using it = await imagesOf({ ttlMs: 0 });
    for (let round = 0; round < 3; round += 1) await it.resolve(refOf(it.manifest.digest));
    expect(it.origin.count({ method: 'HEAD' })).toBe(3);
    expect(it.origin.count({ method: 'GET' })).toBe(1);
  });

  test('by tag follows the tag', async () => {
    await using it = await imagesOf();
    await it.resolve();
    const next = it.origin.addManifest(APP, 'v1', { schemaVersion: 2, layers: [] }, MEDIA_TYPES.oci.manifest);
    expect((await it.resolve()).descriptor.digest).toBe(next.digest);
  });

  test('by tag is not asked for again within the tag’s TTL, however it was asked for', async () => {
    await using it = await imagesOf({ entry: { tagTtl: '60s' } });
    await it.resolve(tag, here, false);
    await it.resolve(tag, here, false);
    const { content } = await it.resolve(tag, here, true);
    expect(digestOf(content ?? NONE)).toBe(it.manifest.digest);
    expect(it.origin.count({ reference: 'v1' })).toBe(1);
  });

  test('by tag is asked for again after the tag’s TTL', async () => {
    await using it = await imagesOf({ entry: { tagTtl: '100ms' } });
    await it.resolve();
    await vi.waitFor(async () => {
      await it.resolve();
      expect(it.origin.count({ reference: 'v1' })).toBe(2);
    });
  });

  test('by tag within its TTL is another one for who accepts other types', async () => {
    await using it = await imagesOf({ entry: { tagTtl: '60s' } });
    await it.resolve(tag, here, false, [MEDIA_TYPES.oci.index]);
    await it.resolve(tag, here, false, [MEDIA_TYPES.oci.manifest]);
    expect(it.origin.count({ method: 'HEAD' })).toBe(2);
  });

  test('that the origin denies is unknown, cached or not', async () => {
    await using it = await imagesOf({ ttlMs: 0 });
    it.origin.mood = { status: 401 };
    const before = await failureOf(it.resolve());
    it.origin.calm();
    await it.resolve();
    it.origin.mood = { status: 401 };
    const after = await failureOf(it.resolve());
    expect([after.code, after.body, after.denied]).toEqual([before.code, before.body, before.denied]);
    expect((await failureOf(it.resolve(refOf(it.manifest.digest)))).code).toBe('MANIFEST_UNKNOWN');
  });

  test('that is cached is not served when the origin cannot say yes', async () => {
    await using it = await imagesOf({ ttlMs: 0, isPublicServed: false });
    await it.resolve();
    await it.origin.down();
    expect((await failureOf(it.resolve(refOf(it.manifest.digest)))).code).toBe('UNAVAILABLE');
  });

  test('of one repository is not readable through another one without its own yes', async () => {
    await using it = await imagesOf();
    await it.resolve();
    expect((await failureOf(it.resolve(refOf(it.manifest.digest), there))).code).toBe('MANIFEST_UNKNOWN');
  });

  test('of one origin never answers for another one', async () => {
    await using it = await imagesOf();
    await it.resolve();
    const place = placeOf(APP, OTHER);
    expect((await failureOf(it.resolve(refOf(it.manifest.digest), place))).code).toBe('MANIFEST_UNKNOWN');
    // An origin that says yes to everything delivers its own bytes, or nothing.
    it.other.when({ method: 'HEAD' }, { headers: { 'docker-content-digest': it.manifest.digest } });
    it.other.addManifest(APP, 'v1', { schemaVersion: 2 }, MEDIA_TYPES.oci.manifest);
    const error = await failureOf(it.resolve(tag, place));
    expect([error.code, it.other.count({ method: 'GET' })]).toEqual(['MANIFEST_UNKNOWN', 1]);
  });

  test('of a registry that tells no digest is known by its bytes', async () => {
    await using it = await imagesOf();
    it.origin.mood = { digestHeader: 'none' };
    const { descriptor } = await it.resolve(tag, here, false);
    expect(descriptor).toEqual({
      digest: it.manifest.digest,
      mediaType: it.manifest.mediaType,
      sizeBytes: it.manifest.sizeBytes,
    });
  });

  test('that is not what its digest says is not kept, nor asked for again for a while', async () => {
    await using it = await imagesOf();
    it.origin.when({ method: 'GET' }, { lie: true });
    expect((await failureOf(it.resolve())).code).toBe('CORRUPT');
    expect(await it.store.stat(it.manifest.digest)).toBeUndefined();
    it.origin.calm();
    expect((await failureOf(it.resolve())).code).toBe('CORRUPT');
    expect(it.origin.count({ method: 'GET' })).toBe(1);
    expect(it.ended).toMatchObject([{ digest: it.manifest.digest, error: { code: 'CORRUPT' } }]);
  });

  test('is fetched once for all who ask at the same time', async () => {
    await using it = await imagesOf();
    await Promise.all(Array.from({ length: 32 }, () => it.resolve()));
    expect(it.origin.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
  });

  test('is served when it cannot be kept', async () => {
    await using it = await imagesOf({ capacityBytes: 10 });
    expect(digestOf((await it.resolve()).content ?? NONE)).toBe(it.manifest.digest);
    expect(it.notKept).toHaveLength(1);
  });

  test('that was read as a blob keeps its media type', async () => {
    await using it = await imagesOf();
    // Some registries serve manifests as blobs too.
    const bytes = (await it.resolve()).content ?? NONE;
    await it.store.delete(it.manifest.digest);
    await it.origin.addBlob(APP, bytes);
    await it.locate(here, it.manifest.digest);
    await expect.poll(() => it.fetches.count).toBe(0);
    await it.stat(here, it.manifest.digest);

    const { descriptor } = await it.resolve(refOf(it.manifest.digest), here, false);

    expect(descriptor.mediaType).toBe(it.manifest.mediaType);
  });

  test('names what can be read under the same grant', async () => {
    await using it = await imagesOf();
    expect((await it.resolve()).readable).toEqual([]);
    await it.fetchLayer();
    expect((await it.resolve()).readable.map(({ digest }) => digest)).toEqual([layer]);
  });

  test('does not tell what can be read: its size and kind there are those of what is stored', async () => {
    await using it = await imagesOf();
    await it.fetchLayer();
    const layers = [{ mediaType: MEDIA_TYPES.oci.manifest, digest: layer, size: LAYER.length + 1_000 }];
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.manifest, layers };
    it.origin.addManifest(APP, 'lying', manifest, MEDIA_TYPES.oci.manifest);
    expect((await it.resolve(refOf('lying'))).readable).toEqual([
      { digest: layer, sizeBytes: LAYER.length, mediaType: 'application/octet-stream' },
    ]);
  });

  test('is proved for the time of its proof, however often it is asked for', async () => {
    await using it = await imagesOf({ ttlMs: 400 });
    await it.resolve();
    const asks = (): number => it.origin.count({ method: 'HEAD' });
    expect(asks()).toBe(1);
    await vi.waitFor(
      async () => {
        await it.resolve(refOf(it.manifest.digest));
        expect(asks()).toBe(2);
      },
      { timeout: 3_000, interval: 50 },
    );
  });
});
