import { describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../../oci/digest.ts';
import { startOrigin } from '../../support/origin.ts';
import { APP, clientsOf, failureOf, httpServer, REGISTRY } from '../fixtures.ts';
import { absent, ask, image, tag } from './questions.ts';

describe('an answer', () => {
  test.each([
    [400, true],
    [401, true],
    [403, true],
    [404, false],
  ])('of %i means no, denied: %s', async (status, denied) => {
    await using origin = await startOrigin();
    origin.mood = { status };
    await using tier = clientsOf({ [REGISTRY]: origin });

    const manifest = await failureOf(tier.registry().headManifest(APP, tag, ask));
    const blob = await failureOf(tier.registry().getBlob(APP, absent, undefined, ask));

    expect(manifest).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied });
    expect(blob).toMatchObject({ code: 'BLOB_UNKNOWN', denied });
    // What the client is told is the same for all of them.
    expect(manifest.body).toEqual({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] });
  });

  test.each([429, 503])('of %i is waited for as the origin asks, and then asked again', async (status) => {
    await using origin = await startOrigin();
    await image(origin);
    origin.once({ status, headers: { 'retry-after': '1' } });
    await using tier = clientsOf({ [REGISTRY]: origin });
    const startedAt = performance.now();

    await tier.registry().headManifest(APP, tag, ask);

    expect(performance.now() - startedAt).toBeGreaterThan(990);
    expect(origin.requests).toHaveLength(2);
  });

  test.each([429, 503])('of %i for ever is given up when patience ends', async (status) => {
    await using origin = await startOrigin();
    origin.mood = { status };
    await using tier = clientsOf({ [REGISTRY]: origin }, { patienceMs: 1_200 });
    const startedAt = performance.now();

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect(error.code).toBe('UNAVAILABLE');
    expect(performance.now() - startedAt).toBeLessThan(1_400);
    expect(origin.requests.length).toBeGreaterThan(1);
    expect(origin.requests.length).toBeLessThan(5);
  });

  test('that wants more patience than there is fails at once', async () => {
    await using origin = await startOrigin();
    origin.mood = { status: 429, headers: { 'retry-after': '3600' } };
    await using tier = clientsOf({ [REGISTRY]: origin });
    const startedAt = performance.now();

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect([error.code, origin.requests.length]).toEqual(['UNAVAILABLE', 1]);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  test.each(['-5', 'nonsense', '0', 'Thu, 01 Jan 1970 00:00:00 GMT'])(
    'with a Retry-After of %s is asked again soon',
    async (retryAfter) => {
      await using origin = await startOrigin();
      await image(origin);
      origin.once({ status: 429, headers: { 'retry-after': retryAfter } });
      await using tier = clientsOf({ [REGISTRY]: origin });

      expect(await tier.registry().headManifest(APP, tag, ask)).toMatchObject({ mediaType: expect.any(String) });
    },
  );

  test.each([500, 502, 504])('of %i is asked for once more', async (status) => {
    await using origin = await startOrigin();
    origin.mood = { status };
    await using tier = clientsOf({ [REGISTRY]: origin });

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect([error.code, origin.requests.length]).toEqual(['UNAVAILABLE', 2]);
  });

  test.each([201, 204, 405, 418])('of %i to a manifest is neither yes nor no', async (status) => {
    await using origin = await startOrigin();
    origin.mood = { status };
    await using tier = clientsOf({ [REGISTRY]: origin });

    expect(await failureOf(tier.registry().headManifest(APP, tag, ask))).toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('that ends a waiter’s patience frees him at once when he goes', async () => {
    await using origin = await startOrigin();
    origin.mood = { status: 503, headers: { 'retry-after': '10' } };
    await using tier = clientsOf({ [REGISTRY]: origin });
    const gone = new AbortController();

    const asked = failureOf(tier.registry().headManifest(APP, tag, { accept: [], signal: gone.signal }));
    await origin.arrived({ status: 503 });
    gone.abort();

    expect((await asked).code).toBe('UNAVAILABLE');
  }, 3_000);

  test('with an endless error body is not read to its end', async () => {
    let written = 0;
    await using server = await httpServer((_request, response) => {
      response.writeHead(404);
      const more = (): void => {
        while (!response.destroyed) {
          written += 65_536;
          if (!response.write(Buffer.alloc(65_536))) {
            response.once('drain', more);
            return;
          }
        }
      };
      more();
    });
    await using tier = clientsOf({ [REGISTRY]: server });

    const error = await failureOf(tier.registry().getBlob(APP, absent, undefined, ask));

    expect(error.code).toBe('BLOB_UNKNOWN');
    expect(written).toBeLessThan(32 * 1024 * 1024);
  });
});

describe('an origin that cannot be reached', () => {
  test('is told at once', async () => {
    await using origin = await startOrigin();
    await using tier = clientsOf({ [REGISTRY]: origin });
    await origin.down();
    const startedAt = performance.now();

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect(error.code).toBe('UNAVAILABLE');
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  test('because of a name that does not resolve is told at once', async () => {
    await using tier = clientsOf({ [REGISTRY]: { url: 'https://no-such-host.invalid' } });

    expect((await failureOf(tier.registry().headManifest(APP, tag, ask))).code).toBe('UNAVAILABLE');
    expect(tier.observed[0]).toMatchObject({
      status: 0,
      host: 'no-such-host.invalid',
      error: { syscall: 'getaddrinfo' },
    });
  });

  test('that resets the connection gets another try', async () => {
    await using origin = await startOrigin();
    await image(origin);
    origin.once({ resetHeaders: true });
    await using tier = clientsOf({ [REGISTRY]: origin });

    await tier.registry().headManifest(APP, tag, ask);

    expect(tier.observed.map(({ status }) => status)).toEqual([0, 200]);
  });

  test('that is silent is given up, and not asked again', async () => {
    await using origin = await startOrigin();
    origin.mood = { stallHeaders: true };
    await using tier = clientsOf({ [REGISTRY]: origin }, { silenceMs: 200 });

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect([error.code, origin.requests.length]).toEqual(['UNAVAILABLE', 1]);
  });

  test('has not said no: what it told before its end stands alone', async () => {
    await using origin = await startOrigin();
    await image(origin);
    await using tier = clientsOf({ [REGISTRY]: origin });
    await tier.registry().headManifest(APP, tag, ask);
    await origin.down();
    await failureOf(tier.registry().headManifest(APP, tag, ask));
    await origin.up();

    expect(await tier.registry().headManifest(APP, tag, ask)).toMatchObject({ mediaType: expect.any(String) });
  });
});

test('requests say who asks, want no encoding, and carry nothing of the caller', async () => {
  await using origin = await startOrigin();
  const digest = await image(origin);
  await using tier = clientsOf({ [REGISTRY]: origin });

  await tier.registry().headManifest(APP, tag, ask);
  await tier.registry().headBlob(APP, digest, ask);

  for (const { headers, query } of origin.requests) {
    expect(headers).toMatchObject({ 'user-agent': 'circ', 'accept-encoding': 'identity' });
    expect([headers.authorization, headers.cookie, [...query.keys()]]).toEqual([undefined, undefined, []]);
  }
});

test('questions do not wait behind blobs', async () => {
  await using origin = await startOrigin();
  const digest = await image(origin);
  await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { maxConnections: 4 } });
  origin.when({ kind: 'blob' }, { stallHeaders: true });
  const gone = new AbortController();
  const blobs = Array.from({ length: 8 }, () =>
    failureOf(tier.registry().getBlob(APP, digest, undefined, { signal: gone.signal })),
  );
  await origin.arrived({ kind: 'blob' }, 2);

  await tier.registry().headManifest(APP, tag, ask);

  gone.abort();
  await Promise.all(blobs);
  expect(origin.count({ kind: 'blob' })).toBe(2);
});

test('blobs of one repository leave a connection to those of another', async () => {
  await using origin = await startOrigin();
  const digest = await image(origin);
  await origin.addBlob('org/small', Buffer.from('small'));
  const small = digestOf(Buffer.from('small'));
  await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { maxConnections: 4 } });
  origin.when({ repository: APP }, { stallHeaders: true });
  const gone = new AbortController();
  const blobs = Array.from({ length: 8 }, () =>
    failureOf(tier.registry().getBlob(APP, digest, undefined, { signal: gone.signal })),
  );
  await origin.arrived({ repository: APP }, 2);

  const body = await tier.registry().getBlob('org/small' as typeof APP, small, undefined, ask);
  body.cancel();
  expect([body.sizeBytes, origin.count({ kind: 'blob', repository: APP })]).toEqual([5, 2]);

  gone.abort();
  await Promise.all(blobs);
});

test('a blob that waits until its origin has enough for it holds no connection meanwhile', async () => {
  await using origin = await startOrigin();
  const digest = await image(origin);
  await origin.addBlob('org/small', Buffer.from('small'));
  const small = digestOf(Buffer.from('small'));
  await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { maxConnections: 2 } }); // one is for blobs
  origin.when({ repository: APP }, { status: 429, headers: { 'retry-after': '3' } });
  const gone = new AbortController();
  const blob = failureOf(tier.registry().getBlob(APP, digest, undefined, { signal: gone.signal }));
  await expect.poll(() => tier.observed).toMatchObject([{ status: 429 }]);

  const body = await tier.registry().getBlob('org/small' as typeof APP, small, undefined, ask);
  body.cancel();
  expect([body.sizeBytes, origin.count({ repository: APP })]).toEqual([5, 1]);

  gone.abort();
  await blob;
});

test('a first byte that is asked for as a proof does not wait behind blobs', async () => {
  await using origin = await startOrigin();
  const digest = await image(origin);
  await using tier = clientsOf({ [REGISTRY]: origin }, { entry: { maxConnections: 2 } });
  origin.when({ kind: 'blob', method: 'HEAD' }, { status: 401 });
  origin.once({ stallHeaders: true }, { kind: 'blob', method: 'GET' });
  const gone = new AbortController();
  const blob = failureOf(tier.registry().getBlob(APP, digest, undefined, { signal: gone.signal }));
  await origin.arrived({ kind: 'blob', method: 'GET' });

  expect(await tier.registry().headBlob(APP, digest, ask)).toMatchObject({ sizeBytes: 5 });

  gone.abort();
  await blob;
});

test('a lost token exchange is no unhandled rejection', async () => {
  const unhandled = vi.fn<(reason: unknown) => void>();
  process.on('unhandledRejection', unhandled);
  await using origin = await startOrigin({ auth: 'bearer' });
  await image(origin);
  origin.when({ kind: 'token' }, { resetHeaders: true });
  await using tier = clientsOf({ [REGISTRY]: origin });

  const all = await Promise.all(
    Array.from({ length: 8 }, () => failureOf(tier.registry().headManifest(APP, tag, ask))),
  );

  process.off('unhandledRejection', unhandled);
  expect(new Set(all.map(({ code }) => code))).toEqual(new Set(['UNAVAILABLE']));
  expect(unhandled).not.toHaveBeenCalled();
});
