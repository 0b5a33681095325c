import { describe, expect, test, vi } from 'vitest';
import { Authorization } from '../../oci/authorization.ts';
import { digestOf } from '../../oci/digest.ts';
import type { RequestForm } from '../../oci/request.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';
import { takeClock } from '../support/house-clock.ts';
import type { OriginOptions } from '../support/origin.ts';
import { APP, REGISTRY, type TierOptions, failureOf, refOf, tierOf } from './fixtures.ts';
import { LAYER, NONE, here, imagesOf, layer, tag, there } from './images-fixture.ts';

const users = {
  alice: { password: 'a', repositories: [APP] },
  bob: { password: 'b', repositories: [APP, 'org/other'] },
  eve: { password: 'e', repositories: [] },
};
const CLOSED: OriginOptions = { auth: 'bearer', privateRepositories: [APP, 'org/other'], users };
type Name = keyof typeof users;

function asked(name: Name | undefined, form: RequestForm = 'ns') {
  const authorization = name && Authorization.basic({ username: name, password: users[name].password });
  return { form, authorization } as const;
}

async function housed(options: TierOptions = {}, origin: OriginOptions = CLOSED) {
  const it = await imagesOf(options, origin);
  const of = ({ images }: Pick<typeof it, 'images'>) => ({
    resolve: (name: Name | undefined, { reference = tag, place = here, withContent = true, grant = NONE } = {}) =>
      images.resolve({ asker: asked(name), grant, place, reference, accept: [], withContent }),
    locate: (name: Name | undefined, { place = here, digest = layer, grant = NONE } = {}) =>
      images.locateBlob({ asker: asked(name), place, digest, grant }),
  });
  return { ...it, of, as: of(it), [Symbol.asyncDispose]: () => it[Symbol.asyncDispose]() };
}

describe('a grant', () => {
  test('of one caller carries nothing for another', async () => {
    await using it = await housed();
    const { grant } = await it.as.resolve('alice');
    await it.as.locate('alice');
    await expect.poll(() => it.records.hasFrom(REGISTRY, layer)).toBe(true);
    const token = grant?.token ?? NONE;
    for (const name of ['eve', undefined] as const) {
      const code = name ? 'BLOB_UNKNOWN' : 'UNAUTHORIZED';
      expect((await failureOf(it.as.locate(name, { grant: token }))).code).toBe(code);
      const by = { reference: refOf(it.manifest.digest), grant: token };
      expect((await failureOf(it.as.resolve(name, by))).code).toBe(name ? 'MANIFEST_UNKNOWN' : 'UNAUTHORIZED');
    }
  });

  test('given by one replica spares the question at another: for the manifest, what it names, and blobs', async () => {
    await using it = await housed();
    const index = it.origin.addIndex(APP, 'v2', [it.manifest]);
    await using replica = await tierOf({ [REGISTRY]: it.origin });
    // The replica has the content, as replicas with one store have.
    const other = it.of(replica);
    await other.resolve('bob', { reference: refOf('v2') });
    await other.resolve('bob', { reference: refOf(it.manifest.digest) });
    await other.locate('bob');
    await expect.poll(() => replica.records.hasFrom(REGISTRY, layer)).toBe(true);

    const { grant } = await it.as.resolve('alice', { reference: refOf('v2') });
    const token = { grant: grant?.token ?? NONE };
    const requests = it.origin.requests.length;
    expect((await other.resolve('alice', { reference: refOf(index.digest), ...token })).fromOrigin).toBe(false);
    expect((await other.resolve('alice', { reference: refOf(it.manifest.digest), ...token })).fromOrigin).toBe(false);
    expect(await other.locate('alice', token)).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: false });
    expect(it.origin.requests).toHaveLength(requests);
    // And no other caller.
    expect((await failureOf(other.locate('eve', token))).code).toBe('BLOB_UNKNOWN');
  });

  test('that is presented is given back with its own end, not a new one', async () => {
    using clock = takeClock();
    await using it = await housed();
    await using replica = await tierOf({ [REGISTRY]: it.origin });
    const { grant } = await it.as.resolve('alice');
    await clock.forward(40_000);
    const located = await it.of(replica).locate('alice', { grant: grant?.token ?? NONE });
    expect(located.grant?.token).toEqual(grant?.token);
    expect(located.grant?.validForMs).toBeLessThanOrEqual(20_000);
    expect(located.endsAtMs).toBeLessThanOrEqual(Date.now() + 20_000);
  });

  test('of a blob alone is none: another blob needs its own proof', async () => {
    await using it = await housed();
    const located = await it.as.locate('alice');
    expect(located.grant).toBeUndefined();
    await expect.poll(() => it.records.hasFrom(REGISTRY, layer)).toBe(true);
    const heads = it.origin.count({ method: 'HEAD', kind: 'blob' });
    await it.as.locate('bob');
    expect(it.origin.count({ method: 'HEAD', kind: 'blob' })).toBeGreaterThan(heads);
  });
});

describe('a pull', () => {
  test('of an index costs one HEAD for all of its images and layers', async () => {
    await using it = await housed({}, {});
    const index = it.origin.addIndex(APP, 'v2', [it.manifest]);
    await it.as.resolve(undefined, { reference: refOf('v2'), withContent: false });
    await it.as.resolve(undefined, { reference: refOf(index.digest) });
    await it.as.resolve(undefined, { reference: refOf(it.manifest.digest) });
    await it.as.locate(undefined);
    expect(it.origin.requests.map(({ method, reference }) => [method, reference])).toEqual([
      ['HEAD', 'v2'],
      ['GET', index.digest],
      ['GET', it.manifest.digest],
      ['GET', layer],
    ]);
  });

  test('by many callers fetches each byte once, and asks once for each caller', async () => {
    await using it = await housed();
    const names = ['alice', 'bob', 'eve', 'alice', 'bob', 'eve'] as const;
    const resolved = await Promise.allSettled(names.map((name) => it.as.resolve(name)));
    expect(resolved.map(({ status }) => status === 'fulfilled')).toEqual([true, true, false, true, true, false]);
    const located = await Promise.allSettled(names.map((name) => it.as.locate(name)));
    expect(located.map(({ status }) => status === 'fulfilled')).toEqual([true, true, false, true, true, false]);
    expect(it.origin.count({ kind: 'manifest', method: 'GET', status: 200 })).toBe(1);
    expect(it.origin.count({ kind: 'manifest', method: 'HEAD', status: 200 })).toBe(2);
    expect(it.origin.bodyBytes(layer)).toBe(LAYER.length);
  });

  test('of a manifest goes on with another caller’s right when that of the first one ends', async () => {
    await using it = await housed();
    it.origin.when({ kind: 'manifest', method: 'GET' }, { headersDelayMs: 200 });
    const first = failureOf(it.as.resolve('alice'));
    await it.origin.arrived({ kind: 'manifest', method: 'HEAD', status: 200 });
    const second = it.as.resolve('bob');
    it.origin.once({ status: 403 }, { kind: 'manifest', method: 'GET' });
    const [failed, got] = await Promise.all([first.catch(() => undefined), second]);
    expect(digestOf(got.content ?? NONE)).toBe(it.manifest.digest);
    expect(failed?.code ?? 'MANIFEST_UNKNOWN').toBe('MANIFEST_UNKNOWN');
  });
});

describe('a blob that another repository of the same origin has', () => {
  test('is not readable with a grant for this one, whatever its manifests name', async () => {
    await using it = await housed();
    await it.as.resolve('alice');
    await it.as.locate('alice');
    await expect.poll(() => it.records.hasFrom(REGISTRY, layer)).toBe(true);
    const named = [{ mediaType: MEDIA_TYPES.oci.layer, digest: layer, size: LAYER.length }];
    const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.oci.manifest, layers: named };
    it.origin.addManifest('org/other', 'v1', manifest, MEDIA_TYPES.oci.manifest);
    const { grant, readable } = await it.as.resolve('bob', { place: there });
    expect(readable).toEqual([]);
    expect((await failureOf(it.as.locate('bob', { place: there, grant: grant?.token ?? NONE }))).code).toBe(
      'BLOB_UNKNOWN',
    );
    await it.origin.addBlob('org/other', LAYER);
    expect(await it.as.locate('bob', { place: there })).toMatchObject({ fromOrigin: false });
  });
});

test('a caller without a grant makes nobody look for the content before the origin has said yes', async () => {
  await using it = await housed();
  await it.as.resolve('alice');
  await it.as.locate('alice');
  await expect.poll(() => it.records.hasFrom(REGISTRY, layer)).toBe(true);
  const looks = (['hasFrom', 'heldAs'] as const).map((name) => vi.spyOn(it.records, name));
  for (const digest of [layer, it.manifest.digest]) {
    await failureOf(it.as.locate('eve', { digest }));
    await failureOf(it.as.resolve('eve', { reference: refOf(digest) }));
  }
  expect(looks.map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
});

test('a question about a manifest as a blob is asked of the origin before anything is told', async () => {
  await using it = await housed();
  await it.as.resolve('alice');
  const before = it.origin.requests.length;
  expect((await failureOf(it.as.locate('eve', { digest: it.manifest.digest }))).code).toBe('BLOB_UNKNOWN');
  expect(it.origin.requests.length).toBeGreaterThan(before);
});
