import { describe, expect, test } from 'vitest';
import { MEDIA_TYPES, toWire } from '../support/origin-content.ts';
import { generatedBlob } from '../support/blobs.ts';
import { adminOf, preheat } from '../support/house-admin.ts';
import { REGISTRY, type House, startHouse } from '../support/house.ts';

const APP = 'org/app';
const IMAGE = `${REGISTRY}/${APP}:v1`;

function blobGets({ origin }: House): number {
  return origin.count({ method: 'GET', kind: 'blob' });
}

/** An index as BuildKit makes it: two images, each with an attestation. */
async function addIndex({ origin }: House) {
  const platforms = { amd64: { os: 'linux', architecture: 'amd64' }, arm64: { os: 'linux', architecture: 'arm64' } };
  const images = {
    amd64: await origin.addImage(APP, undefined, { layers: [generatedBlob(50_000)], platform: platforms.amd64 }),
    arm64: await origin.addImage(APP, undefined, { layers: [generatedBlob(60_000)], platform: platforms.arm64 }),
  };
  const attest = async (name: 'amd64' | 'arm64') => {
    const about = images[name].manifest.digest;
    const statement = await origin.addBlob(APP, Buffer.from(`{"subject":"${about}"}`));
    const config = await origin.addBlob(APP, Buffer.from(`{"architecture":"unknown","about":"${about}"}`));
    const json = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.oci.manifest,
      config: toWire(config),
      layers: [toWire(statement)],
    };
    const manifest = origin.addManifest(APP, undefined, json, MEDIA_TYPES.oci.manifest);
    const annotations = { 'vnd.docker.reference.type': 'attestation-manifest', 'vnd.docker.reference.digest': about };
    return {
      manifest,
      statement,
      entry: { ...toWire(manifest), platform: { os: 'unknown', architecture: 'unknown' }, annotations },
    };
  };
  const attestations = { amd64: await attest('amd64'), arm64: await attest('arm64') };
  const index = origin.addManifest(
    APP,
    'v1',
    {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.oci.index,
      manifests: [
        ...[images.amd64, images.arm64].map(({ manifest }) => toWire(manifest)),
        attestations.amd64.entry,
        attestations.arm64.entry,
      ],
    },
    MEDIA_TYPES.oci.index,
  );
  return { images, attestations, index };
}

describe('an image that was preheated', () => {
  test('is pulled by a node without one blob from the origin', async () => {
    await using house = await startHouse();
    const { layers } = await house.origin.addImage(APP, 'v1', {
      layers: [generatedBlob(300_000), generatedBlob(70_000)],
    });
    using admin = adminOf(house.tierGrpc);
    const { last, objects } = await preheat(admin, { image: IMAGE });
    expect(last).toMatchObject({ objects: 4, objectsDone: 4, objectsFailed: 0 });
    expect([last.bytesDone, last.bytesFetched]).toEqual([last.bytes, last.bytes]);
    expect(last.bytes).toBeGreaterThan(370_000);
    expect(objects.get(layers[0]?.digest ?? '')).toMatchObject({
      state: 'PREHEAT_STATE_FETCHED',
      size: 300_000,
      received: 300_000,
    });
    const before = blobGets(house);
    await house.pull(APP, 'v1');
    expect(blobGets(house)).toBe(before);
  });

  test('is not fetched again by a second preheating', async () => {
    await using house = await startHouse();
    await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(300_000)] });
    using admin = adminOf(house.tierGrpc);
    await preheat(admin, { image: IMAGE });
    const before = blobGets(house);
    const { last, objects } = await preheat(admin, { image: IMAGE });
    expect(blobGets(house)).toBe(before);
    expect(last).toMatchObject({ objects: 3, objectsDone: 3, bytesFetched: 0, bytesDone: last.bytes });
    expect(new Set([...objects.values()].map(({ state }) => state))).toEqual(new Set(['PREHEAT_STATE_PRESENT']));
  });

  test('by many at once, and by pulls meanwhile, was fetched once', async () => {
    await using house = await startHouse();
    const { layers } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(2_000_000)] });
    using admin = adminOf(house.tierGrpc);
    await Promise.all([
      ...Array.from({ length: 5 }, async () => await preheat(admin, { image: IMAGE })),
      house.pull(APP, 'v1'),
    ]);
    expect(house.origin.bodyBytes(layers[0]?.digest ?? '')).toBe(2_000_000);
  });

  test('with all platforms has everything that its index names, attestations as well', async () => {
    await using house = await startHouse();
    const { images, attestations, index } = await addIndex(house);
    using admin = adminOf(house.tierGrpc);
    const { last, objects } = await preheat(admin, { image: IMAGE });
    expect(last).toMatchObject({ objectsDone: 13, objectsFailed: 0 });
    const stored = await house.stored('tier');
    expect(stored).toEqual(expect.arrayContaining([...objects.keys()]));
    expect(stored).toEqual(
      expect.arrayContaining([
        index.digest,
        images.arm64.manifest.digest,
        attestations.amd64.manifest.digest,
        attestations.arm64.statement.digest,
      ]),
    );
  });

  test('with chosen platforms has those images and what attests them, and nothing of the others', async () => {
    await using house = await startHouse();
    const { images, attestations } = await addIndex(house);
    using admin = adminOf(house.tierGrpc);
    const { last } = await preheat(admin, { image: IMAGE, platforms: ['linux/arm64'] });
    expect(last).toMatchObject({ objects: 7, objectsDone: 7 });
    const stored = await house.stored('tier');
    expect(stored).toContain(images.arm64.layers[0]?.digest);
    expect(stored).toContain(attestations.arm64.statement.digest);
    expect(stored).not.toContain(images.amd64.manifest.digest);
    expect(stored).not.toContain(attestations.amd64.statement.digest);
  });

  test('is refused, with what there is, when no image is for the platform', async () => {
    await using house = await startHouse();
    await addIndex(house);
    using admin = adminOf(house.tierGrpc);
    await expect(preheat(admin, { image: IMAGE, platforms: ['windows/amd64'] })).rejects.toMatchObject({
      code: 'MANIFEST_UNKNOWN',
      message: 'the index has no image for the platforms chosen; it has linux/amd64, linux/arm64',
    });
  });

  test('may be an artifact', async () => {
    await using house = await startHouse();
    const { origin } = house;
    const chart = await origin.addBlob(APP, Buffer.from('a chart'));
    const config = await origin.addBlob(APP, Buffer.from('{}'));
    const artifactType = 'application/vnd.cncf.helm.config.v1+json';
    const layers = [{ ...toWire(chart), mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip' }];
    const json = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.oci.manifest,
      artifactType,
      config: toWire(config),
      layers,
    };
    const { digest } = origin.addManifest(APP, 'chart', json, MEDIA_TYPES.oci.manifest);
    using admin = adminOf(house.tierGrpc);
    await preheat(admin, { image: `${REGISTRY}/${APP}@${digest}`, platforms: ['linux/amd64'] });
    expect(await house.stored('tier')).toEqual(expect.arrayContaining([digest, chart.digest, config.digest]));
  });
});

describe('a preheating', () => {
  test('fetches so many blobs at once as it was told, and no more', async () => {
    await using house = await startHouse();
    const layers = Array.from({ length: 6 }, (_, index) => generatedBlob(10_000 + index));
    await house.origin.addImage(APP, 'v1', { layers });
    house.origin.when({ kind: 'blob', method: 'GET' }, { stallHeaders: true });
    using admin = adminOf(house.tierGrpc);
    const preheating = preheat(admin, { image: IMAGE, parallelism: 2 });
    preheating.catch(() => undefined);
    await house.origin.arrived({ kind: 'blob', method: 'GET' }, 2);
    using watching = adminOf(house.tierGrpc);
    for await (const { total } of watching.fetches()) {
      expect(total).toBe(2);
      break;
    }
    expect(blobGets(house)).toBe(2);
  });

  test('tells of every object that the origin does not give, and brings the others', async () => {
    await using house = await startHouse();
    const sizes = [300_000, 200_000, 100_000];
    const { layers } = await house.origin.addImage(APP, 'v1', { layers: sizes.map((size) => generatedBlob(size)) });
    const [broken, missing, good] = layers.map(({ digest }) => digest);
    house.origin.when({ digest: broken ?? '', method: 'GET' }, { status: 500 });
    house.origin.remove(APP, missing ?? '');
    using admin = adminOf(house.tierGrpc);
    const { last, objects } = await preheat(admin, { image: IMAGE });
    expect(last).toMatchObject({ objects: 5, objectsDone: 3, objectsFailed: 2, done: true });
    expect(objects.get(broken ?? '')).toMatchObject({
      state: 'PREHEAT_STATE_FAILED',
      error: expect.stringMatching(/origin/) as string,
    });
    expect(objects.get(missing ?? '')).toMatchObject({
      state: 'PREHEAT_STATE_FAILED',
      error: 'the registry does not have it',
    });
    expect(objects.get(good ?? '')).toMatchObject({ state: 'PREHEAT_STATE_FETCHED' });
    house.origin.calm();
    await preheat(admin, { image: IMAGE });
    expect(await house.stored('tier')).toContain(broken);
  });

  test('tells of content that breaks off in the middle, or is not what its digest says', async () => {
    await using house = await startHouse();
    const { layers } = await house.origin.addImage(APP, 'v1', {
      layers: [generatedBlob(300_000), generatedBlob(200_000)],
    });
    const [broken, lie] = layers.map(({ digest }) => digest);
    house.origin.when({ digest: broken ?? '', method: 'GET' }, { resetAt: 0 });
    house.origin.when({ digest: lie ?? '', method: 'GET' }, { lie: true });
    using admin = adminOf(house.tierGrpc);
    const { last, objects } = await preheat(admin, { image: IMAGE });
    expect(last.objectsFailed).toBe(2);
    expect(objects.get(lie ?? '')?.error).toBe('the registry sent other bytes than the digest says');
    expect(objects.get(broken ?? '')?.error).not.toBe('');
    expect(await house.stored('tier')).not.toContain(lie);
  });

  test('begins nothing more when its caller hangs up', async () => {
    await using house = await startHouse();
    const layers = Array.from({ length: 6 }, (_, index) => generatedBlob(100_000 + index));
    await house.origin.addImage(APP, 'v1', { layers });
    house.origin.when({ kind: 'blob', method: 'GET' }, { bytesPerSecondPerConnection: 20_000 });
    using admin = adminOf(house.tierGrpc);
    for await (const { changed } of admin.preheat({ image: IMAGE, parallelism: 1 })) {
      if (changed.some(({ state, received, size }) => /FETCHING/.test(state) && received > 0 && size >= 100_000)) break;
    }
    await expect.poll(async () => (await admin.stats()).waiters).toBe(0);
    expect(blobGets(house)).toBe(2); // the configuration, and the first layer
    expect(house.log.filter(({ msg, level }) => msg === 'admin call' && level === 30)).toMatchObject([
      { method: 'Preheat', subject: IMAGE },
    ]);
  });

  test.each([
    ['an image that is not there', { image: `${REGISTRY}/${APP}:nothing` }, 'MANIFEST_UNKNOWN'],
    ['a name that is none', { image: 'user:pass@registry.test/org/app' }, 'DIGEST_INVALID'],
    ['a tag that is none', { image: `${REGISTRY}/${APP}:-` }, 'TAG_INVALID'],
    ['a platform that is none', { image: IMAGE, platforms: ['linux'] }, 'NAME_INVALID'],
    ['too much at once', { image: IMAGE, parallelism: 17 }, 'NAME_INVALID'],
    ['credentials that are no header', { image: IMAGE, authorization: 'a\nb' }, 'AUTHORIZATION_INVALID'],
    ['a registry that may not be reached', { image: '127.0.0.1:5/org/app:v1' }, 'NAME_UNKNOWN'],
  ])('of %s is refused', async (_name, request, code) => {
    await using house = await startHouse();
    using admin = adminOf(house.tierGrpc);
    await expect(preheat(admin, request)).rejects.toMatchObject({ code });
  });

  test('says that there is no room instead of passing bytes through to nobody', async () => {
    await using house = await startHouse({ tier: { CIRC_TIER_STORE_SIZE: '200KiB' } });
    const { layers } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(1_000_000)] });
    using admin = adminOf(house.tierGrpc);
    const { objects } = await preheat(admin, { image: IMAGE });
    expect(objects.get(layers[0]?.digest ?? '')).toMatchObject({
      state: 'PREHEAT_STATE_FAILED',
      error: 'the cache has no room for it',
    });
    expect(house.origin.count({ method: 'GET', digest: layers[0]?.digest ?? '' })).toBe(1);
  });
});
