import { describe, expect, test } from 'vitest';
import { digestOf } from '../../oci/digest.ts';
import { parseRegistry } from '../../oci/reference.ts';
import { Manifests } from '../../shared-tier/manifests.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';
import { startOrigin } from '../support/origin.ts';
import { APP, REGISTRY, failureOf, placeOf, refOf, rightsAt, tierOf } from './fixtures.ts';

const here = placeOf(APP);

async function manifestsOf() {
  const stack = new AsyncDisposableStack();
  const origin = stack.use(await startOrigin());
  const { manifest } = await origin.addImage(APP, 'v1', { layers: [Buffer.from('layer')] });
  const tier = stack.use(await tierOf({ [REGISTRY]: origin }));
  const notKept: unknown[] = [];
  const manifests = new Manifests({ ...tier, notKept: (error) => notKept.push(error) });
  const client = tier.registry();
  return {
    ...tier,
    origin,
    manifest,
    manifests,
    notKept,
    read: (place = here) => manifests.read(client, rightsAt(place), manifest),
    fetch: (reference: string) => manifests.fetch(client, rightsAt(here), refOf(reference), []),
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

describe('the bytes of a manifest', () => {
  test('come from the origin the first time, and from the store then', async () => {
    await using it = await manifestsOf();
    const [first, second] = [await it.read(), await it.read()];
    expect([first.fromOrigin, second.fromOrigin, it.origin.requests.length]).toEqual([true, false, 1]);
    expect(digestOf(second.content)).toBe(it.manifest.digest);
    expect(second.links.blobs).toHaveLength(2);
  });

  test('are fetched again when this repository is not known to hold them', async () => {
    await using it = await manifestsOf();
    await it.read();
    expect((await failureOf(it.read(placeOf('org/other')))).code).toBe('MANIFEST_UNKNOWN');
    expect(it.origin.requests).toHaveLength(2);
  });

  test('are fetched again when they came from another origin', async () => {
    await using it = await manifestsOf();
    await it.read();
    const elsewhere = placeOf(APP, parseRegistry('other.test'));
    it.records.proved(elsewhere, it.manifest.digest, it.manifest.mediaType);
    expect((await it.read(elsewhere)).fromOrigin).toBe(true);
  });

  test('are fetched again when they are damaged on the disk', async () => {
    await using it = await manifestsOf();
    await it.read();
    await it.store.delete(it.manifest.digest);
    await it.records.fetched(here, it.manifest.digest, it.manifest.mediaType);
    expect((await it.read()).fromOrigin).toBe(true);
  });

  test('are fetched once for all who ask at the same time', async () => {
    await using it = await manifestsOf();
    await Promise.all(Array.from({ length: 16 }, () => it.read()));
    expect(it.origin.requests).toHaveLength(1);
  });

  test('that are no manifest are not kept', async () => {
    await using it = await manifestsOf();
    const bad = it.origin.addManifest(APP, 'bad', Buffer.from('no JSON'), MEDIA_TYPES.oci.manifest);
    const lying = it.origin.addManifest(APP, 'lying', { mediaType: MEDIA_TYPES.oci.index }, MEDIA_TYPES.oci.manifest);
    const codes = [(await failureOf(it.fetch('bad'))).code, (await failureOf(it.fetch('lying'))).code];
    expect(codes).toEqual(['CORRUPT', 'CORRUPT']);
    expect([await it.store.stat(bad.digest), await it.store.stat(lying.digest)]).toEqual([undefined, undefined]);
  });

  test('say their media type themselves when the registry does not', async () => {
    await using it = await manifestsOf();
    it.origin.mood = { headers: { 'content-type': 'application/octet-stream' } };
    expect((await it.fetch('v1')).descriptor.mediaType).toBe(it.manifest.mediaType);
  });

  test('fail for all who wait when the origin fails, and not for the next one', async () => {
    await using it = await manifestsOf();
    it.origin.mood = { status: 500 };
    const errors = await Promise.all([failureOf(it.read()), failureOf(it.read())]);
    it.origin.calm();
    expect([errors.map(({ code }) => code), (await it.read()).fromOrigin]).toEqual([
      ['UNAVAILABLE', 'UNAVAILABLE'],
      true,
    ]);
  });
});
