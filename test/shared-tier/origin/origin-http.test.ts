import { describe, expect, test, vi } from 'vitest';
import { type Digest, digestOf } from '../../../oci/digest.ts';
import { type Origin, startOrigin } from '../../support/origin.ts';
import { startBlobStore } from '../../support/origin-blob-store.ts';
import { APP, clientsOf, failureOf, forever, httpServer, refOf, REGISTRY } from '../fixtures.ts';

const ask = { accept: [], signal: forever };
const tag = refOf('v1');
const absent = digestOf(Buffer.from('absent'));

async function image(origin: Origin): Promise<Digest> {
  const { layers } = await origin.addImage(APP, 'v1', { layers: [Buffer.from('layer')] });
  return layers[0]?.digest ?? absent;
}

describe('a token', () => {
  test('is fetched when the origin asks for one, and used again', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await image(origin);
    await using tier = clientsOf({ [REGISTRY]: origin });

    await tier.registry().headManifest(APP, tag, ask);
    await tier.registry().headManifest(APP, tag, ask);

    expect(origin.requests.map(({ kind, status }) => [kind, status])).toEqual([
      ['manifest', 401],
      ['token', 200],
      ['manifest', 200],
      ['manifest', 200],
    ]);
  });

  test('that the origin does not take any more is fetched again, once', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await image(origin);
    await using tier = clientsOf({ [REGISTRY]: origin });
    await tier.registry().headManifest(APP, tag, ask);
    origin.tokens.revokeAll();

    await tier.registry().headManifest(APP, tag, ask);

    expect(origin.count({ kind: 'token' })).toBe(2);
  });

  test('that the origin never takes is not fetched without end', async () => {
    await using origin = await startOrigin({ auth: 'bearer', privateRepositories: [APP] });
    await image(origin);
    await using tier = clientsOf({ [REGISTRY]: origin });

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect(error).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied: true });
    expect([origin.count({ kind: 'token' }), origin.count({ kind: 'manifest' })]).toEqual([1, 2]);
  });

  test.each([401, 403] as const)('that is refused with %i means no', async (status) => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await image(origin);
    origin.tokens.rules.refuseAnonymous = status;
    await using tier = clientsOf({ [REGISTRY]: origin });

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect(error).toMatchObject({ code: 'MANIFEST_UNKNOWN', denied: true });
  });

  test.each([
    ['a login page', '<html>log in</html>', 'MANIFEST_UNKNOWN'],
    ['nothing', '', 'MANIFEST_UNKNOWN'],
    ['a token with a header in it', JSON.stringify({ token: 'a\r\nx-injected: 1' }), 'MANIFEST_UNKNOWN'],
    ['more than a token may be long', JSON.stringify({ token: 'a', pad: 'x'.repeat(100_000) }), 'UNAVAILABLE'],
  ])('is not %s', async (_name, body, code) => {
    await using server = await httpServer((request, response) => {
      if (request.url?.startsWith('/token') === true) response.end(body);
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token"` }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server });

    const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect([error.code, server.requests.filter(({ method }) => method === 'HEAD').length >= 1]).toEqual([code, true]);
  });

  test('is waited for when its server is busy', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await image(origin);
    origin.once({ status: 429 }, { kind: 'token' });
    await using tier = clientsOf({ [REGISTRY]: origin });

    expect(await tier.registry().headManifest(APP, tag, ask)).toMatchObject({ mediaType: expect.any(String) });
  });

  test('is not followed to where its server redirects', async () => {
    await using other = await httpServer((_request, response) => response.end(JSON.stringify({ token: 'abc' })));
    await using server = await httpServer((request, response) => {
      if (request.url?.startsWith('/token') === true) response.writeHead(302, { location: other.url }).end();
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token"` }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: server }, { entry: { redirectHosts: [other.host] } });

    await failureOf(tier.registry().headManifest(APP, tag, ask));

    expect(other.requests).toEqual([]);
  });

  test('that cannot be had does not hold the connection of the refusal', async () => {
    // Larger than what is read ahead, so that a body that nobody takes holds its connection.
    const refusal = Buffer.alloc(1_000_000, 'x');
    await using server = await httpServer((request, response) => {
      if (request.url?.startsWith('/token') === true) response.writeHead(500).end();
      else response.writeHead(401, { 'www-authenticate': `Bearer realm="${server.url}/token"` }).end(refusal);
    });
    await using tier = clientsOf({ [REGISTRY]: server }, { entry: { maxConnections: 1 } });

    const errors = [];
    for (let asked = 0; asked < 3; asked += 1) errors.push(await failureOf(tier.registry().getManifest(APP, tag, ask)));

    expect(errors.map(({ code }) => code)).toEqual(['UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE']);
  }, 10_000);
});

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
  await origin.arrived({ kind: 'blob' }, 3);

  await tier.registry().headManifest(APP, tag, ask);

  gone.abort();
  await Promise.all(blobs);
  expect(origin.count({ kind: 'blob' })).toBe(3);
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
