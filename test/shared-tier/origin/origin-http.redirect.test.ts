import { describe, expect, test } from 'vitest';
import { startOrigin } from '../../support/origin.ts';
import { startBlobStore } from '../../support/origin-blob-store.ts';
import { APP, clientsOf, failureOf, REGISTRY } from '../fixtures.ts';
import { absent, ask, image, tag } from './questions.ts';

describe('a redirect', () => {
  test('is followed without the token', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    const { digest } = await origin.addBlob(APP, Buffer.from('layer'));
    await using store = await startBlobStore(origin, { signed: true });
    origin.when({ kind: 'blob' }, { redirectTo: store });
    await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { redirectHosts: [store.host] } });

    const body = await tier.registry().getBlob(APP, digest, undefined, ask);

    expect(Buffer.concat(await Array.fromAsync(body.pieces)).toString()).toBe('layer');
    expect(store.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test('within the origin keeps the token', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await image(origin);
    await using tier = clientsOf({ [REGISTRY]: origin });
    await tier.registry().headManifest(APP, tag, ask); // has the token then
    origin.once({ redirectTo: origin.url });

    expect(await tier.registry().headManifest(APP, tag, ask)).toMatchObject({ mediaType: expect.any(String) });
    expect(origin.count({ status: 401 })).toBe(1);
  });

  test.each([301, 302, 303, 307, 308] as const)('of status %i keeps the method', async (redirectStatus) => {
    await using store = await startOrigin();
    await using origin = await startOrigin();
    await image(store);
    origin.mood = { redirectTo: store.url, redirectStatus };
    await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { redirectHosts: [store.host] } });

    await tier.registry().headManifest(APP, tag, ask);

    expect(store.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  test('in a circle is given up', async () => {
    await using origin = await startOrigin();
    origin.mood = { redirectTo: origin.url };
    await using tier = clientsOf({ [REGISTRY]: origin });

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect([error.code, origin.requests.length]).toEqual(['UNAVAILABLE', 6]);
  });

  test('five times in a row is followed', async () => {
    await using origin = await startOrigin();
    await image(origin);
    origin.once({ redirectTo: origin.url }, {}, 5);
    await using tier = clientsOf({ [REGISTRY]: origin });

    expect(await tier.registry().headManifest(APP, tag, ask)).toMatchObject({ mediaType: expect.any(String) });
  });

  test.each([
    ['to nowhere', { status: 307 }],
    ['to nonsense', { status: 307, headers: { location: 'http://[' } }],
    ['that is none', { status: 304 }],
  ])('%s is neither yes nor no', async (_name, mood) => {
    await using origin = await startOrigin();
    origin.mood = mood;
    await using tier = clientsOf({ [REGISTRY]: origin });

    const errors = [
      await failureOf(tier.registry().headManifest(APP, tag, ask)),
      await failureOf(tier.registry().getBlob(APP, absent, undefined, ask)),
    ];

    expect(errors.map(({ code }) => code)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
  });

  test('to a login page is neither yes nor no', async () => {
    await using origin = await startOrigin();
    origin.mood = { loginRedirect: true };
    await using tier = clientsOf({ [REGISTRY]: origin });

    const errors = [
      await failureOf(tier.registry().headManifest(APP, tag, ask)),
      await failureOf(tier.registry().getManifest(APP, tag, ask)),
      await failureOf(tier.registry().headBlob(APP, absent, ask)),
      await failureOf(tier.registry().getBlob(APP, absent, undefined, ask)),
    ];

    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['UNAVAILABLE']));
  });
});
