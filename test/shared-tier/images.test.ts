import { rename, rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../oci/digest.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { Images } from '../../shared-tier/images.ts';
import type { Place } from '../../shared-tier/records.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';
import { APP, REGISTRY, bytesOf, failureOf, placeOf, refOf, tierOf } from './fixtures.ts';
import { LAYER, NOBODY, NONE, OTHER, here, imagesOf, layer, tag, there } from './images-fixture.ts';

describe('a blob', () => {
  test('that nobody has is fetched without another question when its repository may be read', async () => {
    await using it = await imagesOf();
    await it.resolve(tag, here, false);
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: true });
    await using content = await it.images.read(here, layer);
    expect(await bytesOf(content)).toEqual(LAYER);
    expect(it.origin.requests.map(({ kind, method }) => [kind, method])).toEqual([
      ['manifest', 'HEAD'],
      ['blob', 'GET'],
    ]);
  });

  test('that the store has no room for is told as one that is passed through', async () => {
    await using it = await imagesOf({ capacityBytes: 4 });
    await it.resolve(tag, here, false);
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: true, isPassedThrough: true });
  });

  test('that is cached rides on the grant of its repository', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.fetchLayer();
    const asked = it.origin.requests.length;
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: false });
    expect(await it.stat()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: false });
    expect(it.origin.requests).toHaveLength(asked);
  });

  test('that comes to be cached while it is looked for needs no proof of its own', async () => {
    await using it = await imagesOf();
    await it.resolve();
    /** A look at the records that ends as the content comes. */
    const records = new Proxy(it.records, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name !== 'heldAs') return value.bind(target) as unknown;
        return async (place: Place, digest: Digest) => {
          const mediaType = await target.heldAs(place, digest);
          await it.fetchLayer();
          return mediaType;
        };
      },
    });
    const { access, store, fetches, once } = it;
    const images = new Images({
      access,
      store,
      records,
      fetches,
      once,
      notKept: (error) => expect.fail(error.message),
    });
    const question = { asker: NOBODY, place: here, digest: layer, grant: NONE };
    expect(await images.locateBlob(question)).toMatchObject({ sizeBytes: LAYER.length });
    expect(it.origin.count({ kind: 'blob' })).toBe(1);
  });

  test('needs a proof of its own without a grant, whether it is cached or not', async () => {
    await using it = await imagesOf({ ttlMs: 0 });
    await it.fetchLayer();
    await it.locate();
    expect(it.origin.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET', 'HEAD']);
  });

  test('rides on a grant that another replica gave', async () => {
    await using it = await imagesOf();
    await using replica = await tierOf({ [REGISTRY]: it.origin });
    await it.fetchLayer();
    const question = { asker: NOBODY, grant: NONE, place: here, reference: tag, accept: [], withContent: false };
    const { grant } = await replica.images.resolve(question);
    const asked = it.origin.requests.length;
    await it.locate(here, layer, grant?.token);
    expect(it.origin.requests).toHaveLength(asked);
  });

  test('of one repository is not readable through another one without its own yes', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.fetchLayer();
    it.origin.addManifest('org/other', 'v1', { schemaVersion: 2, layers: [] }, MEDIA_TYPES.oci.manifest);
    await it.resolve(tag, there); // a grant for the other repository does not help

    const grant = (await it.resolve()).grant?.token;
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
    expect(await it.locate(there)).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: true });
    expect(it.origin.count({ method: 'GET' })).toBe(1);
  });

  test('is found although another repository, which does not have it, was asked a moment before', async () => {
    await using it = await imagesOf();
    it.origin.when({ kind: 'blob', repository: 'org/other', method: 'GET' }, { headersDelayMs: 200 });
    const elsewhere = failureOf(it.locate(there));
    await it.origin.arrived({ repository: 'org/other' });
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: true });
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
    expect(await it.records.hasFrom(OTHER, layer)).toBe(false);
  });

  test('of another origin cannot be noticed by asking with a wrong size', async () => {
    await using it = await imagesOf();
    await it.fetchLayer();
    await it.other.addBlob(APP, LAYER);
    it.other.mood = { longer: 5 };
    // Cached elsewhere or not: what the origin says about itself is what is answered.
    expect(await it.stat(placeOf(APP, OTHER))).toMatchObject({ sizeBytes: LAYER.length + 5, fromOrigin: true });
  });

  test('that this origin says has another size than its own bytes is not served', async () => {
    await using it = await imagesOf({ ttlMs: 0 });
    await it.fetchLayer();
    it.origin.mood = { longer: 5 };
    expect((await failureOf(it.locate())).code).toBe('UNAVAILABLE');
  });

  test('that was found wrong is unavailable for a while', async () => {
    await using it = await imagesOf();
    it.origin.mood = { lie: true };
    await it.locate();
    await expect.poll(() => it.ended[0]?.error?.code).toBe('CORRUPT');
    it.origin.calm();
    expect((await failureOf(it.locate())).code).toBe('CORRUPT');
    expect((await failureOf(it.stat())).code).toBe('CORRUPT');
    expect(it.origin.count({ method: 'GET' })).toBe(1);
  });

  test('that was evicted is fetched again', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.fetchLayer();
    await it.store.delete(layer);
    expect(await it.images.read(here, layer)).toBeUndefined();
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: true });
  });

  test('comes from the origin while the disk cannot be read, and so does its manifest', async () => {
    await using it = await imagesOf();
    await it.resolve();
    await it.fetchLayer();
    const { blobs } = it.store.layout;
    await rename(blobs, `${blobs}.away`);
    await writeFile(blobs, '');

    const { content: manifest, fromOrigin } = await it.resolve();
    expect([digestOf(manifest ?? NONE), fromOrigin]).toEqual([it.manifest.digest, true]);
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: true });
    await using content = await it.images.read(here, layer);
    expect(await bytesOf(content)).toEqual(LAYER);

    await rm(blobs);
    await rename(`${blobs}.away`, blobs);
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: false });
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
    expect(await it.stat()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: true });
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
  expect(codes).toEqual(['UNAUTHORIZED', 'UNAUTHORIZED', 'UNAUTHORIZED', 'UNAUTHORIZED']);
});
