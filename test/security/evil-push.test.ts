import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import type { Digest } from '../../oci/digest.ts';
import { bytesBlob, readBytes } from '../support/blobs.ts';
import { REGISTRY, startHouse } from '../support/house.ts';
import { PushClient, codeOf, locationOf, partOf } from '../support/house-push.ts';
import type { Answer } from '../support/origin-client.ts';
import { MEDIA_TYPES, toWire } from '../support/origin-content.ts';
import type { Origin } from '../support/origin.ts';
import { EVIL, MALLORY, withEvil, yes } from './evil.ts';
import { ALICE, BOB, B_OWN, CACHED, type Tenants, askAs, holdsBytes } from './tenants.ts';

/** Any file does for a key that replicas share. */
const KEYED = { tier: { CIRC_TIER_KEY_FILE: fileURLToPath(import.meta.url) } };
/** What an origin says that takes everything. */
const CREATED = { status: 201, headers: { location: `/v2/${MALLORY}/blobs/taken`, 'content-length': '0' } };

function malloryAt(url: string): PushClient {
  return new PushClient({ url, repository: MALLORY, ns: EVIL });
}

function bobAt({ house }: Tenants): PushClient {
  const options = { url: house.tierUrl, repository: `${REGISTRY}/${B_OWN}` };
  const authorization = `Basic ${Buffer.from(`${BOB.user}:${BOB.password}`).toString('base64')}`;
  return new PushClient({ ...options, authorization });
}

/** The evil registry says that it has A's manifest and layer, whenever it is asked without having to deliver them. */
function sayYes({ evil, cached, layer }: Tenants & { evil: Origin }): void {
  const { digest, mediaType, sizeBytes } = cached.manifest;
  evil.when({ kind: 'manifest', method: 'HEAD', digest }, yes(digest, mediaType, sizeBytes));
  const blob = layerOf({ cached });
  evil.when({ kind: 'blob', method: 'HEAD', digest: blob }, yes(blob, 'application/octet-stream', layer.sizeBytes));
}

interface Got {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly leaks: boolean;
}

/** What the attacker gets at both doors. */
async function gets(
  { house, layer }: Tenants,
  doors: readonly string[] = [house.mirror, house.tierUrl],
  ...paths: string[]
) {
  const got: Got[] = [];
  for (const door of doors) {
    for (const path of paths) {
      for (const method of ['HEAD', 'GET']) {
        const answer = await askAs(door, `${MALLORY}/${path}`, { method, registry: EVIL });
        got.push({ method, path, status: answer.status, leaks: holdsBytes(answer, layer) });
      }
    }
  }
  return got;
}

/** HEAD may be answered as the registry answers it; of GET no byte is to come. */
function expectNothing(got: readonly Got[]): void {
  expect(got.length).toBeGreaterThan(0);
  expect(got.filter(({ method, status, leaks }) => leaks || (method === 'GET' && status < 400))).toEqual([]);
}

function layerOf({ cached }: Pick<Tenants, 'cached'>): Digest {
  const [layer] = cached.layers;
  if (!layer) throw new Error('the image has a layer');
  return layer.digest;
}

/** A's blob is what it was, for A. */
async function expectIntact(it: Tenants): Promise<void> {
  const authorization = await it.token(ALICE, CACHED);
  const answer = await askAs(it.house.mirror, `${CACHED}/blobs/${layerOf(it)}`, { authorization });
  expect(answer.body.equals(readBytes(it.layer))).toBe(true);
}

describe('a push to a registry in the hand of an attacker', () => {
  test.each([
    ['from A’s repository', `&from=${CACHED}`],
    ['from nowhere', ''],
  ])('that mounts A’s cached layer %s, answered 201, gets what that registry delivers: nothing', async (_how, from) => {
    await using it = await withEvil();
    const digest = layerOf(it);
    it.evil.when({ kind: 'upload', method: 'POST' }, CREATED);
    sayYes(it);
    const mount = await malloryAt(it.house.tierUrl).ask('POST', `blobs/uploads/?mount=${digest}${from}`);
    expect(mount.status).toBe(201);
    expectNothing(await gets(it, undefined, `blobs/${digest}`));
    expect(it.evil.count({ digest, kind: 'blob' })).toBeGreaterThan(0);
    await expectIntact(it);
  });

  test('of other bytes under A’s digest, answered 201, is not taken for A’s bytes, nor given to A', async () => {
    await using it = await withEvil();
    const digest = layerOf(it);
    it.evil.when({ kind: 'upload', method: 'PUT' }, CREATED);
    sayYes(it);
    const mallory = malloryAt(it.house.tierUrl);
    const address = locationOf(await mallory.patch(await mallory.begin(), Buffer.alloc(1000, 'lie')), 202);
    expect((await mallory.put(address, digest)).status).toBe(201);
    expectNothing(await gets(it, undefined, `blobs/${digest}`));
    expect(await it.house.ingests()).toBe(0);
    await expectIntact(it);
  });

  test('whose middle went through another replica brings nothing into the cache of either', async () => {
    await using it = await withEvil(KEYED);
    const registries = { [EVIL]: it.evil, [REGISTRY]: it.house.origin };
    await using other = await startHouse({ ...KEYED, registries });
    const digest = layerOf(it);
    it.evil.when({ kind: 'upload', method: 'PUT' }, CREATED);
    sayYes(it);
    // As if all had come: the right length, and the right bytes but in the middle, which this replica does not see.
    const bytes = readBytes(it.layer);
    const third = Math.floor(bytes.length / 3);
    const lie = Buffer.concat([bytes.subarray(0, third), Buffer.alloc(third, 'lie'), bytes.subarray(2 * third)]);
    const before = await it.house.stored('tier');
    let address = await malloryAt(it.house.tierUrl).begin();
    for (const [index, url] of [it.house.tierUrl, other.tierUrl, it.house.tierUrl].entries()) {
      const length = index === 2 ? lie.length : third;
      address = locationOf(await malloryAt(url).patch(address, ...partOf(lie, index * third, length)), 202);
    }
    expect((await malloryAt(it.house.tierUrl).put(address, digest)).status).toBe(201);
    const doors = [it.house.mirror, it.house.tierUrl, other.mirror, other.tierUrl];
    expectNothing(await gets(it, doors, `blobs/${digest}`));
    expect([await it.house.stored('tier'), await other.stored('tier')]).toEqual([before, []]);
    await expectIntact(it);
  });

  test('of a manifest that names A’s manifest, or A’s layer, gets none of them by that', async () => {
    await using it = await withEvil();
    const { manifest, config, layers } = it.cached;
    sayYes(it);
    const mallory = malloryAt(it.house.tierUrl);
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: [toWire(manifest)] };
    const image = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.oci.manifest,
      config: toWire(config),
      layers: layers.map(toWire),
    };
    expect((await mallory.manifest('index', index, MEDIA_TYPES.oci.index)).status).toBe(201);
    expect((await mallory.manifest('image', { ...image, annotations: { by: 'mallory' } })).status).toBe(201);
    const own = await gets(it, undefined, 'manifests/index', 'manifests/image');
    expect(own.map(({ status }) => status)).toEqual(own.map(() => 200));
    const paths = [
      `manifests/${manifest.digest}`,
      `blobs/${manifest.digest}`,
      `blobs/${layerOf(it)}`,
      `manifests/${layerOf(it)}`,
    ];
    expectNothing(await gets(it, undefined, ...paths));
  });

  test('of bytes as a blob makes no manifest of them, and of a manifest under another type none that A gets', async () => {
    await using it = await withEvil();
    const mallory = malloryAt(it.house.tierUrl);
    const path = `manifests/${it.cached.manifest.digest}`;
    const asA = async (): Promise<Answer> =>
      await askAs(it.house.mirror, `${CACHED}/${path}`, { authorization: await it.token(ALICE, CACHED) });
    const manifest = await asA();
    const { digest } = it.cached.manifest;
    expect((await mallory.stream(bytesBlob(manifest.body), digest)).status).toBe(201);
    expect((await gets(it, undefined, path)).filter(({ status }) => status < 400)).toEqual([]);
    expect((await mallory.manifest('v1', manifest.body, MEDIA_TYPES.oci.index)).status).toBe(201);
    const relabelled = await mallory.ask('GET', 'manifests/v1');
    expect([relabelled.status, codeOf(relabelled)]).toEqual([503, 'CORRUPT']); // its type inside is another one
    expect((await asA()).headers['content-type']).toBe(manifest.headers['content-type']);
  });
});

describe('a push to the registry that A uses', () => {
  test('by B, of an index that names A’s manifest and a manifest that names A’s layer, opens neither', async () => {
    await using it = await withEvil();
    const { manifest, config, layers } = it.cached;
    const bob = bobAt(it);
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: [toWire(manifest)] };
    const image = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.oci.manifest,
      config: toWire(config),
      layers: layers.map(toWire),
    };
    expect((await bob.manifest('index', index, MEDIA_TYPES.oci.index)).status).toBe(201);
    expect((await bob.manifest('image', { ...image, annotations: { by: 'bob' } })).status).toBe(201);
    const authorization = await it.token(BOB, B_OWN);
    for (const door of [it.house.mirror, it.house.tierUrl]) {
      for (const tag of ['index', 'image']) {
        expect((await askAs(door, `${B_OWN}/manifests/${tag}`, { authorization })).status).toBe(200);
      }
      for (const path of [`manifests/${manifest.digest}`, `blobs/${layerOf(it)}`, `manifests/${layerOf(it)}`]) {
        const answer = await askAs(door, `${B_OWN}/${path}`, { authorization });
        expect([path, answer.status, holdsBytes(answer, it.layer)]).toEqual([path, 404, false]);
      }
    }
  });

  test('by B, that claims A’s cached layer by a mount, is an upload like any other', async () => {
    await using it = await withEvil();
    it.house.origin.pushes.mounts = false; // as registries answer who has no right to the source
    const digest = layerOf(it);
    const bob = bobAt(it);
    for (const from of ['', `&from=${REGISTRY}/${CACHED}`]) {
      expect((await bob.ask('POST', `blobs/uploads/?mount=${digest}${from}`)).status).toBe(202);
    }
    const authorization = await it.token(BOB, B_OWN);
    for (const door of [it.house.mirror, it.house.tierUrl]) {
      const answer = await askAs(door, `${B_OWN}/blobs/${digest}`, { authorization });
      expect([answer.status, holdsBytes(answer, it.layer)]).toEqual([404, false]);
    }
  });
});
