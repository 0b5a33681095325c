import { expect, test } from 'vitest';
import { generatedBlob } from '../support/blobs.ts';
import { adminOf, preheat } from '../support/house-admin.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { MEDIA_TYPES, type ManifestDescriptor, toWire } from '../support/origin-content.ts';

const APP = 'org/app';
const IMAGE = `${REGISTRY}/${APP}:v1`;

test.each([true, false])(
  'a preheating has what refers to an image, and what refers to that, if that was asked for; referrers API: %s',
  async (hasApi) => {
    await using house = await startHouse();
    const { origin } = house;
    origin.pushes.referrers = hasApi;
    const { manifest } = await origin.addImage(APP, 'v1', { layers: [generatedBlob(1_000)] });
    const config = toWire(await origin.addBlob(APP, Buffer.from('{}')));
    const attach = async (subject: ManifestDescriptor, text: string): Promise<ManifestDescriptor> => {
      const layers = [toWire(await origin.addBlob(APP, Buffer.from(text)))];
      const json = {
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.oci.manifest,
        config,
        layers,
        subject: toWire(subject),
      };
      const attached = origin.addManifest(APP, undefined, json, MEDIA_TYPES.oci.manifest);
      const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: [toWire(attached)] };
      if (!hasApi) origin.addManifest(APP, subject.digest.replace(':', '-'), index, MEDIA_TYPES.oci.index);
      return attached;
    };
    const sbom = await attach(manifest, 'what is in it');
    const signature = await attach(sbom, 'signed');
    using admin = adminOf(house.tierGrpc);

    await preheat(admin, { image: IMAGE });
    expect(await house.stored('tier')).not.toContain(sbom.digest);
    const { last } = await preheat(admin, { image: IMAGE, referrers: true });

    // The image's three, and of each of the two a manifest and a layer; their configuration is one.
    expect(last).toMatchObject({ objects: 8, objectsDone: 8, objectsFailed: 0 });
    expect(await house.stored('tier')).toEqual(expect.arrayContaining([sbom.digest, signature.digest]));
    const gets = (): number => origin.count({ method: 'GET', kind: 'blob' });
    const before = gets();
    await house.pull(APP, signature.digest);
    expect(gets()).toBe(before);
  },
);

test('a preheating tells of which manifest the registry does not list what refers to it', async () => {
  await using house = await startHouse();
  const { manifest } = await house.origin.addImage(APP, 'v1', { layers: [generatedBlob(1_000)] });
  house.origin.when({ kind: 'referrers' }, { status: 403 });
  using admin = adminOf(house.tierGrpc);
  const { last, objects } = await preheat(admin, { image: IMAGE, referrers: true });
  expect(last).toMatchObject({ objects: 3, objectsFailed: 1, done: true });
  expect(objects.get(manifest.digest)).toMatchObject({ state: 'PREHEAT_STATE_FAILED' });
  expect(await house.stored('tier')).toHaveLength(3);
});
