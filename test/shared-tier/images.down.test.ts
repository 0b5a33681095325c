import { describe, expect, test } from 'vitest';
import { Authorization } from '../../oci/authorization.ts';
import { digestOf } from '../../oci/digest.ts';
import { MEDIA_TYPES } from '../support/origin-content.ts';
import { takeClock } from '../support/house-clock.ts';
import { APP, failureOf, refOf } from './fixtures.ts';
import { LAYER, NONE, here, imagesOf, layer, tag } from './images-fixture.ts';

const HOUR = 3_600_000;
const authorization = Authorization.bearer('whatever');

/** The same question, of a caller with credentials. */
const ANOTHERS = {
  asker: { form: 'ns', authorization },
  grant: NONE,
  place: here,
  reference: tag,
  accept: [],
  withContent: true,
} as const;

/** A public image, all of it cached, whose grants are over. */
async function cached(options: Parameters<typeof imagesOf>[0] = {}, origin: Parameters<typeof imagesOf>[1] = {}) {
  const it = await imagesOf({ patienceMs: 0, ...options }, origin);
  await it.resolve();
  await it.fetchLayer();
  return it;
}

/** Puts another image under the tag at the origin. */
function addImage({ origin }: Awaited<ReturnType<typeof cached>>, name: string) {
  return origin.addManifest(APP, name, { schemaVersion: 2, layers: [] }, MEDIA_TYPES.oci.manifest);
}

describe('while the origin is down', () => {
  test('what anybody could read within the last day is served from the cache, tags at their last digest', async () => {
    using clock = takeClock();
    await using it = await cached();
    await clock.forward(23 * HOUR);
    await it.origin.down();
    for (const reference of [tag, refOf(it.manifest.digest)]) {
      const { content, descriptor, grant } = await it.resolve(reference);
      expect([digestOf(content ?? NONE), descriptor.digest]).toEqual([it.manifest.digest, it.manifest.digest]);
      expect(grant).toBeUndefined(); // nothing was proved
    }
    expect(await it.stat()).toMatchObject({ sizeBytes: LAYER.length, endsAtMs: 0 });
    expect(await it.locate()).toMatchObject({ sizeBytes: LAYER.length, fromOrigin: false, endsAtMs: 0 });
    expect((await it.images.resolve(ANOTHERS)).descriptor.digest).toBe(it.manifest.digest);
  });

  test('nothing is served any more after a day', async () => {
    using clock = takeClock();
    await using it = await cached();
    await clock.forward(24 * HOUR + 1);
    await it.origin.down();
    const codes = [await failureOf(it.resolve()), await failureOf(it.locate()), await failureOf(it.stat())];
    expect(codes.map(({ code }) => code)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
  });

  test('nothing is served when the operator refuses that', async () => {
    using clock = takeClock();
    await using it = await cached({ isPublicServed: false });
    await clock.forward(HOUR);
    await it.origin.down();
    expect((await failureOf(it.resolve())).code).toBe('UNAVAILABLE');
    expect((await failureOf(it.locate())).code).toBe('UNAVAILABLE');
  });

  test('what was read with credentials only is not served, not even to who may read it', async () => {
    using clock = takeClock();
    const users = { alice: { password: 'a', repositories: [APP] } };
    await using it = await imagesOf({ patienceMs: 0 }, { auth: 'bearer', privateRepositories: [APP], users });
    const asker = { form: 'ns', authorization: Authorization.basic({ username: 'alice', password: 'a' }) } as const;
    const question = { asker, grant: NONE, place: here, reference: tag, accept: [], withContent: true };
    await it.images.resolve(question);
    await clock.forward(HOUR);
    await it.origin.down();
    expect((await failureOf(it.images.resolve(question))).code).toBe('UNAVAILABLE');
  });

  test('what was closed in the meantime is not served', async () => {
    using clock = takeClock();
    await using it = await cached({}, { auth: 'bearer' });
    await clock.forward(HOUR);
    it.origin.access.privateRepositories.add(APP);
    it.origin.tokens.revokeAll();
    expect((await failureOf(it.resolve())).code).toBe('UNAUTHORIZED');
    await clock.forward(HOUR);
    await it.origin.down();
    expect((await failureOf(it.resolve())).code).toBe('UNAVAILABLE');
  });

  test('what is not cached is unavailable, and so is what the client does not accept', async () => {
    using clock = takeClock();
    await using it = await cached();
    await clock.forward(HOUR);
    await it.origin.down();
    expect((await failureOf(it.locate(here, digestOf(Buffer.from('x'))))).code).toBe('UNAVAILABLE');
    expect((await failureOf(it.resolve(refOf('v2')))).code).toBe('UNAVAILABLE');
    expect((await failureOf(it.resolve(tag, here, true, [MEDIA_TYPES.oci.index]))).code).toBe('UNAVAILABLE');
    expect((await failureOf(it.locate(here, it.manifest.digest))).code).toBe('BLOB_UNKNOWN');
  });

  test.each([429, 500, 503])('or answers %i, it is the same', async (status) => {
    using clock = takeClock();
    await using it = await cached();
    await clock.forward(HOUR);
    it.origin.mood = { status };
    expect((await it.resolve()).descriptor.digest).toBe(it.manifest.digest);
    expect(await it.locate(here, layer)).toMatchObject({ sizeBytes: LAYER.length });
  });

  test.each([{ html: true }, { status: 307 }, { digestHeader: 'none', headers: { 'content-type': 'text/plain' } }])(
    'but not when it answers, though not usefully: %j',
    async (mood) => {
      using clock = takeClock();
      await using it = await cached();
      await clock.forward(HOUR);
      it.origin.mood = mood as typeof it.origin.mood;
      expect((await failureOf(it.resolve())).code).toBe('UNAVAILABLE');
    },
  );

  test.each([429, 503])('to one caller, as it answers %i, it is asked for others all the same', async (status) => {
    using clock = takeClock();
    await using it = await cached();
    await clock.forward(HOUR);
    it.origin.mood = { status };
    await it.resolve();
    it.origin.mood = {};
    const next = addImage(it, 'v1');
    expect((await it.images.resolve(ANOTHERS)).descriptor.digest).toBe(next.digest);
  });

  test('until it has answered another question', async () => {
    using clock = takeClock();
    await using it = await cached();
    await clock.forward(HOUR);
    await it.origin.down();
    await it.resolve();
    await it.origin.up();
    const next = addImage(it, 'v1');
    addImage(it, 'v2');
    await it.resolve(refOf('v2'));
    expect((await it.resolve()).descriptor.digest).toBe(next.digest);
  });

  test('and up again, it is asked again', async () => {
    using clock = takeClock();
    await using it = await cached();
    await clock.forward(HOUR);
    await it.origin.down();
    await it.resolve();
    await it.origin.up();
    await clock.forward(6_000);
    const next = addImage(it, 'v1');
    expect((await it.resolve()).descriptor.digest).toBe(next.digest);
  });
});
