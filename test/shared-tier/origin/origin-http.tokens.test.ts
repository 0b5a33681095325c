import { describe, expect, test } from 'vitest';
import { startOrigin } from '../../support/origin.ts';
import { APP, clientsOf, failureOf, httpServer, REGISTRY } from '../fixtures.ts';
import { ask, image, tag } from './questions.ts';

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

    expect(error).toMatchObject({ code: 'UNAUTHORIZED', challenge: [origin.challenge(APP)] });
    expect([origin.count({ kind: 'token' }), origin.count({ kind: 'manifest' })]).toEqual([1, 2]);
  });

  test.each([401, 403] as const)(
    'that is refused with %i means no, and the challenge of the bare request is told',
    async (status) => {
      await using origin = await startOrigin({ auth: 'bearer' });
      await image(origin);
      origin.tokens.rules.refuseAnonymous = status;
      await using tier = clientsOf({ [REGISTRY]: origin });

      const error = await failureOf(tier.registry().headManifest(APP, tag, ask));

      expect(error).toMatchObject({ code: 'UNAUTHORIZED', denied: true, challenge: [origin.challenge(APP)] });
    },
  );

  test.each([
    ['a login page', '<html>log in</html>', 'UNAUTHORIZED'],
    ['nothing', '', 'UNAUTHORIZED'],
    ['a token with a header in it', JSON.stringify({ token: 'a\r\nx-injected: 1' }), 'UNAUTHORIZED'],
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

  test('of a host that is not the registry’s is not asked for, and the operator is told which one that is', async () => {
    await using other = await httpServer((_request, response) => response.end(JSON.stringify({ token: 'abc' })));
    await using server = await httpServer((_request, response) =>
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${other.host}/token"` }).end(),
    );
    await using tier = clientsOf({ [REGISTRY]: server });
    expect((await failureOf(tier.registry().headManifest(APP, tag, ask))).code).toBe('MANIFEST_UNKNOWN');
    expect(tier.unlisted).toContainEqual({ key: 'tokenHosts', host: other.host });
    expect(other.requests).toEqual([]);
  });

  test('is waited for when its server is busy', async () => {
    await using origin = await startOrigin({ auth: 'bearer' });
    await image(origin);
    origin.once({ status: 429 }, { kind: 'token' });
    await using tier = clientsOf({ [REGISTRY]: origin });

    expect(await tier.registry().headManifest(APP, tag, ask)).toMatchObject({ mediaType: expect.any(String) });
  });

  test('whose server is away is no answer, and counted as that', async () => {
    const host = '127.0.0.1:1';
    await using registry = await httpServer((_request, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${host}/token",service="s"` }).end();
    });
    await using tier = clientsOf({ [REGISTRY]: registry }, { entry: { tokenHosts: [host] } });

    expect((await failureOf(tier.registry().headManifest(APP, tag, ask))).code).toBe('UNAVAILABLE');

    expect(tier.observed).toContainEqual(expect.objectContaining({ kind: 'token', status: 0, host }));
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
