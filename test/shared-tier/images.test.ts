import { describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';
import type { OriginOptions } from '../support/origin.ts';
import { startOrigin } from '../support/origin.ts';
import { APP, REGISTRY, type TierOptions, bytesOf, failureOf, placeOf, refOf, tierOf } from './fixtures.ts';

const NONE: Uint8Array = new Uint8Array();
const OTHER = parseRegistry('other.test');
const LAYER = Buffer.from('the bytes of a layer');
const layer = digestOf(LAYER);
const here = placeOf(APP);
const there = placeOf('org/other');
const tag = refOf('v1');

async function imagesOf(options: TierOptions = {}, originOptions: OriginOptions = {}) {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin(originOptions));
  const other = stack.use(await startOrigin());
  const { manifest } = await origin.addImage(APP, 'v1', { layers: [LAYER] });
  const tier = stack.use(await tierOf({ [REGISTRY]: origin, [OTHER]: other }, options));
  const { images } = tier;
  return {
    ...tier,
    origin,
    other,
    manifest,
    resolve: (reference = tag, place = here, withContent = true, accept: string[] = []) =>
      images.resolve({ place, reference, accept, withContent }),
    locate: (place = here, digest = layer, grant = NONE) => images.locateBlob({ place, digest, grant }),
    stat: (place = here, digest = layer, grant = NONE) => images.statBlob({ place, digest, grant }),
    async fetchLayer(): Promise<void> {
      await images.locateBlob({ place: here, digest: layer, grant: NONE });
      await vi.waitFor(() => expect(tier.records.has(REGISTRY, layer)).toBe(true));
    },
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

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
    await using it = await imagesOf({ ttlMs: 0 });
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

  test('that is not what its digest says is not kept', async () => {
    await using it = await imagesOf();
    it.origin.when({ method: 'GET' }, { lie: true });
    expect((await failureOf(it.resolve())).code).toBe('CORRUPT');
    expect(await it.store.stat(it.manifest.digest)).toBeUndefined();
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
    await vi.waitFor(() => expect(it.fetches.count).toBe(0));
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

describe('a blob', () => {
  test('that nobody has is fetched without another question', async () => {
    await using it = await imagesOf();
    expect(await it.locate()).toEqual({ sizeBytes: LAYER.length, fromOrigin: true });
    await using content = await it.images.read(here, layer);
    expect(await bytesOf(content)).toEqual(LAYER);
    expect(it.origin.requests.map(({ method }) => method)).toEqual(['GET']);
  });

  test('that is cached rides on the grant of its repository', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.fetchLayer();
    const asked = it.origin.requests.length;
    expect(await it.locate()).toEqual({ sizeBytes: LAYER.length, fromOrigin: false });
    expect(await it.stat()).toEqual({ sizeBytes: LAYER.length, fromOrigin: false });
    expect(it.origin.requests).toHaveLength(asked);
  });

  test('that is cached needs a proof of its own without a grant', async () => {
    await using it = await imagesOf();
    await it.fetchLayer();
    await it.locate();
    expect(it.origin.requests.map(({ method }) => method)).toEqual(['GET', 'HEAD']);
  });

  test('rides on a grant that another replica gave', async () => {
    await using it = await imagesOf();
    await using replica = await tierOf({ [REGISTRY]: it.origin });
    await it.fetchLayer();
    await replica.images.resolve({ place: here, reference: tag, accept: [], withContent: false });
    const asked = it.origin.requests.length;
    await it.locate(here, layer, replica.proofs.grantOf(here)?.token);
    expect(it.origin.requests).toHaveLength(asked);
  });

  test('of one repository is not readable through another one without its own yes', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.fetchLayer();
    it.origin.addManifest('org/other', 'v1', { schemaVersion: 2, layers: [] }, MEDIA_TYPES.oci.manifest);
    await it.resolve(tag, there); // a grant for the other repository does not help

    const grant = it.proofs.grantOf(here)?.token;
    const errors = [
      await failureOf(it.locate(there)),
      await failureOf(it.locate(there, layer, grant)),
      await failureOf(it.stat(there)),
    ];

    expect(errors.map(({ code }) => code)).toEqual(['BLOB_UNKNOWN', 'BLOB_UNKNOWN', 'BLOB_UNKNOWN']);
  });

  test('is denied in the same words, cached or not', async () => {
    await using it = await imagesOf();
    const before = await failureOf(it.locate(there));
    await it.fetchLayer();
    const after = await failureOf(it.locate(there));
    expect([after.code, after.body, after.denied]).toEqual([before.code, before.body, before.denied]);
  });

  test('named by a manifest of the attacker’s own repository is not readable there', async () => {
    await using it = await imagesOf();
    await it.fetchLayer();
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.oci.manifest,
      layers: [{ mediaType: MEDIA_TYPES.oci.layer, digest: layer, size: LAYER.length }],
    };
    it.origin.addManifest('org/other', 'v1', manifest, MEDIA_TYPES.oci.manifest);
    const { readable } = await it.resolve(tag, there);
    expect([readable, (await failureOf(it.locate(there))).code]).toEqual([[], 'BLOB_UNKNOWN']);
  });

  test('while it is being fetched for one repository needs a yes for another one', async () => {
    await using it = await imagesOf();
    it.origin.mood = { stallAt: 3 };
    await it.locate();
    expect((await failureOf(it.locate(there))).code).toBe('BLOB_UNKNOWN');
    await it.origin.addBlob('org/other', LAYER);
    expect(await it.locate(there)).toEqual({ sizeBytes: LAYER.length, fromOrigin: true });
    expect(it.origin.count({ method: 'GET' })).toBe(1);
  });

  test('is found although another repository, which does not have it, was asked a moment before', async () => {
    await using it = await imagesOf();
    it.origin.when({ kind: 'blob', repository: 'org/other', method: 'GET' }, { headersDelayMs: 200 });
    const elsewhere = failureOf(it.locate(there));
    await it.origin.arrived({ repository: 'org/other' });
    expect(await it.locate()).toEqual({ sizeBytes: LAYER.length, fromOrigin: true });
    expect((await elsewhere).code).toBe('BLOB_UNKNOWN');
  });

  test('of one origin never answers for another one', async () => {
    await using it = await imagesOf();
    await it.fetchLayer();
    const place = placeOf(APP, OTHER);
    expect((await failureOf(it.locate(place))).code).toBe('BLOB_UNKNOWN');
    expect(await it.images.read(place, layer)).toBeUndefined();
    // It says that it has it, and has other bytes.
    await it.other.addBlob(APP, LAYER);
    it.other.when({ method: 'GET' }, { lie: true });
    await it.locate(place);
    await using content = await it.images.read(place, layer);
    expect((await failureOf(bytesOf(content))).code).toBe('CORRUPT');
    expect(it.records.has(OTHER, layer)).toBe(false);
  });

  test('of another origin cannot be noticed by asking with a wrong size', async () => {
    await using it = await imagesOf();
    await it.fetchLayer();
    await it.other.addBlob(APP, LAYER);
    it.other.mood = { longer: 5 };
    // Cached elsewhere or not: what the origin says about itself is what is answered.
    expect(await it.stat(placeOf(APP, OTHER))).toEqual({ sizeBytes: LAYER.length + 5, fromOrigin: true });
  });

  test('that this origin says has another size than its own bytes is not served', async () => {
    await using it = await imagesOf();
    await it.fetchLayer();
    it.origin.mood = { longer: 5 };
    expect((await failureOf(it.locate())).code).toBe('UNAVAILABLE');
  });

  test('that was found wrong is unavailable for a while', async () => {
    await using it = await imagesOf();
    it.origin.mood = { lie: true };
    await it.locate();
    await vi.waitFor(() => expect(it.ended[0]?.error?.code).toBe('CORRUPT'));
    it.origin.calm();
    expect((await failureOf(it.locate())).code).toBe('CORRUPT');
    expect(it.origin.requests).toHaveLength(1);
  });

  test('that was evicted is fetched again', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.fetchLayer();
    await it.store.delete(layer);
    expect(await it.images.read(here, layer)).toBeUndefined();
    expect(await it.locate()).toEqual({ sizeBytes: LAYER.length, fromOrigin: true });
  });

  test('is not what is known to be a manifest', async () => {
    await using it = await imagesOf();
    await it.resolve();
    const { digest } = it.manifest;
    const asked = it.origin.requests.length;
    const codes = [(await failureOf(it.locate(here, digest))).code, (await failureOf(it.stat(here, digest))).code];
    expect([codes, it.origin.requests.length]).toEqual([['BLOB_UNKNOWN', 'BLOB_UNKNOWN'], asked]);
  });

  test('whose size is asked is not fetched', async () => {
    await using it = await imagesOf();
    expect(await it.stat()).toEqual({ sizeBytes: LAYER.length, fromOrigin: true });
    expect([it.fetches.count, it.origin.count({ method: 'GET' })]).toEqual([0, 0]);
  });
});

test.each(['quay.io:5000', 'localhost', '10.0.0.1', 'registry'])('registry %s is not served', async (name) => {
  await using it = await imagesOf();
  const place = placeOf(APP, parseRegistry(name));
  const errors = [
    await failureOf(it.resolve(tag, place)),
    await failureOf(it.locate(place)),
    await failureOf(it.stat(place)),
  ];
  expect(errors.map(({ code, status }) => [code, status])).toEqual(
    Array.from({ length: 3 }, () => ['NAME_UNKNOWN', 404]),
  );
});

test('a private repository is not readable by anonymous callers, whatever is cached', async () => {
  await using it = await imagesOf({ ttlMs: 0 }, { auth: 'bearer' });
  await it.resolve();
  await it.fetchLayer();
  it.origin.access.privateRepositories.add(APP);
  it.origin.tokens.revokeAll();
  const codes = [
    (await failureOf(it.resolve())).code,
    (await failureOf(it.resolve(refOf(it.manifest.digest)))).code,
    (await failureOf(it.locate())).code,
    (await failureOf(it.stat())).code,
  ];
  expect(codes).toEqual(['MANIFEST_UNKNOWN', 'MANIFEST_UNKNOWN', 'BLOB_UNKNOWN', 'BLOB_UNKNOWN']);
});
