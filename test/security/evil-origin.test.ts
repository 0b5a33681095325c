import { describe, expect, test } from 'vitest';
import { bytesBlob, generatedBlob, readBytes } from '../support/blobs.ts';
import { authorize, type Secret } from '../support/containerd-auth.ts';
import { download, pull, urlOf } from '../support/house-client.ts';
import { REGISTRY } from '../support/house.ts';
import type { Answer } from '../support/origin-client.ts';
import { type AddedImage, MEDIA_TYPES, toWire } from '../support/origin-content.ts';
import { EVIL, MALLORY, withEvil, yes } from './evil.ts';
import { ALICE, BOB, B_OWN, CACHED, NEVER, type Tenants, askAs, holdsBytes, pathOf, startTenants } from './tenants.ts';

/** A manifest of the attacker's that names A's configuration and layers. */
function stealing({ config, layers }: AddedImage, mediaType: string): object {
  const annotations = { by: 'mallory' };
  return { schemaVersion: 2, mediaType, config: toWire(config), layers: layers.map(toWire), annotations };
}

/** B may write what he likes into his own repository; the registry checks nothing. */
async function asB({ house }: Tenants, secret: Secret, repository: string): Promise<string> {
  return (await authorize(house.origin.challenge(repository), repository, secret)).authorization ?? '';
}

/** What B gets from the evil registry, at both doors: first by HEAD, so that all is believed that it says, then by GET. */
async function got({ house, layer }: Tenants, ...paths: string[]) {
  const answers: Answer[] = [];
  for (const door of [house.mirror, house.tierUrl]) {
    for (const method of ['HEAD', 'HEAD', 'GET', 'GET']) {
      for (const path of paths) answers.push(await askAs(door, path, { method, registry: EVIL }));
    }
  }
  return answers.map((answer) => ({
    status: answer.status,
    bytes: answer.body.length,
    leaks: holdsBytes(answer, layer),
    type: answer.headers['content-type'],
    text: answer.body.toString(),
  }));
}

describe('a registry in the hand of an attacker', () => {
  test("that names A's manifest as the meaning of its tag gets A's manifest for nobody", async () => {
    await using it = await withEvil();
    const { evil, cached } = it;
    const own = evil.addManifest(MALLORY, 'v1', { schemaVersion: 2, own: true }, MEDIA_TYPES.oci.manifest);
    const lie = { headers: { 'docker-content-digest': cached.manifest.digest } };
    evil.when({ kind: 'manifest', method: 'HEAD' }, lie);
    const answers = await got(it, `${MALLORY}/manifests/v1`, `${MALLORY}/manifests/${cached.manifest.digest}`);
    expect(answers.filter(({ leaks }) => leaks)).toEqual([]);
    // What has a body is what the evil registry itself has delivered.
    const bodies = answers.filter(({ status, bytes }) => status === 200 && bytes > 0);
    expect(bodies.filter(({ text }) => !text.includes('"own":true'))).toEqual([]);
    expect(own.digest).not.toBe(cached.manifest.digest);
  });

  test("that says yes to HEADs for A's manifest and blob gets neither for nobody", async () => {
    await using it = await withEvil();
    const { evil, cached } = it;
    const layer = cached.layers[0];
    const { digest, mediaType, sizeBytes } = cached.manifest;
    evil.when({ kind: 'manifest', method: 'HEAD' }, yes(digest, mediaType, sizeBytes));
    evil.when({ kind: 'blob', method: 'HEAD' }, yes(layer?.digest, 'application/octet-stream', layer?.sizeBytes));
    const answers = await got(it, `${MALLORY}/manifests/${digest}`, `${MALLORY}/blobs/${layer?.digest}`);
    expect(answers.filter(({ bytes, leaks }) => leaks || bytes > 1_000).map(({ status }) => status)).toEqual([]);
    expect(answers.filter(({ status, bytes }) => status < 300 && bytes > 0)).toEqual([]);
    expect(evil.count({ method: 'GET', digest: layer?.digest ?? '' })).toBeGreaterThan(0);
  });

  test("that begins to answer for A's blob and never goes on gets nothing of the copy on A's node", async () => {
    await using it = await withEvil();
    const { evil, cached, house, layer } = it;
    const digest = cached.layers[0]?.digest ?? '';
    await evil.addBlob(MALLORY, layer); // so that length and digest are right; not one right byte is delivered
    evil.when({ kind: 'blob', method: 'GET' }, { lie: 0, stallAt: 1 });
    for (const door of [house.mirror, house.tierUrl]) {
      const url = urlOf({ mirror: door, registry: EVIL, repository: MALLORY }, 'blobs', digest);
      const pieces: Buffer[] = [];
      const received = await download(url, {
        signal: AbortSignal.timeout(2_000),
        onPiece: (piece) => pieces.push(piece),
      });
      expect(received.bytes).toBeLessThanOrEqual(1);
      expect(Buffer.concat(pieces).equals(readBytes(layer, 0, 1))).toBe(false);
    }
  });

  test("whose own manifest names A's blobs gets them only if it delivers them itself", async () => {
    await using it = await withEvil();
    const { evil, cached, house, layer } = it;
    const mediaType = MEDIA_TYPES.oci.manifest;
    const manifest = stealing(cached, mediaType);
    evil.addManifest(MALLORY, 'v1', manifest, mediaType);
    expect((await askAs(house.mirror, `${MALLORY}/manifests/v1`, { registry: EVIL })).status).toBe(200);
    const digest = cached.layers[0]?.digest ?? '';
    for (const { status, leaks } of await got(it, `${MALLORY}/blobs/${digest}`)) {
      expect([status, leaks]).toEqual([404, false]);
    }
    // Who has the bytes may have them; they are counted at the one who delivers them.
    await evil.addBlob(MALLORY, layer);
    const answer = await askAs(house.mirror, `${MALLORY}/blobs/${digest}`, { registry: EVIL });
    expect([answer.status, answer.body.equals(readBytes(layer))]).toEqual([200, true]);
    expect(evil.bodyBytes(digest)).toBe(layer.sizeBytes);
  });

  test("that serves A's bytes under another media type changes nothing for A", async () => {
    await using it = await withEvil();
    const { evil, cached, house, token, at } = it;
    const authorization = await token(ALICE, CACHED);
    const path = pathOf('manifests by digest', { repository: CACHED, image: cached });
    const text = (await askAs(house.mirror, path, { authorization })).body;
    evil.addManifest(MALLORY, 'v1', text, MEDIA_TYPES.docker.index);
    await evil.addBlob(MALLORY, bytesBlob(text));
    for (const object of ['manifests/v1', `manifests/${cached.manifest.digest}`, `blobs/${cached.manifest.digest}`]) {
      await got(it, `${MALLORY}/${object}`);
    }
    for (const door of [house.mirror, house.tierUrl]) {
      const { status, headers } = await askAs(door, path, { authorization, method: 'HEAD' });
      expect([status, headers['content-type']]).toEqual([200, cached.manifest.mediaType]);
      const asBlob = pathOf('manifests under blobs', { repository: CACHED, image: cached });
      expect((await askAs(door, asBlob, { authorization })).status).toBe(404);
    }
    await pull({ ...at, authorization });
  });

  test("that serves other bytes under A's digest harms nobody but its own callers", async () => {
    await using it = await withEvil();
    const { evil, cached, token, at } = it;
    const digest = cached.layers[0]?.digest ?? '';
    await evil.addBlob(MALLORY, it.layer);
    evil.when({ kind: 'blob', method: 'GET' }, { lie: true });
    for (const { status } of (await got(it, `${MALLORY}/blobs/${digest}`)).filter(({ bytes }) => bytes > 0)) {
      expect([200, 503]).toContain(status);
    }
    await pull({ ...at, authorization: await token(ALICE, CACHED) });
  });
});

describe('a repository in the hand of an attacker, at the registry of A,', () => {
  test("whose manifest names A's blobs does not get them", async () => {
    await using tenants = await startTenants();
    const { house, cached, layer } = tenants;
    const mediaType = MEDIA_TYPES.oci.manifest;
    const manifest = stealing(cached, mediaType);
    const { digest } = house.origin.addManifest(B_OWN, 'stolen', manifest, mediaType);
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.index, manifests: [toWire(cached.manifest)] };
    house.origin.addManifest(B_OWN, 'index', index, MEDIA_TYPES.oci.index);
    const authorization = await asB(tenants, BOB, B_OWN);
    for (const door of [house.mirror, house.tierUrl]) {
      for (const reference of ['stolen', 'index', digest]) {
        expect((await askAs(door, `${B_OWN}/manifests/${reference}`, { authorization })).status).toBe(200);
      }
      for (const form of ['blobs', 'manifests by digest'] as const) {
        for (const method of ['GET', 'HEAD']) {
          const path = pathOf(form, { repository: B_OWN, image: cached });
          const answer = await askAs(door, path, { authorization, method });
          expect([form, method, answer.status, holdsBytes(answer, layer)]).toEqual([form, method, 404, false]);
        }
      }
    }
  });

  test("whose index names A's layer as if it were an image does not get it, cached or on its way", async () => {
    await using tenants = await startTenants();
    const { house, cached, never, layer } = tenants;
    const mediaType = MEDIA_TYPES.oci.index;
    const stolen = [cached, never].flatMap(({ layers: [each], config }) => (each ? [each, config] : [config]));
    const entries = stolen.map((each) => ({ ...toWire(each), mediaType: MEDIA_TYPES.oci.manifest }));
    house.origin.addManifest(B_OWN, 'index', { schemaVersion: 2, mediaType, manifests: entries }, mediaType);
    const authorization = await asB(tenants, BOB, B_OWN);
    const onItsWay = never.layers[0]?.digest ?? '';
    house.origin.when({ kind: 'blob', method: 'GET', digest: onItsWay }, { stallAt: 100_000 });
    const alice = await tenants.token(ALICE, NEVER);
    const reading = new AbortController();
    const first = Promise.withResolvers<undefined>();
    const running = download(house.url('blobs', NEVER, onItsWay), {
      headers: { authorization: alice },
      signal: reading.signal,
      onPiece: () => first.resolve(undefined),
    });
    await first.promise;
    for (const door of [house.mirror, house.tierUrl]) {
      expect((await askAs(door, `${B_OWN}/manifests/index`, { authorization })).status).toBe(200);
      for (const { digest } of stolen) {
        for (const [kind, method] of [
          ['blobs', 'HEAD'],
          ['blobs', 'GET'],
          ['manifests', 'HEAD'],
          ['manifests', 'GET'],
        ] as const) {
          const answer = await askAs(door, `${B_OWN}/${kind}/${digest}`, { authorization, method });
          expect([kind, method, answer.status, holdsBytes(answer, layer)]).toEqual([kind, method, 404, false]);
        }
      }
    }
    reading.abort();
    await running;
  });

  test("whose blob is A's by right of its own gets it, and A's copy serves for it only then", async () => {
    await using tenants = await startTenants();
    const { house, cached, layer } = tenants;
    const authorization = await asB(tenants, BOB, B_OWN);
    const path = pathOf('blobs', { repository: B_OWN, image: cached });
    expect((await askAs(house.mirror, path, { authorization })).status).toBe(404);
    await house.origin.addBlob(B_OWN, layer);
    await expect
      .poll(async () => (await askAs(house.mirror, path, { authorization })).status, { timeout: 5_000 })
      .toBe(200); // a refusal is remembered for two seconds
    expect(house.origin.bodyBytes(cached.layers[0]?.digest ?? '')).toBe(layer.sizeBytes);
  });

  test('that moves its tag to another image serves that one, and never a mixture', async () => {
    await using tenants = await startTenants();
    const { house } = tenants;
    const authorization = await asB(tenants, BOB, B_OWN);
    const at = { mirror: house.mirror, registry: REGISTRY, repository: B_OWN, reference: 'v1', authorization };
    await pull(at);
    const { manifest } = await house.origin.addImage(B_OWN, 'v1', { layers: [generatedBlob(1_000, 77)] });
    expect((await pull(at)).manifests).toEqual([manifest.digest]);
  });
});
